//! The second domain of the evaluator: values as they depend on a workload's variables.
//!
//! A number is a polynomial, a condition one that is 0 or 1. What an undecided condition chooses between two numbers is a polynomial again; between
//! other things (null and a number, two texts) the choice is kept, and every operation is made on both. What fails is wrong only if it is chosen: a
//! count that comes of it is right only under a condition, a guard, which is kept in mind.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Display;
use std::rc::Rc;
use std::sync::Arc;

use super::atoms::Atoms;
use super::poly::Poly;
use crate::cost::counting::Counting;
use crate::syntax::expr::{
    BinaryOp, Domain, EvalError, Exact, Function, UnaryOp, Value, apply_binary, apply_function, apply_unary, member,
};

/// A value as it depends on the variables.
#[derive(Debug, Clone, PartialEq)]
pub enum Symbol {
    /// It doesn't.
    Plain(Value),
    Number(Poly),
    /// 0 or 1.
    Truth(Poly),
    List(Arc<[Symbol]>),
    /// The first where a condition holds, else the second.
    Choice(Arc<(Poly, Symbol, Symbol)>),
    /// Wrong, where it is chosen.
    Fail(EvalError),
}

/// What is known while a model becomes a program: the atoms that there are, and under which conditions it is right.
#[derive(Debug, Default)]
pub struct State {
    pub atoms: Atoms,
    /// Each is 1 where the program is right.
    pub guards: Vec<Poly>,
    /// Why there is no program: the first of what has no form.
    pub without_form: Option<&'static str>,
}

/// The domain of polynomials.
#[derive(Debug, Clone)]
pub struct Symbols(pub(super) Rc<RefCell<State>>);

type Found = Result<Symbol, EvalError>;

impl Symbols {
    /// Over variables, each with its least value.
    pub fn new(variables: &[i128]) -> Self {
        let state = State { atoms: Atoms::new(variables), ..State::default() };
        Symbols(Rc::new(RefCell::new(state)))
    }

    /// The variable at a position.
    pub fn variable(&self, at: u16) -> Symbol {
        self.0.borrow().atoms.variable(at).map_or(Symbol::Plain(Value::Null), Symbol::Number)
    }

    /// What has come together. The domain is empty afterwards.
    pub fn into_state(self) -> State {
        self.0.take()
    }

