//! Formulas as text: for people, in LaTeX, and as the expressions of programming languages.

use super::atoms::{Atom, Atoms};
use super::poly::{AtomId, Mono, Poly};
use super::symbolic::Variable;
use crate::quantity::grouped;
use crate::syntax::expr::Exact;

/// How formulas are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `B·S·(4,096 + min(P, 511))`.
    Text,
    /// `B \, S \, (4{,}096 + \min(P, 511))`.
    Latex,
    /// `B*S*(4096 + min(P, 511))`.
    Python,
    /// `B*S*(4096n + min(P, 511n))`, of BigInts.
    JavaScript,
}

/// How tightly a formula's outermost operation binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binds {
    Sum,
    Product,
    Whole,
}

/// Words that mean something in a Python module of formulas.
const PYTHON_WORDS: &str = "False None True and as assert async await break class continue def del elif else except finally for from global if \
    import in is lambda nonlocal not or pass raise return try while with yield int len min max map index isqrt quotient power item expected_millionths ValueError _check";

/// Words that mean something in a JavaScript module of formulas.
const JAVASCRIPT_WORDS: &str = "arguments await break case catch class const continue debugger default delete do else enum eval export extends \
    false finally for function if implements import in instanceof interface let new null package private protected public return static super \
    switch this throw true try typeof var void while with yield BigInt RangeError min floorDiv isqrt quotient power item expectedMillionths check";

/// So many items of a list are shown to people.
const MOST_ITEMS: usize = 8;

/// How two numbers are compared.
#[derive(Debug, Clone, Copy)]
enum Sign {
    AtLeast,
    Less,
    Equal,
    Unequal,
}

/// Formulas over atoms, with names for the variables.
pub struct Writer<'a> {
    pub atoms: &'a Atoms,
    /// The program's variables.
    pub variables: &'a [Variable],
    pub style: Style,
}

/// The short names of the lengths that every model has.
pub const SHORT: [(&str, &str); 3] = [("batch_size", "B"), ("seq_len", "S"), ("past_len", "P")];

