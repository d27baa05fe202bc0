//! Exact rational numbers over checked 128-bit integers.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use num_rational::Ratio;
use num_traits::{CheckedAdd, CheckedDiv, CheckedMul, CheckedSub, Signed, ToPrimitive, Zero};

/// An exact rational. Every operation that could leave 128 bits says so with `None`.
///
/// Nearly all numbers are integers, so those have a path of their own, without greatest common divisors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exact(Ratio<i128>);

/// It is always in lowest terms, so equal ones have equal parts: those of a [`Ratio`], which may not be, are found by division.
impl Hash for Exact {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0.numer(), self.0.denom()).hash(state);
    }
}

/// The product of two integers; nearly all are of 64 bits, and then it can't leave 128.
pub(crate) fn multiply(a: i128, b: i128) -> Option<i128> {
    match (i64::try_from(a), i64::try_from(b)) {
        (Ok(a), Ok(b)) => Some(i128::from(a) * i128::from(b)),
        _ => a.checked_mul(b),
    }
}

impl Default for Exact {
    fn default() -> Self {
        Exact::ZERO
    }
}

impl Exact {
    /// 0.
    pub const ZERO: Exact = Exact(Ratio::new_raw(0, 1));
    /// 1.
    pub const ONE: Exact = Exact(Ratio::new_raw(1, 1));

    /// An integer.
    #[must_use]
    pub const fn integer(n: i128) -> Self {
        Exact(Ratio::new_raw(n, 1))
    }

    /// `numerator / denominator`; `None` for a zero denominator.
    #[must_use]
    pub fn ratio(numerator: i128, denominator: i128) -> Option<Self> {
        if denominator == 0 || denominator == i128::MIN || numerator == i128::MIN {
            return None;
        }
        Some(Exact(Ratio::new(numerator, denominator)))
    }

    /// Reads a JSON number: digits, a fraction, an exponent. `None` if it is no such number or leaves 128 bits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((m, e)) => (m, e.trim_start_matches('+').parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.trim_start_matches('-').is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let fraction = fraction.trim_end_matches('0');
        let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
        if digits == 0 {
            return Some(Exact::ZERO);
        }
        let exponent = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
        let scale = 10i128.checked_pow(exponent.unsigned_abs())?;
        if exponent >= 0 { digits.checked_mul(scale).map(Exact::integer) } else { Exact::ratio(digits, scale) }
    }

    /// Whether nothing is behind the point.
    #[must_use]
    pub fn is_integer(&self) -> bool {
        *self.0.denom() == 1
    }

    /// Whether it is 0.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    /// The integer that this is.
    #[must_use]
    pub fn to_integer(&self) -> Option<i128> {
        self.is_integer().then(|| *self.0.numer())
    }

    /// The non-negative integer that this is.
    #[must_use]
    pub fn to_count(&self) -> Option<u128> {
        self.to_integer().and_then(|n| u128::try_from(n).ok())
    }

    /// Numerator and denominator, in lowest terms.
    #[must_use]
    pub fn parts(self) -> (i128, i128) {
        (*self.0.numer(), *self.0.denom())
    }

    /// The number of a count, if it fits.
    #[must_use]
    pub fn from_count(n: u128) -> Option<Self> {
        i128::try_from(n).ok().map(Exact::integer)
    }

    fn with(
        self,
        other: Self,
        integers: fn(i128, i128) -> Option<i128>,
        ratios: fn(&Ratio<i128>, &Ratio<i128>) -> Option<Ratio<i128>>,
    ) -> Option<Self> {
        if self.is_integer() && other.is_integer() {
            integers(*self.0.numer(), *other.0.numer()).map(Exact::integer)
        } else {
            ratios(&self.0, &other.0).map(Exact)
        }
    }

    /// The sum. `None` beyond 128 bits.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.with(other, i128::checked_add, Ratio::checked_add)
    }

    /// The difference. `None` beyond 128 bits.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.with(other, i128::checked_sub, Ratio::checked_sub)
    }

    /// The product. `None` beyond 128 bits.
    #[must_use]
    pub fn checked_mul(self, other: Self) -> Option<Self> {
        self.with(other, multiply, Ratio::checked_mul)
    }

    /// The quotient; `None` also for a zero divisor, which the caller has excluded.
    #[must_use]
    pub fn checked_div(self, other: Self) -> Option<Self> {
        if let (Some(a), Some(b)) = (self.to_integer(), other.to_integer()) {
            return if b != 0 && b != -1 && a % b == 0 { Some(Exact::integer(a / b)) } else { Exact::ratio(a, b) };
        }
        self.0.checked_div(&other.0).map(Exact)
    }

    /// `a - b * floor(a / b)`: has the sign of `b`, as in Python.
    #[must_use]
    pub fn checked_rem(self, other: Self) -> Option<Self> {
        self.checked_sub(other.checked_mul(self.checked_div(other)?.floor()?)?)
    }

    /// A power with an integer exponent; `None` when the exponent isn't one, or for a zero to a negative power.
    #[must_use]
    pub fn checked_pow(self, exponent: Self) -> Option<Self> {
        let exponent = exponent.to_integer()?;
        let magnitude = u32::try_from(exponent.unsigned_abs()).ok()?;
        let power = |n: i128| match n {
            0 | 1 => Some(if magnitude == 0 { 1 } else { n }),
            -1 => Some(if magnitude % 2 == 0 { 1 } else { -1 }),
            _ => n.checked_pow(magnitude),
        };
        let (numerator, denominator) = (power(*self.0.numer())?, power(*self.0.denom())?);
        if exponent >= 0 { Exact::ratio(numerator, denominator) } else { Exact::ratio(denominator, numerator) }
    }

    /// Its negative. `None` beyond 128 bits.
    #[must_use]
    pub fn checked_neg(self) -> Option<Self> {
        Exact::ZERO.checked_sub(self)
    }

    /// Its distance from zero. `None` beyond 128 bits.
    #[must_use]
    pub fn checked_abs(self) -> Option<Self> {
        if self.0.is_negative() { self.checked_neg() } else { Some(self) }
    }

    /// The greatest integer that is no more than it. `None` beyond 128 bits.
    #[must_use]
    pub fn floor(self) -> Option<Self> {
        if self.is_integer() {
            return Some(self);
        }
        Some(Exact::integer(self.0.numer().div_euclid(*self.0.denom())))
    }

    /// The least integer that is no less than it. `None` beyond 128 bits.
    #[must_use]
    pub fn ceil(self) -> Option<Self> {
        if self.is_integer() { Some(self) } else { self.floor()?.checked_add(Exact::ONE) }
    }

    /// The nearest `f64`, for display only.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        self.0.to_f64().unwrap_or(f64::NAN)
    }
}