    /// What was without a form so far.
    pub fn without_form(&self) -> Option<&'static str> {
        self.0.borrow().without_form
    }

    pub(super) fn with<T>(&self, make: impl FnOnce(&mut Atoms) -> Option<T>) -> Option<T> {
        make(&mut self.0.borrow_mut().atoms)
    }

    /// A number by an operation on atoms.
    fn number(&self, what: &'static str, make: impl FnOnce(&mut Atoms) -> Option<Poly>) -> Found {
        match self.with(make) {
            Some(poly) => Ok(number(poly)),
            None => Err(self.no_form(what)),
        }
    }

    /// A polynomial by an operation on atoms; where that is beyond what is computed with, there is no program.
    pub(super) fn poly(&self, what: &'static str, make: impl FnOnce(&mut Atoms) -> Option<Poly>) -> Poly {
        self.with(make).unwrap_or_else(|| {
            let _ = self.no_form(what);
            Poly::default()
        })
    }

    fn no_form(&self, what: &'static str) -> EvalError {
        self.0.borrow_mut().without_form.get_or_insert(what);
        EvalError::Reported
    }

    /// From here on it is right only where a condition holds.
    pub fn guard(&self, truth: &Poly) {
        let mut state = self.0.borrow_mut();
        if truth.as_constant() != Some(Exact::ONE) && !state.guards.contains(truth) {
            state.guards.push(truth.clone());
        }
    }

    /// An operation on a value, on both sides of a choice.
    fn lifted(&self, value: &Symbol, make: &dyn Fn(&Symbol) -> Found) -> Found {
        match value {
            Symbol::Choice(choice) => {
                let (test, then, otherwise) = &**choice;
                self.select(test, self.lifted(then, make), self.lifted(otherwise, make))
            }
            Symbol::Fail(error) => Err(error.clone()),
            value => make(value),
        }
    }

    /// The polynomial of a number.
    fn poly_of(value: &Symbol) -> Option<Cow<'_, Poly>> {
        match value {
            Symbol::Number(poly) => Some(Cow::Borrowed(poly)),
            Symbol::Plain(value) => value.as_number().map(|n| Cow::Owned(Poly::constant(n))),
            _ => None,
        }
    }

    /// The polynomial of a condition.
    fn truth_poly(value: &Symbol) -> Option<Cow<'_, Poly>> {
        match value {
            Symbol::Truth(poly) => Some(Cow::Borrowed(poly)),
            Symbol::Plain(Value::Bool(known)) => Some(Cow::Owned(Poly::integer(i128::from(*known)))),
            _ => None,
        }
    }

    fn arithmetic(&self, op: BinaryOp, a: &Poly, b: &Poly) -> Found {
        match op {
            BinaryOp::Add => self.number("a sum", |_| a.plus(b)),
            BinaryOp::Sub => self.number("a difference", |_| a.minus(b)),
            BinaryOp::Mul => self.number("a product", |atoms| atoms.product(a, b)),
            BinaryOp::Div => self.quotient(a, b),
            BinaryOp::Rem => {
                let quotient = self.quotient(a, b)?;
                let Some(quotient) = Self::poly_of(&quotient) else { return Err(self.no_form("a remainder")) };
                self.number("a remainder", |atoms| {
                    let whole = atoms.floor(&quotient)?;
                    a.minus(&atoms.product(b, &whole)?)
                })
            }
            BinaryOp::Pow => {
                let exponent = b.as_constant().ok_or_else(|| self.no_form("a power of a workload variable"))?;
                self.number("a power", |atoms| atoms.power(a, exponent))
            }
            BinaryOp::Ge => self.condition(|atoms| atoms.at_least_zero(&a.minus(b)?)),
            BinaryOp::Le => self.condition(|atoms| atoms.at_least_zero(&b.minus(a)?)),
            BinaryOp::Lt => self.opposite(|atoms| atoms.at_least_zero(&a.minus(b)?)),
            BinaryOp::Gt => self.opposite(|atoms| atoms.at_least_zero(&b.minus(a)?)),
            BinaryOp::Eq => self.condition(|atoms| atoms.equals_zero(&a.minus(b)?)),
            BinaryOp::Ne => self.opposite(|atoms| atoms.equals_zero(&a.minus(b)?)),
            BinaryOp::And | BinaryOp::Or => Err(type_error(op.symbol(), "true or false")),
        }
    }

    fn condition(&self, make: impl FnOnce(&mut Atoms) -> Option<Poly>) -> Found {
        self.with(make).map(truth).ok_or_else(|| self.no_form("a condition"))
    }

    fn opposite(&self, make: impl FnOnce(&mut Atoms) -> Option<Poly>) -> Found {
        self.condition(|atoms| Poly::integer(1).minus(&make(atoms)?))
    }

    /// By a number, or where all terms have the divisor's factors.
    fn quotient(&self, a: &Poly, b: &Poly) -> Found {
        if let Some(divisor) = b.as_constant() {
            if divisor.is_zero() {
                return Err(EvalError::DivisionByZero);
            }
            return self.number("a quotient", |_| a.times(Exact::ONE.checked_div(divisor)?));
        }
        let [(mono, value)] = b.terms() else { return Err(self.no_form("a division by what a workload changes")) };
        let quotient = a.over(mono).and_then(|quotient| quotient.times(Exact::ONE.checked_div(*value)?));
        let quotient = quotient.ok_or_else(|| self.no_form("a division by what a workload changes"))?;
        let not_zero = self.poly("a divisor", |atoms| Poly::integer(1).minus(&atoms.equals_zero(b)?));
        self.guard(&not_zero);
        Ok(number(quotient))
    }

    /// Both sides of choices among two operands.
    fn lifted_pair(&self, a: &Symbol, b: &Symbol, make: &dyn Fn(&Symbol, &Symbol) -> Found) -> Found {
        self.lifted(a, &|a| self.lifted(b, &|b| make(a, b)))
    }

    /// Both sides of choices among all operands.
    fn lifted_all(&self, args: &[Symbol], make: &dyn Fn(&[Symbol]) -> Found) -> Found {
        let open = args.iter().position(|arg| matches!(arg, Symbol::Choice(_) | Symbol::Fail(_)));
        let Some(at) = open else { return make(args) };
        let Some(value) = args.get(at) else { return make(args) };
        self.lifted(value, &|value| {
            let args: Vec<Symbol> =
                args.iter().enumerate().map(|(n, arg)| if n == at { value.clone() } else { arg.clone() }).collect();
            self.lifted_all(&args, make)
        })
    }

    fn apply(&self, function: Function, args: &[Symbol]) -> Found {
        let plain: Option<Vec<Value>> = args.iter().map(|arg| self.plain(arg).cloned()).collect();
        if let Some(plain) = plain {
            return apply_function(function, &plain).map(Symbol::Plain);
        }
        let polys = || {
            let polys: Option<Vec<Poly>> = args.iter().map(|arg| Self::poly_of(arg).map(Cow::into_owned)).collect();
            polys.ok_or_else(|| type_error(function.name(), "numbers"))
        };
        let what = "a function of what a workload changes";
        match (function, args) {
            (Function::Min | Function::Max, _) => {
                let polys = polys()?;
                let (first, rest) = polys.split_first().ok_or(EvalError::Reported)?;
                let extreme = |atoms: &mut Atoms, a: &Poly, b: &Poly| match function {
                    Function::Min => atoms.min(a, b),
                    _ => atoms.max(a, b),
                };
                self.number("an extreme", |atoms| rest.iter().try_fold(first.clone(), |best, next| extreme(atoms, &best, next)))
            }
            (Function::Abs, [_]) => {
                let [value] = &polys()?[..] else { return Err(EvalError::Reported) };
                self.number("a distance", |atoms| {
                    let negative = value.times(Exact::integer(-1))?;
                    atoms.max(value, &negative)
                })
            }
            (Function::Ceil | Function::Floor, [_]) => {
                let [value] = &polys()?[..] else { return Err(EvalError::Reported) };
                self.number("a rounded number", |atoms| match function {
                    Function::Ceil => atoms.ceil(value),
                    _ => atoms.floor(value),
                })
            }
            (Function::Isqrt, [_]) => {
                let [value] = &polys()?[..] else { return Err(EvalError::Reported) };
                let value = self.count(&Symbol::Number(value.clone())).ok_or_else(|| type_error("isqrt", "a count"))?;
                self.number("a root", |atoms| atoms.isqrt(&value))
            }
            (Function::ConvOut, [_, _, _, _, ..]) => {
                let polys = polys()?;
                let [size, kernel, stride, padding, rest @ ..] = &polys[..] else { return Err(EvalError::Reported) };
                let one = Poly::integer(1);
                let dilation = rest.first().unwrap_or(&one);
                // floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1
                let reach = self.poly("a convolution", |atoms| atoms.product(dilation, &kernel.minus(&one)?)?.plus(&one));
                let padded = self.poly("a convolution", |_| size.plus(&padding.times(Exact::integer(2))?)?.minus(&reach));
                let steps = self.quotient(&padded, stride)?;
                let Some(steps) = Self::poly_of(&steps) else { return Err(self.no_form(what)) };
                self.number("a convolution", |atoms| atoms.floor(&steps)?.plus(&one))
            }
            (Function::ExpectedExperts, [_, _, _]) => {
                let polys = polys()?;
                let [experts, chosen, tokens] = &polys[..] else { return Err(EvalError::Reported) };
                let count = |poly: &Poly| poly.as_constant().and_then(|n| n.to_count());
                let (Some(experts), Some(chosen)) = (count(experts), count(chosen)) else { return Err(self.no_form(what)) };
                let tokens = self.count(&Symbol::Number(tokens.clone()));
                let tokens = tokens.ok_or_else(|| type_error("expected_experts", "a non-negative integer"))?;
                self.number("experts", |atoms| atoms.experts(experts, chosen, &tokens))
            }
            (Function::Len, [Symbol::List(items)]) => Ok(Symbol::Plain(Value::count(items.len() as u64))),
            (Function::At, [Symbol::List(items), Symbol::Plain(Value::Number(at))]) => {
                let item = at.to_count().and_then(|at| items.get(usize::try_from(at).ok()?)).cloned();
                item.ok_or_else(|| EvalError::OutOfRange { index: Value::Number(*at), length: items.len() })
            }
            (Function::Last, [Symbol::List(items)]) => {
                items.last().cloned().ok_or(EvalError::OutOfRange { index: Value::Null, length: 0 })
            }
            (Function::Product, [list]) => self.product_of(self.items(list).as_deref()),
            (Function::Product, [list, Symbol::Plain(Value::Number(n))]) => {
                let items = self.items(list);
                let first = n.to_count().and_then(|n| items.as_deref()?.get(..usize::try_from(n).ok()?));
                let length = items.as_deref().map_or(0, <[Symbol]>::len);
                self.product_of(Some(first.ok_or(EvalError::OutOfRange { index: Value::Number(*n), length })?))
            }
            (Function::IsList, [value]) => Ok(Symbol::Plain(Value::Bool(matches!(value, Symbol::List(_))))),
            (Function::IsText, [_]) => Ok(Symbol::Plain(Value::Bool(false))),
            _ => Err(self.no_form(what)),
        }
    }

    fn product_of(&self, items: Option<&[Symbol]>) -> Found {
        let items = items.ok_or_else(|| type_error("product", "a list"))?;
        items.iter().try_fold(Symbol::Plain(Value::count(1)), |product, item| self.binary(BinaryOp::Mul, &product, item))
    }

    /// A value without the sides of choices that can't be what is asked for, under the guard that none of them is chosen. `None`: no side can.
    pub(super) fn settled<'v>(&self, value: &'v Symbol, fits: &dyn Fn(&Symbol) -> bool) -> Option<Cow<'v, Symbol>> {
        if !matches!(value, Symbol::Choice(_) | Symbol::Fail(_)) {
            return fits(value).then_some(Cow::Borrowed(value));
        }
        let (value, valid) = self.sides(value, fits);
        let value = value?;
        self.guard(&valid);
        Some(Cow::Owned(value))
    }

    /// The same, with where it is right.
    fn sides(&self, value: &Symbol, fits: &dyn Fn(&Symbol) -> bool) -> (Option<Symbol>, Poly) {
        let Symbol::Choice(choice) = value else {
            let fitting = fits(value) && !matches!(value, Symbol::Fail(_));
            return (fitting.then(|| value.clone()), self.truth_of(fitting));
        };
        let (test, then, otherwise) = &**choice;
        let ((a, a_valid), (b, b_valid)) = (self.sides(then, fits), self.sides(otherwise, fits));
        let valid = self.poly("a condition", |atoms| atoms.select(test, &a_valid, &b_valid));
        let value = match (a, b) {
            (Some(a), Some(b)) => self.select(test, Ok(a), Ok(b)).ok(),
            (a, b) => a.or(b),
        };
        (value, valid)
    }

    /// The number that a value is, where it is one.
    pub(super) fn settled_number(&self, value: &Symbol) -> Option<Poly> {
        let value = self.settled(value, &|side| Self::poly_of(side).is_some())?;
        Self::poly_of(&value).map(Cow::into_owned)
    }

    /// An integer, under the guard that it is one: then what else is made of it is made of an integer.
    fn whole(&self, poly: &Poly) -> Option<Poly> {
        let (whole, is_whole) = self.with(|atoms| {
            let whole = atoms.floor(poly)?;
            let is_whole = atoms.equals_zero(&poly.minus(&whole)?)?;
            Some((whole, is_whole))
        })?;
        self.guard(&is_whole);
        Some(whole)
    }

    pub(super) fn count_of(&self, poly: Poly) -> Option<Poly> {
        if let Some(value) = poly.as_constant() {
            return value.to_count().map(|_| poly);
        }
        let poly = self.whole(&poly)?;
        let positive = self.with(|atoms| atoms.at_least_zero(&poly))?;
        self.guard(&positive);
        Some(poly)
    }
}