impl Writer<'_> {
    /// A variable's name: a letter for the lengths that every model has, unless one of the model's own is called so.
    pub fn name(&self, name: &str) -> String {
        let is_taken = |letter: &str| self.variables.iter().any(|variable| *variable.name == *letter);
        let short = SHORT.iter().find(|(long, letter)| *long == name && !is_taken(letter)).map_or(name, |(_, letter)| letter);
        match self.style {
            Style::Text => short.to_owned(),
            Style::Latex if short.len() == 1 => short.to_owned(),
            Style::Latex => format!("\\mathit{{{}}}", name.replace('_', "\\_")),
            Style::Python => self.spared(name, PYTHON_WORDS),
            Style::JavaScript => self.spared(name, JAVASCRIPT_WORDS),
        }
    }

    /// A name that is none of some words: one of them gets strokes behind it, until no other variable is called so.
    fn spared(&self, name: &str, words: &str) -> String {
        let mut spared = name.to_owned();
        let is_word = words.split_whitespace().any(|word| word == name);
        while is_word && (spared == name || self.variables.iter().any(|variable| *variable.name == *spared)) {
            spared.push('_');
        }
        spared
    }

    /// The groups of a polynomial, as it is written.
    pub fn groups(&self, poly: &Poly) -> Vec<Group> {
        let position = |name: &str| {
            let at = self.variables.iter().position(|variable| *variable.name == *name)?;
            self.atoms.variable(u16::try_from(at).ok()?)?.as_atom()
        };
        groups(self.atoms, poly, position("seq_len"), position("past_len"))
    }

    /// A polynomial, factored where that reads better.
    pub fn poly(&self, poly: &Poly) -> String {
        self.factored(poly).0
    }

    /// One that stands inside a product.
    pub fn factor(&self, poly: &Poly) -> String {
        self.within(self.factored(poly), Binds::Product)
    }

    fn within(&self, (text, binds): (String, Binds), around: Binds) -> String {
        if binds < around { self.parentheses(&text) } else { text }
    }

    fn parentheses(&self, text: &str) -> String {
        if self.style == Style::Latex { format!("\\left({text}\\right)") } else { format!("({text})") }
    }

    fn factored(&self, poly: &Poly) -> (String, Binds) {
        let common = poly.common();
        let is_several = |rest: &Poly| self.groups(rest).len() > 1;
        let rest = poly.over(&common).filter(|rest| common != Mono::ONE && is_several(rest));
        match rest {
            Some(rest) => {
                let (outside, inside) = (self.mono(&common), self.sum(&rest));
                (format!("{outside}{}{}", self.times(), self.parentheses(&inside.0)), Binds::Product)
            }
            None => self.sum(poly),
        }
    }

    fn times(&self) -> &'static str {
        match self.style {
            Style::Text => "·",
            Style::Latex => " \\, ",
            Style::Python | Style::JavaScript => "*",
        }
    }

    /// The sum of the groups of a polynomial.
    fn sum(&self, poly: &Poly) -> (String, Binds) {
        let groups = self.groups(poly);
        let Some((first, rest)) = groups.split_first() else { return (self.number(Exact::ZERO), Binds::Whole) };
        let mut text = self.group(first);
        if rest.is_empty() {
            return text;
        }
        for group in rest {
            let (sign, group) = match group.scale < Exact::ZERO {
                true => (" - ", Group { scale: Exact::ZERO.checked_sub(group.scale).unwrap_or(group.scale), ..group.clone() }),
                false => (" + ", group.clone()),
            };
            text.0.push_str(sign);
            text.0.push_str(&self.group(&group).0);
        }
        (text.0, Binds::Sum)
    }

    /// A group: a coefficient, factors, and a sum of lengths in parentheses.
    fn group(&self, group: &Group) -> (String, Binds) {
        let mut scale = group.scale;
        if let Some(lengths) = group.lengths.as_ref().filter(|_| group.mono == Mono::ONE && scale == Exact::ONE) {
            return (self.sum_of(lengths), Binds::Sum);
        }
        // Experts are counted in millionths; people are shown experts.
        if matches!(self.style, Style::Text | Style::Latex) {
            for atom in group.mono.factors() {
                if let (Some(Atom::Experts(..)), Some(more)) =
                    (self.atoms.atom(atom), scale.checked_mul(Exact::integer(1_000_000)))
                {
                    scale = more;
                }
            }
        }
        let mut factors: Vec<String> = Vec::new();
        let bare = group.mono == Mono::ONE && group.lengths.is_none() && group.denied.is_none();
        if bare || scale != Exact::ONE {
            if scale == Exact::integer(-1) && !bare {
                let rest = self.group(&Group { scale: Exact::ONE, ..group.clone() });
                return (format!("-{}", self.within(rest, Binds::Product)), Binds::Sum);
            }
            factors.push(self.number(scale));
        }
        if group.mono != Mono::ONE {
            factors.push(self.mono(&group.mono));
        }
        if let Some(condition) = group.denied {
            factors.push(self.denied(condition));
        }
        if let Some(lengths) = &group.lengths {
            factors.push(self.parentheses(&self.sum_of(lengths)));
        }
        let binds = match (factors.len(), group.mono.degree()) {
            _ if scale < Exact::ZERO => Binds::Sum,
            (1, 0 | 1) => Binds::Whole,
            _ => Binds::Product,
        };
        (factors.join(self.times()), binds)
    }

    /// Lengths are written as they stand.
    fn sum_of(&self, lengths: &[AtomId]) -> String {
        let lengths: Vec<String> = lengths.iter().map(|atom| self.atom(*atom)).collect();
        lengths.join(" + ")
    }

    fn mono(&self, mono: &Mono) -> String {
        let mut factors: Vec<(AtomId, usize)> = Vec::new();
        for atom in mono.factors() {
            match factors.last_mut() {
                Some((last, power)) if *last == atom => *power += 1,
                _ => factors.push((atom, 1)),
            }
        }
        let factor = |(atom, power): &(AtomId, usize)| {
            let text = self.atom(*atom);
            let text = match self.atoms.atom(*atom) {
                Some(Atom::Power(..)) if *power > 1 && matches!(self.style, Style::Text | Style::Latex) => {
                    self.parentheses(&text)
                }
                _ => text,
            };
            match (self.style, power) {
                (_, 1) => text,
                (Style::Text, 2) => format!("{text}²"),
                (Style::Text, 3) => format!("{text}³"),
                (Style::Text, power) => format!("{text}^{power}"),
                (Style::Latex, power) => format!("{text}^{{{power}}}"),
                (Style::Python | Style::JavaScript, power) => vec![text; *power].join("*"),
            }
        };
        factors.iter().map(factor).collect::<Vec<_>>().join(self.times())
    }

    /// The condition that a polynomial of 0 or 1 is, if it is one condition.
    pub fn condition_of(&self, poly: &Poly) -> Option<String> {
        let text = match self.groups(poly).as_slice() {
            [Group { scale, mono, denied: None, lengths: None }] if *scale == Exact::ONE && mono.degree() == 1 => {
                self.atom(mono.factors().next()?)
            }
            [Group { scale, mono, denied: Some(condition), lengths: None }] if *scale == Exact::ONE && *mono == Mono::ONE => {
                self.denied(*condition)
            }
            _ => return None,
        };
        Some(text.strip_prefix('[')?.strip_suffix(']')?.to_owned())
    }

    /// A group of terms by itself.
    pub fn term(&self, group: &Group) -> String {
        self.group(group).0
    }

    /// An atom, bound as tightly as a name.
    pub fn atom(&self, id: AtomId) -> String {
        let Some(atom) = self.atoms.atom(id) else { return "?".to_owned() };
        let form = |poly: &Poly| self.poly(poly);
        match atom {
            Atom::Variable(at) => {
                self.variables.get(usize::from(*at)).map(|variable| self.name(&variable.name)).unwrap_or_default()
            }
            // floor((n + d - 1) / d) = ceil(n / d)
            Atom::Floor(numerator, by)
                if matches!(self.style, Style::Text | Style::Latex)
                    && numerator.constant_part() == Exact::integer(*by - 1)
                    && numerator.terms().len() > 1 =>
            {
                let quotient = numerator.without_constant();
                let quotient = Exact::ratio(1, *by).and_then(|part| quotient.times(part)).unwrap_or(quotient);
                let inside = self.fraction(&quotient);
                if self.style == Style::Latex {
                    format!("\\left\\lceil {inside}\\right\\rceil")
                } else {
                    format!("⌈{inside}⌉")
                }
            }
            Atom::Floor(numerator, denominator) => {
                let denominator = self.number(Exact::integer(*denominator));
                match self.style {
                    Style::Text => format!("⌊{}/{denominator}⌋", self.factor(numerator)),
                    Style::Latex => format!("\\left\\lfloor\\frac{{{}}}{{{denominator}}}\\right\\rfloor", form(numerator)),
                    Style::Python => format!("({} // {denominator})", self.factor(numerator)),
                    Style::JavaScript => format!("floorDiv({}, {denominator})", form(numerator)),
                }
            }
            Atom::Quotient(a, b) => self.quotient(a, b),
            Atom::Min(a, b) => {
                // A number comes last.
                let (a, b) = if a.as_constant().is_some() { (form(b), form(a)) } else { (form(a), form(b)) };
                if self.style == Style::Latex { format!("\\min\\left({a}, {b}\\right)") } else { format!("min({a}, {b})") }
            }
            Atom::AtLeast(form, threshold) => self.condition(form, Sign::AtLeast, *threshold),
            Atom::Equals(form, value) => self.condition(form, Sign::Equal, *value),
            Atom::Experts(experts, chosen, tokens) => {
                let args = format!("{}, {}, {}", self.integer(experts), self.integer(chosen), self.integer(tokens));
                match self.style {
                    Style::Text => format!("experts({args})"),
                    Style::Latex => format!("\\operatorname{{experts}}\\left({args}\\right)"),
                    Style::Python => format!("expected_millionths({args})"),
                    Style::JavaScript => format!("expectedMillionths({args})"),
                }
            }
            Atom::Isqrt(inner) => match self.style {
                Style::Text => format!("⌊√{}⌋", self.within(self.factored(inner), Binds::Whole)),
                Style::Latex => format!("\\left\\lfloor\\sqrt{{{}}}\\right\\rfloor", form(inner)),
                Style::Python | Style::JavaScript => format!("isqrt({})", self.integer(inner)),
            },
            Atom::Power(base, exponent) => self.power(base, exponent),
            Atom::Item(items, at) => self.item(items, at),
        }
    }

    /// An integer, whatever fractions its polynomial has.
    fn integer(&self, poly: &Poly) -> String {
        match (self.style, poly.whole()) {
            (Style::Python, Some((numerator, by))) if by != 1 => format!("{} // {by}", self.factor(&numerator)),
            (Style::JavaScript, Some((numerator, by))) if by != 1 => format!("{} / {by}n", self.factor(&numerator)),
            _ => self.poly(poly),
        }
    }

    /// The quotient of two, rounded down; up where that is shorter.
    fn quotient(&self, a: &Poly, b: &Poly) -> String {
        let (is_positive, binds) = (self.is_at_least(b, 1), Binds::Whole);
        let inside = |a: &Poly| match self.style {
            Style::Latex => format!("\\frac{{{}}}{{{}}}", self.poly(a), self.poly(b)),
            _ => format!("{}/{}", self.factor(a), self.within(self.factored(b), binds)),
        };
        // floor((a + b - 1) / b) = ceil(a / b)
        let ceil = self.rounded_up(a, b);
        match (self.style, ceil) {
            (Style::Text, Some(a)) => format!("⌈{}⌉", inside(&a)),
            (Style::Text, None) => format!("⌊{}⌋", inside(a)),
            (Style::Latex, Some(a)) => format!("\\left\\lceil {}\\right\\rceil", inside(&a)),
            (Style::Latex, None) => format!("\\left\\lfloor {}\\right\\rfloor", inside(a)),
            (Style::Python, _) if is_positive => format!("({} // {})", self.factor(a), self.within(self.factored(b), binds)),
            (Style::JavaScript, _) if is_positive => format!("floorDiv({}, {})", self.poly(a), self.poly(b)),
            (Style::Python | Style::JavaScript, _) => format!("quotient({}, {})", self.poly(a), self.poly(b)),
        }
    }

    /// What is rounded up where `a + b - 1` is rounded down.
    pub fn rounded_up(&self, a: &Poly, b: &Poly) -> Option<Poly> {
        let less = a.minus(b)?.plus(&Poly::integer(1))?;
        (less.terms().len() < a.terms().len()).then_some(less)
    }

    fn power(&self, base: &Poly, exponent: &Poly) -> String {
        let tight = |poly: &Poly| self.within(self.factored(poly), Binds::Whole);
        match self.style {
            Style::Text => format!("{}^{}", tight(base), tight(exponent)),
            Style::Latex => format!("{}^{{{}}}", tight(base), self.poly(exponent)),
            Style::Python | Style::JavaScript
                if self.is_at_least(exponent, 0) && base.denominator() == Some(1) && exponent.denominator() == Some(1) =>
            {
                format!("({} ** {})", tight(base), tight(exponent))
            }
            Style::Python | Style::JavaScript => format!("power({}, {})", self.integer(base), self.integer(exponent)),
        }
    }

    fn item(&self, items: &[i128], at: &Poly) -> String {
        let is_code = matches!(self.style, Style::Python | Style::JavaScript);
        let shown = items.get(..MOST_ITEMS).filter(|_| !is_code).unwrap_or(items);
        let mut list = shown.iter().map(|item| self.number(Exact::integer(*item))).collect::<Vec<_>>().join(", ");
        if shown.len() < items.len() {
            list.push_str(", ...");
        }
        let at = self.integer(at);
        match self.style {
            Style::Text => format!("item({at}; {list})"),
            Style::Latex => format!("\\operatorname{{item}}\\left({at};\\ {list}\\right)"),
            Style::Python => format!("item({at}, ({list},))"),
            Style::JavaScript => format!("item({at}, [{list}])"),
        }
    }

    /// Whether it is plain to see that a polynomial is never less than 0, or than 1.
    fn is_at_least(&self, poly: &Poly, least: i128) -> bool {
        let is_positive = |(mono, value): &(Mono, Exact)| *value > Exact::ZERO && self.atoms.are_at_least(mono, 0);
        let is_one = |(mono, value): &(Mono, Exact)| *value >= Exact::ONE && self.atoms.are_at_least(mono, 1);
        poly.terms().iter().all(is_positive) && (least <= 0 || poly.terms().iter().any(is_one))
    }

    /// That one number divides another, in words, where a condition asks for it.
    fn divides(&self, form: &Poly, sign: Sign, value: i128) -> Option<String> {
        let form = form.minus(&Poly::integer(value))?;
        let opposite = form.times(Exact::integer(-1))?;
        let (words, latex) = match sign {
            Sign::Equal => ("divides", "\\mid"),
            Sign::Unequal => ("doesn't divide", "\\nmid"),
            Sign::AtLeast | Sign::Less => return None,
        };
        form.atoms().into_iter().find_map(|id| {
            let (a, b) = match self.atoms.atom(id)? {
                Atom::Quotient(a, b) => (a.clone(), b.clone()),
                Atom::Floor(a, by) => (a.clone(), Poly::integer(*by)),
                _ => return None,
            };
            let times = b.terms().iter().map(|(mono, value)| Some((mono.times(&Mono::of(id))?, *value)));
            let rest = a.minus(&Poly::sum(times.collect::<Option<_>>()?)?)?;
            if rest != form && rest != opposite {
                return None;
            }
            // Of what was rounded up it is the number itself.
            let a = self.rounded_up(&a, &b).unwrap_or(a);
            match self.style {
                Style::Text => Some(format!("[{} {words} {}]", self.poly(&b), self.poly(&a))),
                Style::Latex => Some(format!("\\left[{} {latex} {}\\right]", self.factor(&b), self.factor(&a))),
                Style::Python | Style::JavaScript => None,
            }
        })
    }

    /// 1 where a condition doesn't hold.
    pub fn denied(&self, id: AtomId) -> String {
        match self.atoms.atom(id) {
            Some(Atom::AtLeast(form, 1)) if form.as_atom().is_some_and(|of| self.atoms.are_at_least(&Mono::of(of), 0)) => {
                self.condition(form, Sign::Equal, 0)
            }
            Some(Atom::AtLeast(form, threshold)) => self.condition(form, Sign::Less, *threshold),
            Some(Atom::Equals(form, value)) => self.condition(form, Sign::Unequal, *value),
            _ => "?".to_owned(),
        }
    }

    fn condition(&self, form: &Poly, sign: Sign, value: i128) -> String {
        if let Some(divides) = self.divides(form, sign, value) {
            return divides;
        }
        let (value, form) = (self.number(Exact::integer(value)), self.poly(form));
        let (text, latex, code) = match sign {
            Sign::AtLeast => ("≥", "\\ge", ">="),
            Sign::Less => ("<", "<", "<"),
            Sign::Equal => ("=", "=", "=="),
            Sign::Unequal => ("≠", "\\ne", "!="),
        };
        match self.style {
            Style::Text => format!("[{form} {text} {value}]"),
            Style::Latex => format!("\\left[{form} {latex} {value}\\right]"),
            Style::Python => format!("int({form} {code} {value})"),
            Style::JavaScript => format!("BigInt({form} {code} {value})"),
        }
    }

    /// A polynomial over its denominator: `5·S/2`.
    fn fraction(&self, poly: &Poly) -> String {
        // Of experts the denominator is only that of millionths.
        let is_expected = |mono: &Mono| mono.factors().any(|id| matches!(self.atoms.atom(id), Some(Atom::Experts(..))));
        let denominator = poly.denominator().filter(|_| !poly.terms().iter().any(|(mono, _)| is_expected(mono)));
        let Some(denominator) = denominator.filter(|by| *by != 1) else { return self.poly(poly) };
        let Some(numerator) = poly.times(Exact::integer(denominator)) else { return self.poly(poly) };
        let by = self.number(Exact::integer(denominator));
        if self.style == Style::Latex {
            return format!("\\frac{{{}}}{{{by}}}", self.poly(&numerator));
        }
        format!("{}/{by}", self.factor(&numerator))
    }

    fn number(&self, value: Exact) -> String {
        let (numerator, denominator) = value.parts();
        let in_threes = |n: i128, separator| format!("{}{}", if n < 0 { "-" } else { "" }, grouped(n.unsigned_abs(), separator));
        let integer = |n: i128| match self.style {
            Style::Text => in_threes(n, ","),
            Style::Latex => in_threes(n, "{,}"),
            Style::Python => n.to_string(),
            Style::JavaScript => format!("{n}n"),
        };
        match denominator {
            1 => integer(numerator),
            _ if self.style == Style::Latex => format!("\\frac{{{}}}{{{}}}", integer(numerator), integer(denominator)),
            _ => format!("{}/{}", integer(numerator), integer(denominator)),
        }
    }
}