impl PartialOrd for Exact {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Exact {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.is_integer() && other.is_integer() { self.0.numer().cmp(other.0.numer()) } else { self.0.cmp(&other.0) }
    }
}

impl Exact {
    /// As it is shown, but never cut: a fraction where a decimal doesn't end (`37/64`).
    #[must_use]
    pub fn uncut(self) -> String {
        let text = self.to_string();
        if text.ends_with("...") { format!("{}/{}", self.0.numer(), self.0.denom()) } else { text }
    }
}

impl fmt::Display for Exact {
    /// Integers as such; fractions as decimals, those that don't end with `...`: `109.71...`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(n) = self.to_integer() {
            return write!(f, "{n}");
        }
        let scaled = self.checked_mul(Exact::integer(10_000));
        match scaled.and_then(|s| s.to_integer()) {
            Some(_) => write!(f, "{}", self.to_f64()),
            None => {
                let cut = scaled.and_then(Exact::checked_abs).and_then(Exact::floor).and_then(|s| s.to_integer());
                match cut {
                    Some(n) => {
                        let sign = if self.0.is_negative() { "-" } else { "" };
                        write!(f, "{sign}{}.{:02}...", n / 10_000, n % 10_000 / 100)
                    }
                    None => write!(f, "{}/{}", self.0.numer(), self.0.denom()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Exact;

    fn exact(text: &str) -> Exact {
        Exact::parse(text).unwrap()
    }

    #[test]
    fn decimals_are_exact() {
        assert_eq!(exact("0.1").checked_add(exact("0.2")), Some(exact("0.3")));
        assert_eq!(exact("1.50"), Exact::ratio(3, 2).unwrap());
        assert_eq!(exact("1e-6"), Exact::ratio(1, 1_000_000).unwrap());
        assert_eq!(exact("2.5e3"), Exact::integer(2500));
        assert_eq!(exact("-0.5"), Exact::ratio(-1, 2).unwrap());
        assert_eq!(Exact::parse("1e400"), None);
        assert_eq!(Exact::parse("-"), None);
    }

    #[test]
    fn division_and_remainder() {
        assert_eq!(Exact::integer(7).checked_div(Exact::integer(2)), Exact::ratio(7, 2));
        assert_eq!(Exact::integer(-7).checked_rem(Exact::integer(3)), Some(Exact::integer(2)));
        assert_eq!(Exact::integer(i128::MIN).checked_div(Exact::integer(-1)), None);
        assert_eq!(Exact::integer(i128::MAX).checked_add(Exact::ONE), None);
    }

    #[test]
    fn powers() {
        assert_eq!(Exact::integer(2).checked_pow(Exact::integer(10)), Some(Exact::integer(1024)));
        assert_eq!(Exact::integer(2).checked_pow(Exact::integer(-2)), Exact::ratio(1, 4));
        assert_eq!(Exact::ZERO.checked_pow(Exact::integer(-1)), None);
        assert_eq!(Exact::integer(2).checked_pow(Exact::ratio(1, 2).unwrap()), None);
        assert_eq!(Exact::ONE.checked_pow(Exact::integer(1_000_000)), Some(Exact::ONE));
    }

    #[test]
    fn shown_as_people_write_them() {
        assert_eq!(Exact::ratio(768, 7).unwrap().to_string(), "109.71...");
        assert_eq!(Exact::ratio(9, 2).unwrap().to_string(), "4.5");
        assert_eq!(Exact::ratio(-1, 3).unwrap().to_string(), "-0.33...");
        assert_eq!(Exact::integer(42).to_string(), "42");
    }
}
