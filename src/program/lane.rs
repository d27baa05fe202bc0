//! The integers that programs run in.

/// Integers of 64 or of 128 bits.
pub trait Lane: Copy + Ord + Into<i128> {
    /// The same without a sign.
    type Unsigned: Copy;
    /// `None`: it doesn't fit.
    fn narrow(value: i128) -> Option<Self>;
    /// A value that was shown to be within its bits.
    fn of(value: u64) -> Self;
    /// `None` beyond its bits.
    fn plus(self, other: Self) -> Option<Self>;
    /// `None` beyond its bits.
    fn times(self, other: Self) -> Option<Self>;
    /// The greatest integer that is no more than it over a positive number.
    fn floor_over(self, divisor: Self) -> Option<Self>;
    /// The greatest integer that is no more than it over a power of two.
    fn shifted(self, bits: u32) -> Self;
    /// Where it was shown that the sum is within its bits.
    fn wrapping_plus(self, other: Self) -> Self;
    /// Where it was shown that the product is within its bits.
    fn wrapping_times(self, other: Self) -> Self;
    /// The bits of both: negative if one of them is.
    fn either(self, other: Self) -> Self;
    /// The same bits without a sign: of what isn't negative.
    fn unsigned(self) -> Self::Unsigned;
}

macro_rules! lanes {
    ($($type:ty = $unsigned:ty),*) => {$(
        impl Lane for $type {
            type Unsigned = $unsigned;
            #[inline]
            fn narrow(value: i128) -> Option<Self> {
                value.try_into().ok()
            }
            #[inline]
            fn of(value: u64) -> Self {
                <$unsigned>::from(value).cast_signed()
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
            fn shifted(self, bits: u32) -> Self {
                self >> bits
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
            fn either(self, other: Self) -> Self {
                self | other
            }
            #[inline]
            fn unsigned(self) -> $unsigned {
                self.cast_unsigned()
            }
        }
    )*};
}

lanes!(i64 = u64, i128 = u128);
