//! A quantity and the value that it is to reach, as options: one for each quantity of the table, and how such values are written.

use std::sync::LazyLock;

use clap::error::ErrorKind;
use clap::{Arg, ArgGroup, ArgMatches, Args as ClapArgs, FromArgMatches};

use crate::quantity::{TOTALS, TotalInfo, Unit};

/// A quantity and the value that it is to reach: an option each, of which one is given.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    pub quantity: &'static TotalInfo,
    pub value: u128,
}

/// The options' names: as the quantities', in the spelling of options.
static OPTIONS: LazyLock<Vec<String>> = LazyLock::new(|| TOTALS.iter().map(|info| info.name.replace('_', "-")).collect());

impl ClapArgs for Target {
    fn augment_args(command: clap::Command) -> clap::Command {
        let with = |command: clap::Command, (info, option): (&'static TotalInfo, &'static String)| {
            let arg = Arg::new(info.name).long(option.as_str()).help(info.doc);
            let arg = match info.unit {
                Unit::Bytes => arg.value_name("SIZE").value_parser(parse_size),
                _ => arg.value_name("N").value_parser(parse_count),
            };
            let arg = if option == info.name { arg } else { arg.alias(info.name) };
            command.arg(arg.help_heading("Quantity, one of these"))
        };
        let group = ArgGroup::new("Target").args(TOTALS.iter().map(|info| info.name));
        TOTALS.iter().zip(OPTIONS.iter()).fold(command, with).group(group)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Target {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = TOTALS.iter().find_map(|info| Some((info, *matches.get_one::<u128>(info.name)?)));
        let missing = "which quantity is to reach what isn't said: `--params 7e9`, `--peak-bytes 24GB`, ...\n\nFor more information, try '--help'.\n";
        let (quantity, value) = given.ok_or_else(|| clap::Error::raw(ErrorKind::MissingRequiredArgument, missing))?;
        Ok(Target { quantity, value })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn parse_count(text: &str) -> Result<u128, String> {
    parse_amount(text, false)
}

fn parse_size(text: &str) -> Result<u128, String> {
    parse_amount(text, true)
}

/// What stands behind a number: powers of 1000 and of 1024. An E is an exponent.
const LETTERS: &str = "kmgtp";

/// A whole number that may be large: `7000000000`, `7e9`, `6.7G`; of bytes `16GB` and `16GiB`, too.
fn parse_amount(text: &str, bytes: bool) -> Result<u128, String> {
    const FORM: &str = "expected a number such as 7000000000, 7e9, 6.7G, 16Gi";
    let large = || "number too large".to_owned();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (digits, mut rest) = text.split_at_checked(end).unwrap_or((text, ""));
    let mut exponent = 0i32;
    if let Some(power) =
        rest.strip_prefix(['e', 'E']).filter(|power| power.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+'))
    {
        let end = power.char_indices().find(|(at, c)| *at > 0 && !c.is_ascii_digit()).map_or(power.len(), |(at, _)| at);
        let (power, unit) = power.split_at_checked(end).unwrap_or((power, ""));
        exponent = power.parse::<i32>().map_err(|_| if power.len() > 1 { large() } else { FORM.to_owned() })?;
        rest = unit;
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || fraction.contains('.') {
        return Err(FORM.to_owned());
    }
    let unit = unit(rest.trim_start(), bytes).map_err(|why| if why.is_empty() { FORM.to_owned() } else { why })?;
    let digits = format!("{whole}{}", fraction.trim_end_matches('0'));
    let places = i32::try_from(fraction.trim_end_matches('0').len()).map_err(|_| large())?;
    let number: u128 = digits.parse().map_err(|_| large())?;
    let value = match exponent.saturating_sub(places) {
        power @ 0.. => {
            let power = 10u128.checked_pow(power.unsigned_abs());
            if number == 0 { Some(0) } else { power.and_then(|power| number.checked_mul(power)?.checked_mul(unit)) }
                .ok_or_else(large)?
        }
        power => {
            let all = number.checked_mul(unit).ok_or_else(large)?;
            let power = 10u128.checked_pow(power.unsigned_abs());
            let whole = power.filter(|power| all.is_multiple_of(*power)).map(|power| all / power);
            whole.or((all == 0).then_some(0)).ok_or_else(|| format!("`{text}` is no whole number"))?
        }
    };
    if value == 0 { Err("0 is not in 1..".to_owned()) } else { Ok(value) }
}

/// What a unit multiplies by. An empty error: it is none.
fn unit(text: &str, bytes: bool) -> Result<u128, String> {
    let lower = text.to_ascii_lowercase();
    let (prefix, is_bytes) = lower.strip_suffix('b').map_or((lower.as_str(), false), |prefix| (prefix, true));
    if is_bytes && !bytes {
        let hint = if prefix.is_empty() {
            "10^9 is `e9` or `G`".to_owned()
        } else {
            format!("leave out the `{}`", text.chars().last().unwrap_or('B'))
        };
        return Err(format!("a B is a byte, and these aren't bytes: {hint}"));
    }
    let (letter, thousand) = prefix.strip_suffix('i').map_or((prefix, 1000u128), |letter| (letter, 1024));
    let power = match letter {
        "" if thousand == 1000 => Some(0),
        "" => None,
        letter => LETTERS.find(letter).filter(|_| letter.len() == 1).map(|at| at + 1),
    };
    let power = power.and_then(|power| u32::try_from(power).ok()).ok_or_else(String::new)?;
    Ok(thousand.pow(power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_whole_numbers_with_units() {
        for (text, value) in [
            ("7000000000", 7_000_000_000),
            ("7e9", 7_000_000_000),
            ("7E+9", 7_000_000_000),
            ("1.5e15", 1_500_000_000_000_000),
            ("6.7G", 6_700_000_000),
            ("6.70g", 6_700_000_000),
            ("3K", 3000),
            ("16Gi", 16 << 30),
            ("1.5ki", 1536),
            ("2000e-3", 2),
            ("1e-3K", 1),
            ("1P", 1_000_000_000_000_000),
            ("340282366920938463463374607431768211455", u128::MAX),
        ] {
            assert_eq!(parse_count(text), Ok(value), "{text}");
            assert_eq!(parse_size(text), Ok(value), "{text}");
        }
        assert_eq!(parse_size("16GB"), Ok(16_000_000_000));
        assert_eq!(parse_size("16 GiB"), Ok(16 << 30));
        assert_eq!(parse_size("512b"), Ok(512));
        assert!(parse_count("7B").unwrap_err().contains("`e9` or `G`"));
        assert!(parse_count("7GB").unwrap_err().contains("leave out the `B`"));
        for text in [
            "", "x", "G", "7 x", "7Q", "7Gx", "7i", "7iB", "1.2.3", ".5", "-1", "+1", "7e", "7e+", "٣", "1_000", "1,000", "0x10",
            "nan", "km",
        ] {
            assert!(parse_size(text).unwrap_err().contains("expected a number"), "{text}: {:?}", parse_size(text));
        }
        for text in ["1.5", "1e-1", "0.0001K", "1e-99999", "1e-2147483648"] {
            assert!(parse_count(text).unwrap_err().contains("no whole number"), "{text}");
        }
        for text in ["1e39", "1e99999999999", "340282366920938463463374607431768211456", "1e38Pi", "1e2147483647"] {
            assert_eq!(parse_count(text), Err("number too large".to_owned()), "{text}");
        }
        for text in ["0", "0e9", "0.0G", "0e2147483647", "0e-5"] {
            assert_eq!(parse_count(text), Err("0 is not in 1..".to_owned()), "{text}");
        }
    }
}
