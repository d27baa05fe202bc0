//! Numbers for people: the only place where anything is rounded.

use crate::quantity::Exact;
use crate::quantity::grouped;
pub use crate::quantity::shape;
use crate::quantity::workload::words;

/// What a thousand is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Units {
    /// GB = 10^9 bytes.
    Si,
    /// GiB = 2^30 bytes.
    Iec,
}

words!(Units, Si = "si", Iec = "iec");

const SI: [&str; 11] = ["", "K", "M", "G", "T", "P", "E", "Z", "Y", "R", "Q"];
const IEC: [&str; 9] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"];

/// A count of FLOPs, parameters or the like: `29.26 T`, and `6.738 G`, for a B is a byte.
#[must_use]
pub fn count(n: u128) -> String {
    scaled(n, 1000, &SI)
}

/// Bytes: `13.48 GB` or `12.55 GiB`.
#[must_use]
pub fn bytes(n: u128, units: Units) -> String {
    let text = match units {
        Units::Si => scaled(n, 1000, &SI).replace('K', "k"),
        Units::Iec => scaled(n, 1024, &IEC),
    };
    with_unit(&text, "B")
}

/// A count a second, of this unit: `989.4 TFLOP/s`.
#[must_use]
pub fn rate(n: u128, unit: &str) -> String {
    with_unit(&count(n), unit)
}

/// A rate of bytes: `3.350 TB/s`.
#[must_use]
pub fn bytes_per_second(n: u128, units: Units) -> String {
    bytes(n, units) + "/s"
}

fn with_unit(scaled: &str, unit: &str) -> String {
    if scaled.contains(' ') { format!("{scaled}{unit}") } else { format!("{scaled} {unit}") }
}

/// Four significant digits and a prefix; below 1000 the number itself.
#[expect(clippy::cast_precision_loss, reason = "rounded for people")]
fn scaled(n: u128, base: u128, prefixes: &[&str]) -> String {
    if n < 1000 {
        return n.to_string();
    }
    let (mut scale, mut at) = (1u128, 0);
    // 999.95 K would be shown as 1000 K, so it goes one prefix further.
    while at + 1 < prefixes.len() && n as f64 / scale as f64 >= 999.95 {
        scale = scale.saturating_mul(base);
        at += 1;
    }
    let value = n as f64 / scale as f64;
    let digits = match value {
        v if v >= 1e5 => return format!("{value:.3e} {}", prefixes.get(at).unwrap_or(&"")),
        v if v >= 999.95 => 0,
        v if v >= 99.995 => 1,
        v if v >= 9.9995 => 2,
        _ => 3,
    };
    format!("{value:.digits$} {}", prefixes.get(at).unwrap_or(&""))
}

/// Every digit, in groups of three: `6,738,415,616`.
#[must_use]
pub fn exact(n: u128) -> String {
    grouped(n, ",")
}

/// The same of a number with a sign.
#[must_use]
pub fn signed(n: i128) -> String {
    let sign = if n < 0 { "-" } else { "" };
    format!("{sign}{}", exact(n.unsigned_abs()))
}

/// A share of a whole: `18.4 %`, or nothing where there is no whole.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "rounded for people")]
pub fn percent(part: u128, whole: u128) -> String {
    if whole == 0 || part == 0 {
        return String::new();
    }
    let share = part as f64 / whole as f64 * 100.0;
    if share < 0.05 { "<0.1%".to_owned() } else { format!("{share:.1}%") }
}

/// A number that is mostly a count: `131,072`, and to a tenth where it isn't one, `6,880.5`.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded for people")]
pub fn about(value: Exact) -> String {
    match value.to_count() {
        Some(count) => exact(count),
        None => {
            let tenths = (value.to_f64() * 10.0).round() as u128;
            format!("{}.{}", exact(tenths / 10), tenths % 10)
        }
    }
}

/// A number with so many digits behind the point: `4.8944`.
#[must_use]
pub fn decimals(value: Exact, digits: usize) -> String {
    format!("{:.digits$}", value.to_f64())
}

/// The same for JSON: an integer, or else the nearest double.
#[must_use]
pub fn number(value: Exact) -> serde_json::Value {
    value.to_count().map_or_else(|| serde_json::json!(value.to_f64()), |count| serde_json::json!(count))
}

/// A ratio: `1,234`, `12.3`, `0.12`.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded for people")]
pub fn ratio(value: f64) -> String {
    match value {
        v if !v.is_finite() => String::new(),
        v if v >= 1000.0 => exact(v.round() as u128),
        v if v >= 99.95 => format!("{v:.0}"),
        v if v >= 9.995 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_significant_digits() {
        assert_eq!(count(29_261_612_187_648), "29.26 T");
        assert_eq!(count(6_738_415_616), "6.738 G");
        assert_eq!(bytes(13_476_831_232, Units::Si), "13.48 GB");
        assert_eq!(bytes(13_476_831_232, Units::Iec), "12.55 GiB");
        assert_eq!(bytes(4096, Units::Si), "4.096 kB");
        assert_eq!(bytes(1000, Units::Iec), "0.977 KiB");
        assert_eq!(bytes(17, Units::Si), "17 B");
        assert_eq!(bytes_per_second(3_350_000_000_000, Units::Si), "3.350 TB/s");
        assert_eq!(rate(989_400_000_000_000, "FLOP/s"), "989.4 TFLOP/s");
        assert_eq!(rate(3, "FLOP/s"), "3 FLOP/s");
        assert_eq!(count(999), "999");
        assert_eq!(count(999_960), "1.000 M");
        assert_eq!(count(1000), "1.000 K");
        assert_eq!(count(u128::MAX), "3.403e8 Q");
        assert_eq!(exact(1_234_567), "1,234,567");
        assert_eq!(percent(1, 3), "33.3%");
        assert_eq!(percent(1, 100_000), "<0.1%");
        assert_eq!(ratio(2047.6), "2,048");
        assert_eq!(ratio(0.125), "0.12");
    }
}