/// A number, known or not.
pub(super) fn number(poly: Poly) -> Symbol {
    match poly.as_constant() {
        Some(value) => Symbol::Plain(Value::Number(value)),
        None => Symbol::Number(poly),
    }
}

/// A condition, known or not.
pub(super) fn truth(poly: Poly) -> Symbol {
    match poly.as_constant() {
        Some(value) => Symbol::Plain(Value::Bool(!value.is_zero())),
        None => Symbol::Truth(poly),
    }
}

/// No one reads it: where a form is wrong, the interpreter says why.
fn type_error(operation: &str, expected: &'static str) -> EvalError {
    EvalError::Type { operation: operation.into(), expected, found: Value::Null }
}

impl Domain for Symbols {
    type Value = Symbol;
    type Truth = Poly;

    fn constant(&self, value: &Value) -> Symbol {
        Symbol::Plain(value.clone())
    }

    fn plain<'v>(&self, value: &'v Symbol) -> Option<&'v Value> {
        if let Symbol::Plain(value) = value { Some(value) } else { None }
    }

    fn truth(&self, _operation: impl Display, value: &Symbol) -> Result<Poly, EvalError> {
        let value = self.settled(value, &|side| Self::truth_poly(side).is_some());
        let poly = value.and_then(|value| Self::truth_poly(&value).map(Cow::into_owned));
        poly.ok_or_else(|| type_error("a condition", "true or false"))
    }

    fn decided(&self, truth: &Poly) -> Option<bool> {
        truth.as_constant().map(|value| !value.is_zero())
    }

    fn of_truth(&self, poly: Poly) -> Symbol {
        truth(poly)
    }

    fn select(&self, test: &Poly, then: Found, otherwise: Found) -> Found {
        let (then, otherwise) = match (then, otherwise) {
            (Err(error), Err(_)) => return Err(error),
            (then, otherwise) => (then.unwrap_or_else(Symbol::Fail), otherwise.unwrap_or_else(Symbol::Fail)),
        };
        if then == otherwise {
            return Ok(then);
        }
        if let (Some(a), Some(b)) = (Self::poly_of(&then), Self::poly_of(&otherwise)) {
            return self.number("a choice", |atoms| atoms.select(test, &a, &b));
        }
        if let (Some(a), Some(b)) = (Self::truth_poly(&then), Self::truth_poly(&otherwise)) {
            return self.condition(|atoms| atoms.select(test, &a, &b));
        }
        if let (Some(a), Some(b)) = (self.items(&then), self.items(&otherwise))
            && a.len() == b.len()
        {
            let items = a.iter().zip(b.iter()).map(|(a, b)| self.select(test, Ok(a.clone()), Ok(b.clone())));
            return items.collect::<Result<_, _>>().map(|items| self.list(items));
        }
        Ok(Symbol::Choice(Arc::new((test.clone(), then, otherwise))))
    }

    fn is_present(&self, value: &Symbol) -> Poly {
        let known = |known: bool| Poly::integer(i128::from(known));
        match value {
            Symbol::Plain(value) => known(*value != Value::Null),
            Symbol::Choice(choice) => {
                let (test, then, otherwise) = &**choice;
                let (a, b) = (self.is_present(then), self.is_present(otherwise));
                self.poly("a choice", |atoms| atoms.select(test, &a, &b))
            }
            // What is wrong is not null: who takes it finds out.
            Symbol::Number(_) | Symbol::Truth(_) | Symbol::List(_) | Symbol::Fail(_) => known(true),
        }
    }

    fn equal(&self, a: &Symbol, b: &Symbol) -> Poly {
        let right = |value| self.settled(value, &|_| true);
        let (Some(a), Some(b)) = (right(a), right(b)) else { return Poly::default() };
        let (a, b) = (&*a, &*b);
        if let (Symbol::Plain(a), Symbol::Plain(b)) = (a, b) {
            return Poly::integer(i128::from(a == b));
        }
        for (choice, other) in [(a, b), (b, a)] {
            if let Symbol::Choice(choice) = choice {
                let (test, then, otherwise) = &**choice;
                let (then, otherwise) = (self.equal(then, other), self.equal(otherwise, other));
                return self.poly("a choice", |atoms| atoms.select(test, &then, &otherwise));
            }
        }
        if let (Some(a), Some(b)) = (Self::poly_of(a), Self::poly_of(b)) {
            return self.poly("a condition", |atoms| atoms.equals_zero(&a.minus(&b)?));
        }
        if let (Some(a), Some(b)) = (Self::truth_poly(a), Self::truth_poly(b)) {
            // 1 - a - b + 2 a b
            return self.poly("a condition", |atoms| {
                let both = atoms.product(&a, &b)?.times(Exact::integer(2))?;
                Poly::integer(1).minus(&a)?.minus(&b)?.plus(&both)
            });
        }
        if let (Some(a), Some(b)) = (self.items(a), self.items(b))
            && a.len() == b.len()
        {
            let all = a.iter().zip(b.iter()).map(|(a, b)| self.equal(a, b));
            return all.fold(Poly::integer(1), |all, next| self.both(&all, &next));
        }
        Poly::default()
    }

    fn member(&self, object: Symbol, path: &[Arc<str>]) -> Found {
        self.lifted(&object, &|object| match object {
            Symbol::Plain(value) => member(value.clone(), path).map(Symbol::Plain),
            _ => Err(type_error("a member", "an object")),
        })
    }

    fn unary(&self, op: UnaryOp, value: &Symbol) -> Found {
        self.lifted(value, &|value| match (op, value) {
            (_, Symbol::Plain(value)) => apply_unary(op, value).map(Symbol::Plain),
            (UnaryOp::Neg, Symbol::Number(poly)) => self.number("a negative", |_| poly.times(Exact::integer(-1))),
            (UnaryOp::Not, Symbol::Truth(poly)) => self.condition(|_| Poly::integer(1).minus(poly)),
            _ => Err(type_error("a sign", "a number")),
        })
    }

    fn binary(&self, op: BinaryOp, a: &Symbol, b: &Symbol) -> Found {
        self.lifted_pair(a, b, &|a, b| {
            if let (Symbol::Plain(a), Symbol::Plain(b)) = (a, b) {
                return apply_binary(op, a, b).map(Symbol::Plain);
            }
            if let (Some(a), Some(b)) = (Self::poly_of(a), Self::poly_of(b)) {
                return self.arithmetic(op, &a, &b);
            }
            match op {
                BinaryOp::Eq => Ok(truth(self.equal(a, b))),
                BinaryOp::Ne => {
                    let equal = self.equal(a, b);
                    self.condition(|_| Poly::integer(1).minus(&equal))
                }
                _ => Err(type_error(op.symbol(), "numbers")),
            }
        })
    }

    fn call(&self, function: Function, args: &[Symbol]) -> Found {
        self.lifted_all(args, &|args| self.apply(function, args))
    }

    fn list(&self, items: Vec<Symbol>) -> Symbol {
        let plain: Option<Arc<[Value]>> = items.iter().map(|item| self.plain(item).cloned()).collect();
        match plain {
            Some(values) => Symbol::Plain(Value::List(values)),
            None => Symbol::List(items.into()),
        }
    }
}
