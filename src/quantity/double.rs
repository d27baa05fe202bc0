//! What Python's floats give, in exact arithmetic: the modelling code of many families has `int(size * ratio)`, and there the product of two
//! doubles may round up to the next integer, or fall short of it. Only integers are used, so it is the same on every machine.

use super::Exact;

/// A double's bits of precision.
const PRECISION: u32 = 53;

/// A double that isn't zero: mantissa times two to the exponent. Its range isn't looked at: sizes are far from it.
#[derive(Clone, Copy)]
struct Double {
    mantissa: u128,
    exponent: i32,
}

impl Double {
    /// The double nearest to `mantissa * 2^exponent` and a rest that is less than one unit of the mantissa; of two as near, the even one.
    fn rounded(mantissa: u128, has_rest: bool, exponent: i32) -> Option<Self> {
        let lost = (u128::BITS - mantissa.leading_zeros()).saturating_sub(PRECISION);
        if lost == 0 {
            return Some(Double { mantissa, exponent });
        }
        let (kept, half) = (mantissa >> lost, 1u128 << (lost - 1));
        let rest = mantissa - (kept << lost);
        let up = rest > half || (rest == half && (has_rest || kept % 2 == 1));
        Some(Double { mantissa: kept + u128::from(up), exponent: exponent.checked_add(i32::try_from(lost).ok()?)? })
    }

    /// The double nearest to a fraction: its bits by long division, two more than a double has, and whether anything is left.
    fn of_fraction(numerator: u128, denominator: u128) -> Option<Self> {
        let (mut quotient, mut rest) = (numerator.checked_div(denominator)?, numerator.checked_rem(denominator)?);
        let mut exponent = 0;
        while rest != 0 && quotient >> (PRECISION + 1) == 0 {
            rest = rest.checked_mul(2)?;
            let bit = u128::from(rest >= denominator);
            rest -= bit * denominator;
            quotient = 2 * quotient + bit;
            exponent -= 1;
        }
        Double::rounded(quotient, rest != 0, exponent)
    }

    fn exact(self) -> Option<Exact> {
        let zeros = self.mantissa.trailing_zeros();
        let odd = i128::try_from(self.mantissa >> zeros).ok()?;
        let exponent = self.exponent.checked_add(i32::try_from(zeros).ok()?)?;
        let power = 2i128.checked_pow(exponent.unsigned_abs())?;
        if exponent >= 0 { odd.checked_mul(power).map(Exact::integer) } else { Exact::ratio(odd, power) }
    }
}

impl Exact {
    /// The product as IEEE doubles make it: the doubles nearest to the factors, and the one nearest to their product. `None` beyond 128 bits.
    #[must_use]
    pub fn double_product(self, other: Self) -> Option<Self> {
        let ((a, b), (c, d)) = (self.parts(), other.parts());
        if a == 0 || c == 0 {
            return Some(Exact::ZERO);
        }
        let x = Double::of_fraction(a.unsigned_abs(), b.unsigned_abs())?;
        let y = Double::of_fraction(c.unsigned_abs(), d.unsigned_abs())?;
        // 53 bits times 53: no more than 106.
        let product =
            Double::rounded(x.mantissa.checked_mul(y.mantissa)?, false, x.exponent.checked_add(y.exponent)?)?.exact()?;
        if (a < 0) == (c < 0) { Some(product) } else { product.checked_neg() }
    }
}

#[cfg(test)]
mod tests {
    use super::Exact;
    use proptest::prelude::*;

    fn product(a: &str, b: &str) -> String {
        Exact::parse(a).unwrap().double_product(Exact::parse(b).unwrap()).unwrap().uncut()
    }

    #[test]
    fn products_round_as_pythons_do() {
        // Each as CPython prints it: `1536 * 5.833333333333333`, ...
        for (a, b, expected) in [
            ("1536", "5.833333333333333", "8960"),
            ("10", "4.3", "43"),
            ("0.29", "100", "28.999999999999996"),
            ("-0.29", "100", "-28.999999999999996"),
            ("-0.29", "-100", "28.999999999999996"),
            ("0", "4.3", "0"),
            ("1024", "4", "4096"),
            ("9007199254740993", "1", "9007199254740992"),
            ("9007199254740995", "1", "9007199254740996"),
        ] {
            let found = product(a, b);
            let shown = Exact::parse(expected).unwrap().double_product(Exact::ONE).unwrap().uncut();
            assert_eq!(found, shown, "{a} * {b}");
        }
    }

    #[test]
    fn a_factor_of_many_digits_is_rounded_first() {
        assert_eq!(product("3", "0.33333333333333333333333333333333"), "1");
        assert_eq!(Exact::integer(i128::MAX).double_product(Exact::ONE), None);
        assert_eq!(Exact::integer(1 << 126).double_product(Exact::ONE), Some(Exact::integer(1 << 126)));
    }

    proptest! {
        /// The processor's own doubles agree: both parts of a fraction below 2^53 are doubles, and a division rounds once.
        #[test]
        fn it_is_what_the_processor_gives(a in 1u32.., b in 1u64..1 << 53, c in 1u64..1 << 53) {
            let of = |n: i128, d: i128| Exact::ratio(n, d).unwrap();
            let found = of(a.into(), 1).double_product(of(b.into(), c.into()));
            #[expect(clippy::cast_precision_loss, reason = "all are below 2^53")]
            let float = f64::from(a) * (b as f64 / c as f64);
            if let Some(found) = found {
                prop_assert_eq!(found.to_f64().to_bits(), float.to_bits());
            }
        }
    }
}
