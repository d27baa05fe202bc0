//! What costs are computed with, besides what expressions are: counts, and what a class's definitions ask of values.

use std::borrow::Cow;

use crate::catalog::{Parameter, check_parameter};
use crate::syntax::expr::{Domain, Exact, Plain, Value};

/// A domain in which counts are added up.
pub trait Counting: Domain {
    /// A non-negative integer.
    type Count: Clone + std::fmt::Debug;

    /// A count that is known.
    fn of(&self, count: u128) -> Self::Count;

    /// The count, if it is known.
    fn known(&self, count: &Self::Count) -> Option<u128>;

    /// The count that a value is. `None`: it is none.
    fn count(&self, value: &Self::Value) -> Option<Self::Count>;

    /// The count that a value is when a fraction is rounded up. `None`: it is none.
    fn rounded_up(&self, value: &Self::Value) -> Option<Self::Count>;

    /// Whether a value can be a number of bytes, or a length: it isn't negative.
    fn is_size(&self, value: &Self::Value) -> bool;

    /// `None` beyond what is computed with.
    fn sum(&self, a: &Self::Count, b: &Self::Count) -> Option<Self::Count>;

    /// What is left; 0 where the second is greater.
    fn difference(&self, a: &Self::Count, b: &Self::Count) -> Self::Count;

    /// `None` beyond what is computed with.
    fn product(&self, a: &Self::Count, b: &Self::Count) -> Option<Self::Count>;

    /// Times a number, rounded up. `None` beyond what is computed with, and for what is no number.
    fn times(&self, count: &Self::Count, factor: &Self::Value) -> Option<Self::Count>;

    /// Whether the first is less.
    fn is_less(&self, a: &Self::Count, b: &Self::Count) -> Self::Truth;

    /// What is true or false.
    fn truth_of(&self, known: bool) -> Self::Truth;

    /// Whether both hold.
    fn both(&self, a: &Self::Truth, b: &Self::Truth) -> Self::Truth;

    /// Whether it doesn't hold.
    fn not(&self, truth: &Self::Truth) -> Self::Truth;

    /// The count where a condition holds, else 0.
    fn only_if(&self, truth: &Self::Truth, count: &Self::Count) -> Self::Count;

    /// Whether a condition holds; where it is undecided, that it does is kept in mind, and what is computed is right only there.
    fn holds(&self, truth: &Self::Truth) -> bool;

    /// A value as a parameter takes it. `None`: it doesn't fit.
    fn fitting(&self, parameter: &Parameter, value: &Self::Value) -> Option<Self::Value>;

    /// The items of a list. `None`: it is none.
    fn items<'v>(&self, value: &'v Self::Value) -> Option<Cow<'v, [Self::Value]>>;

    /// The constants that a value may be, each where its condition holds.
    fn cases(&self, value: &Self::Value) -> Vec<(Self::Truth, Value)> {
        self.plain(value).map(|known| (self.truth_of(true), known.clone())).into_iter().collect()
    }

    /// A value in an error: any of those that it stands for.
    fn sample(&self, value: &Self::Value) -> Value {
        self.plain(value).cloned().unwrap_or(Value::Null)
    }
}

impl Counting for Plain {
    type Count = u128;

    #[inline]
    fn of(&self, count: u128) -> u128 {
        count
    }

    #[inline]
    fn known(&self, count: &u128) -> Option<u128> {
        Some(*count)
    }

    #[inline]
    fn count(&self, value: &Value) -> Option<u128> {
        value.as_number()?.to_count()
    }

    #[inline]
    fn rounded_up(&self, value: &Value) -> Option<u128> {
        value.as_number()?.ceil()?.to_count()
    }

    #[inline]
    fn is_size(&self, value: &Value) -> bool {
        value.as_number().is_some_and(|n| n >= Exact::ZERO)
    }

    #[inline]
    fn sum(&self, a: &u128, b: &u128) -> Option<u128> {
        a.checked_add(*b)
    }

    #[inline]
    fn difference(&self, a: &u128, b: &u128) -> u128 {
        a.saturating_sub(*b)
    }

    #[inline]
    fn product(&self, a: &u128, b: &u128) -> Option<u128> {
        a.checked_mul(*b)
    }

    #[inline]
    fn times(&self, count: &u128, factor: &Value) -> Option<u128> {
        bytes_of(*count, factor.as_number()?)
    }

    #[inline]
    fn is_less(&self, a: &u128, b: &u128) -> bool {
        a < b
    }

    #[inline]
    fn truth_of(&self, known: bool) -> bool {
        known
    }

    #[inline]
    fn both(&self, a: &bool, b: &bool) -> bool {
        *a && *b
    }

    #[inline]
    fn not(&self, truth: &bool) -> bool {
        !truth
    }

    #[inline]
    fn only_if(&self, truth: &bool, count: &u128) -> u128 {
        if *truth { *count } else { 0 }
    }

    #[inline]
    fn holds(&self, truth: &bool) -> bool {
        *truth
    }

    #[inline]
    fn fitting(&self, parameter: &Parameter, value: &Value) -> Option<Value> {
        check_parameter(parameter, value)
    }

    #[inline]
    fn items<'v>(&self, value: &'v Value) -> Option<Cow<'v, [Value]>> {
        match value {
            Value::List(items) => Some(Cow::Borrowed(items)),
            _ => None,
        }
    }
}

/// The bytes of so many elements, rounded up once.
pub(super) fn bytes_of(elements: u128, element: Exact) -> Option<u128> {
    Exact::from_count(elements)?.checked_mul(element)?.ceil()?.to_count()
}
