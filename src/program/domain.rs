//! The second domain of the evaluator: values as they depend on a workload's variables.
//!
//! A number is a polynomial or one over another, a condition a polynomial that is 0 or 1. What an undecided condition chooses between two numbers is a
//! number again; between other things (null and a number, two texts) the choice is kept, and every operation is made on both. What fails is wrong only
//! where it is chosen: beside a value stands where it is right, and a count that comes of it is right only under a condition, a guard, which is kept
//! in mind. A guard that is met in a branch holds where the branch is chosen.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Display;
use std::rc::Rc;
use std::sync::Arc;

use super::atoms::Atoms;
use super::poly::Poly;
use crate::cost::counting::Counting;
use crate::syntax::expr::{BinaryOp, Domain, EvalError, Exact, Function, UnaryOp, Value, apply_binary, apply_unary, member};

/// A value as it depends on the variables.
#[derive(Debug, Clone, PartialEq)]
pub enum Symbol {
    /// It doesn't.
    Plain(Value),
    Number(Poly),
    /// One over another, which isn't 0 where it is chosen.
    Ratio(Arc<(Poly, Poly)>),
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
    pub without_form: Option<String>,
    /// Whether a condition was asked for that some values of the variables decide one way and some the other.
    pub is_open: bool,
    /// Where the branch is chosen that is being evaluated. `None`: everywhere.
    branch: Option<Poly>,
    /// Guards of a value that is kept for others, who may ask for it elsewhere: not known of the program yet.
    kept_back: Vec<Vec<Poly>>,
}

/// The domain of polynomials.
#[derive(Debug, Clone)]
pub struct Symbols(pub(super) Rc<RefCell<State>>);

