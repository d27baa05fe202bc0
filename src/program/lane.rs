//! The integers that programs run in.

/// Integers of 64 or of 128 bits.
pub trait Lane: Copy + Ord + Into<i128> {
    /// `None`: it doesn't fit.
    fn narrow(value: i128) -> Option<Self>;
    /// `None` beyond its bits.
    fn plus(self, other: Self) -> Option<Self>;
    /// `None` beyond its bits.
    fn times(self, other: Self) -> Option<Self>;
    /// The greatest integer that is no more than it over a positive number.
    fn floor_over(self, divisor: Self) -> Option<Self>;
    /// Where it was shown that the sum is within its bits.
    fn wrapping_plus(self, other: Self) -> Self;
    /// Where it was shown that the product is within its bits.
    fn wrapping_times(self, other: Self) -> Self;
    /// Its distance from 0.
    fn magnitude(self) -> u128;
}

macro_rules! lanes {
    ($($type:ty),*) => {$(
        impl Lane for $type {
            #[inline]
            fn narrow(value: i128) -> Option<Self> {
                value.try_into().ok()
            }
            #[inline]
            fn plus(self, other: Self) -> Option<Self> {
                self.checked_add(other)
            }
            #[inline]
            fn times(self, other: Self) -> Option<Self> {
                self.checked_mul(other)
            }
            #[inline]
            fn floor_over(self, divisor: Self) -> Option<Self> {
                self.checked_div_euclid(divisor)
            }
            #[inline]
            fn wrapping_plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
            #[inline]
            fn wrapping_times(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }
            #[inline]
            fn magnitude(self) -> u128 {
                self.unsigned_abs().into()
            }
        }
    )*};
}

lanes!(i64, i128);