/// Terms of a polynomial that read as one.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    pub scale: Exact,
    pub mono: Mono,
    /// A condition that doesn't hold.
    pub denied: Option<AtomId>,
    /// Lengths whose sum is a factor: `(S + min(P, 511))`.
    pub lengths: Option<Vec<AtomId>>,
}

impl Group {
    /// The group multiplied out.
    pub fn poly(&self) -> Option<Poly> {
        match (&self.lengths, self.denied) {
            (None, None) => Some(Poly::term(self.mono, self.scale)),
            (None, Some(condition)) => {
                let less = Exact::ZERO.checked_sub(self.scale)?;
                Poly::sum(vec![(self.mono, self.scale), (self.mono.times(&Mono::of(condition))?, less)])
            }
            (Some(lengths), _) => {
                let term = |atom: &AtomId| Some((self.mono.times(&Mono::of(*atom))?, self.scale));
                Poly::sum(lengths.iter().map(term).collect::<Option<_>>()?)
            }
        }
    }
}

/// The terms of a polynomial, those put together that read as a length: of a product with a variable `x` and of others with lengths of the past,
/// of which there are no more, `c·x + c·y` is `c·(x + y)`. The largest products come last in a polynomial; people read the simplest first.
fn groups(atoms: &Atoms, poly: &Poly, new: Option<AtomId>, past: Option<AtomId>) -> Vec<Group> {
    let is_past = |atom: AtomId| match atoms.atom(atom) {
        Some(Atom::Variable(_)) => Some(atom) == past,
        Some(Atom::Min(a, b)) => [a, b].into_iter().any(|side| side.as_atom().is_some_and(|id| Some(id) == past)),
        _ => false,
    };
    let mut left: Vec<(Mono, Exact)> = poly.terms().to_vec();
    let mut groups: Vec<Group> = Vec::new();
    for (mono, scale) in poly.terms() {
        let Some(past) = mono.factors().find(|atom| is_past(*atom)).filter(|_| *scale > Exact::ZERO) else { continue };
        let rest = mono.without(past);
        let Some((new, twin)) = new.and_then(|new| Some((new, rest.times(&Mono::of(new))?))) else { continue };
        let enough = left.iter_mut().find(|(mono, more)| *mono == twin && *more >= *scale);
        let Some((_, more)) = enough else { continue };
        let Some(less) = more.checked_sub(*scale) else { continue };
        *more = less;
        left.retain(|(other, scale)| other != mono && !scale.is_zero());
        groups.push(Group { scale: *scale, mono: rest, denied: None, lengths: Some(vec![new, past]) });
    }
    // c·x - c·x·[condition] is c·x where the condition doesn't hold.
    let mut denied: Vec<Group> = Vec::new();
    let is_condition = |atom: &AtomId| matches!(atoms.atom(*atom), Some(Atom::AtLeast(..) | Atom::Equals(..)));
    while let Some((mono, scale, condition)) = left.iter().find_map(|(mono, scale)| {
        let opposite = Exact::ZERO.checked_sub(*scale)?;
        let denies = |atom: &AtomId| is_condition(atom) && left.contains(&(mono.without(*atom), opposite));
        (*scale < Exact::ZERO).then(|| mono.factors().find(denies)).flatten().map(|condition| (*mono, opposite, condition))
    }) {
        let rest = mono.without(condition);
        left.retain(|(other, _)| *other != mono && *other != rest);
        denied.push(Group { scale, mono: rest, denied: Some(condition), lengths: None });
    }
    let single = left.into_iter().map(|(mono, scale)| Group { scale, mono, denied: None, lengths: None });
    let mut all: Vec<Group> = single.chain(denied).chain(groups).collect();
    all.sort_by_key(|group| group.mono.degree() + usize::from(group.lengths.is_some()) + usize::from(group.denied.is_some()));
    // A sum doesn't begin with what is taken off.
    if let Some(first) = all.iter().position(|group| group.scale > Exact::ZERO) {
        all.get_mut(..=first).into_iter().for_each(|part| part.rotate_right(1));
    }
    all
}