pub(super) type Found = Result<Symbol, EvalError>;

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
    pub fn without_form(&self) -> Option<String> {
        self.0.borrow().without_form.clone()
    }

    pub(super) fn with<T>(&self, make: impl FnOnce(&mut Atoms) -> Option<T>) -> Option<T> {
        make(&mut self.0.borrow_mut().atoms)
    }

    /// A number by an operation on atoms.
    pub(super) fn number(&self, what: &'static str, make: impl FnOnce(&mut Atoms) -> Option<Poly>) -> Found {
        match self.with(make) {
            Some(poly) => Ok(number(poly)),
            None => Err(self.beyond(what)),
        }
    }

    /// A polynomial by an operation on atoms; where that is beyond what is computed with, there is no program.
    pub(super) fn poly(&self, what: &'static str, make: impl FnOnce(&mut Atoms) -> Option<Poly>) -> Poly {
        self.with(make).unwrap_or_else(|| {
            let _ = self.beyond(what);
            Poly::default()
        })
    }

    /// Something has no form: there is no program.
    pub(super) fn no_form(&self, what: &str) -> EvalError {
        self.0.borrow_mut().without_form.get_or_insert_with(|| what.to_owned());
        EvalError::Reported
    }

    /// Something is beyond what is computed with: there is no program.
    pub(super) fn beyond(&self, what: &str) -> EvalError {
        let limit = self.0.borrow().atoms.limit();
        self.no_form(&format!("{what} in it is beyond what formulas are made of: {limit}"))
    }

    /// From here on it is right only where a condition holds, or where the branch isn't chosen in which that was met.
    pub fn guard(&self, truth: &Poly) {
        let branch = self.0.borrow().branch.clone();
        let truth = match branch {
            Some(branch) => self.poly("a condition", |atoms| atoms.select(&branch, truth, &Poly::integer(1))),
            None => truth.clone(),
        };
        let mut state = self.0.borrow_mut();
        let State { guards, kept_back, .. } = &mut *state;
        let guards = kept_back.last_mut().unwrap_or(guards);
        if truth.as_constant() != Some(Exact::ONE) && !guards.contains(&truth) {
            guards.push(truth);
        }
    }

    /// What is made where a condition holds, and nowhere else.
    fn where_it<T>(&self, holds: &Poly, make: impl FnOnce() -> T) -> T {
        let outer = self.0.borrow().branch.clone();
        let inner = match &outer {
            Some(outer) => self.poly("a condition", |atoms| atoms.product(outer, holds)),
            None => holds.clone(),
        };
        self.0.borrow_mut().branch = Some(inner);
        let made = make();
        self.0.borrow_mut().branch = outer;
        made
    }

    /// An operation on a value, on both sides of a choice.
    pub(super) fn lifted(&self, value: &Symbol, make: &dyn Fn(&Symbol) -> Found) -> Found {
        match value {
            Symbol::Choice(choice) => {
                let (test, then, otherwise) = &**choice;
                let then = self.within(test, true, || self.lifted(then, make));
                self.select(test, then, self.within(test, false, || self.lifted(otherwise, make)))
            }
            Symbol::Fail(error) => Err(error.clone()),
            value => make(value),
        }
    }

    /// The polynomial of a number that is no quotient.
    pub(super) fn poly_of(value: &Symbol) -> Option<Cow<'_, Poly>> {
        match value {
            Symbol::Number(poly) => Some(Cow::Borrowed(poly)),
            Symbol::Plain(value) => value.as_number().map(|n| Cow::Owned(Poly::constant(n))),
            _ => None,
        }
    }

    /// The polynomial of a condition.
    pub(super) fn truth_poly(value: &Symbol) -> Option<Cow<'_, Poly>> {
        match value {
            Symbol::Truth(poly) => Some(Cow::Borrowed(poly)),
            Symbol::Plain(Value::Bool(known)) => Some(Cow::Owned(Poly::integer(i128::from(*known)))),
            _ => None,
        }
    }

    /// A condition by an operation on atoms.
    pub(super) fn condition(&self, make: impl FnOnce(&mut Atoms) -> Option<Poly>) -> Found {
        self.with(make).map(truth).ok_or_else(|| self.beyond("a condition"))
    }

    /// Both sides of choices among two operands.
    pub(super) fn lifted_pair(&self, a: &Symbol, b: &Symbol, make: &dyn Fn(&Symbol, &Symbol) -> Found) -> Found {
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

    /// A value where a condition holds, else what is wrong.
    pub(super) fn only_where(&self, holds: &Poly, value: Symbol, error: EvalError) -> Found {
        match self.decided(holds) {
            Some(true) => Ok(value),
            Some(false) => Err(error),
            None => Ok(Symbol::Choice(Arc::new((holds.clone(), value, Symbol::Fail(error))))),
        }
    }

    /// What two values are where a condition chooses the first, else the second, as one value of their kind. `None`: they have none in common.
    fn merged(&self, test: &Poly, a: &Symbol, b: &Symbol) -> Option<Found> {
        if a == b {
            return Some(Ok(a.clone()));
        }
        if let (Some(a), Some(b)) = (Self::poly_of(a), Self::poly_of(b)) {
            return Some(self.number("a choice", |atoms| atoms.select(test, &a, &b)));
        }
        if let (Some(a), Some(b)) = (Self::fraction_of(a), Self::fraction_of(b)) {
            let over = self.poly("a choice", |atoms| atoms.select(test, &a.over, &b.over));
            let under = self.poly("a choice", |atoms| atoms.select(test, &a.under, &b.under));
            return Some(self.ratio(&over, &under));
        }
        if let (Some(a), Some(b)) = (Self::truth_poly(a), Self::truth_poly(b)) {
            return Some(self.condition(|atoms| atoms.select(test, &a, &b)));
        }
        let (a, b) = (self.items(a)?, self.items(b)?);
        let items = || {
            let items = a.iter().zip(b.iter()).map(|(a, b)| self.select(test, Ok(a.clone()), Ok(b.clone())));
            items.collect::<Result<_, _>>().map(|items| self.list(items))
        };
        (a.len() == b.len()).then(items)
    }

    /// A value that isn't wrong, and where it is that value.
    fn certain<'v>(&self, value: &'v Symbol) -> (Option<&'v Symbol>, Poly) {
        match value {
            Symbol::Fail(_) => (None, Poly::default()),
            Symbol::Choice(choice) if matches!(choice.2, Symbol::Fail(_)) => (Some(&choice.1), choice.0.clone()),
            value => (Some(value), Poly::integer(1)),
        }
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
pub(super) fn type_error(operation: &str, expected: &'static str) -> EvalError {
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
        let known = truth.as_constant().map(|value| !value.is_zero());
        if known.is_none() {
            self.0.borrow_mut().is_open = true;
        }
        known
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
        let ((a, a_valid), (b, b_valid)) = (self.certain(&then), self.certain(&otherwise));
        let merged = match (a, b) {
            (Some(a), Some(b)) => self.merged(test, a, b).transpose()?,
            (Some(one), None) | (None, Some(one)) => Some(one.clone()),
            (None, None) => None,
        };
        match merged {
            Some(value) => {
                let valid = self.poly("a condition", |atoms| atoms.select(test, &a_valid, &b_valid));
                let error = |side: &Symbol| match side {
                    Symbol::Fail(error) => Some(error.clone()),
                    Symbol::Choice(choice) => {
                        if let Symbol::Fail(error) = &choice.2 {
                            Some(error.clone())
                        } else {
                            None
                        }
                    }
                    _ => None,
                };
                self.only_where(&valid, value, error(&then).or_else(|| error(&otherwise)).unwrap_or(EvalError::Reported))
            }
            None => Ok(Symbol::Choice(Arc::new((test.clone(), then, otherwise)))),
        }
    }

    fn within<T>(&self, test: &Poly, holds: bool, make: impl FnOnce() -> T) -> T {
        let here = if holds { test.clone() } else { self.not(test) };
        self.where_it(&here, make)
    }

    fn kept(&self, make: impl FnOnce() -> Found) -> Found {
        let outer = self.0.borrow_mut().branch.take();
        if outer.is_none() && self.0.borrow().kept_back.is_empty() {
            // Who asks first asks everywhere, so its guards are the program's.
            return make();
        }
        self.0.borrow_mut().kept_back.push(Vec::new());
        let made = make();
        let mut state = self.0.borrow_mut();
        state.branch = outer;
        let guards = state.kept_back.pop().unwrap_or_default();
        drop(state);
        let valid = guards.iter().fold(Poly::integer(1), |all, guard| self.both(&all, guard));
        self.select(&valid, made, Err(EvalError::Reported))
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
            Symbol::Number(_) | Symbol::Ratio(_) | Symbol::Truth(_) | Symbol::List(_) | Symbol::Fail(_) => known(true),
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
        if let (Some(a), Some(b)) = (Self::fraction_of(a), Self::fraction_of(b)) {
            return self.equals(&a, &b);
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
            (UnaryOp::Neg, Symbol::Ratio(parts)) => {
                let over = self.poly("a negative", |_| parts.0.times(Exact::integer(-1)));
                self.ratio(&over, &parts.1)
            }
            (UnaryOp::Not, Symbol::Truth(poly)) => self.condition(|_| Poly::integer(1).minus(poly)),
            _ => Err(type_error("a sign", "a number")),
        })
    }

    fn binary(&self, op: BinaryOp, a: &Symbol, b: &Symbol) -> Found {
        self.lifted_pair(a, b, &|a, b| {
            if let (Symbol::Plain(a), Symbol::Plain(b)) = (a, b) {
                return apply_binary(op, a, b).map(Symbol::Plain);
            }
            if let (Some(a), Some(b)) = (Self::poly_of(a), Self::poly_of(b))
                && let Some(found) = self.polynomial(op, &a, &b)
            {
                return found;
            }
            if let (Some(a), Some(b)) = (Self::fraction_of(a), Self::fraction_of(b)) {
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
