//! The options of `sweep` and `solve`, which take lists where other commands take one value, or are made from the table of quantities.

use std::sync::{Arc, LazyLock};

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Args as ClapArgs, FromArgMatches, ValueEnum};

use super::args::{OutputArgs, WorkloadArgs, dtype, parse_length, refused};
use crate::analysis::axis::{self, Numbers, Shard, Values};
use crate::catalog::Catalog;
use crate::cost::workload::Workload;
use crate::quantity::workload::{After, Attention, Backend, Cache, Kernel, Logits, Phase};
use crate::quantity::{TOTALS, Total, TotalInfo, Unit, total};
use crate::report::PageFormat;
use crate::session::Settings;
use crate::syntax::diag::nearest;
use crate::syntax::expr::Value;

/// What `sweep --help` says beyond its options.
const ABOUT_SWEEP: &str = "\
A list has values and ranges between commas: 512, 1..64 (both ends), 1..64:8 (steps of 8), 2048..131072:*2 (times 2).

A row is a point. Rows are nested loops, the last varies fastest: structural variables as they are given, then phase, dtype, weight_dtype, \
kv_dtype, attention, kernel, logits, cache, backend, after and what --set lists besides whole numbers, then batch_size, seq_len, past_len, and the \
model's own workload variables. What is given has a column, batch_size, seq_len and past_len have one always, then come the quantities.

A structural variable (--set hidden_size=...) makes another model for each value. Points at which the model is invalid have no figures (an empty \
cell, null in JSON), and how many there were, and why, is said at the end; the exit code is 1 if no point had any.";

#[derive(Debug, ClapArgs)]
#[command(after_help = ABOUT_SWEEP)]
pub struct SweepArgs {
    /// A file, `-` for standard input, or the name of an embedded model
    pub model: String,
    #[command(flatten)]
    pub axes: AxesArgs,
    /// Which quantities, in this order [default: all of totals but peak_bytes, peak_activation_bytes and saved_bytes, which take a hundred
    /// times as long]
    #[arg(long, visible_alias = "quantities", value_name = "NAME,...", value_delimiter = ',', action = ArgAction::Set, help_heading = "Rows")]
    pub quantity: Vec<String>,
    /// The most rows that are written
    #[arg(long, value_name = "N", default_value_t = 10_000_000, help_heading = "Rows")]
    pub max_rows: u64,
    /// The Ith of N parts, from 1, for jobs that share the work: its rows are next to each other, and together the parts are the whole
    #[arg(long, value_name = "I/N", value_parser = Shard::parse, help_heading = "Rows")]
    pub shard: Option<Shard>,
    /// What comes out
    #[arg(long, value_enum, default_value_t = SweepFormat::Csv, help_heading = "Rows")]
    pub format: SweepFormat,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SweepFormat {
    /// A line of names, then a line a row
    Csv,
    /// An array of objects
    Json,
    /// A JSON object a line
    Jsonl,
    /// For DuckDB, Polars, Spark and others; goes to a file
    Parquet,
}

/// The workload, and by which conventions it is counted: lists.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Axes")]
pub struct AxesArgs {
    /// Sequences in a step: 8, or 1..64
    #[arg(long, visible_alias = "batch-size", value_name = "LIST", value_parser = from_one)]
    pub batch: Option<Numbers>,
    /// New tokens per sequence: 512,1024,2k..128k:*2
    #[arg(long, visible_alias = "seq-len", value_name = "LIST", value_parser = from_one)]
    pub seq: Option<Numbers>,
    /// Cached tokens per sequence
    #[arg(long, visible_alias = "past-len", value_name = "LIST", value_parser = from_zero)]
    pub past: Option<Numbers>,
    /// prefill, decode, train
    #[arg(long, value_enum, value_delimiter = ',', action = ArgAction::Set)]
    pub phase: Vec<Phase>,
    /// Element types of activations
    #[arg(long, value_name = "DTYPE,...", value_delimiter = ',', action = ArgAction::Set)]
    pub dtype: Vec<String>,
    /// Element types of weights; or that of the weights of some layers, by path or class: '*.mlp.*=q4_k'
    #[arg(long, visible_alias = "quant", value_name = "DTYPE,...|PATTERN=DTYPE")]
    pub weight_dtype: Vec<String>,
    /// Element types of cached keys and values
    #[arg(long, value_name = "DTYPE,...", value_delimiter = ',', action = ArgAction::Set)]
    pub kv_dtype: Vec<String>,
    /// dense, masked
    #[arg(long, value_enum, value_delimiter = ',', action = ArgAction::Set)]
    pub attention: Vec<Attention>,
    /// flash, eager, math
    #[arg(long, value_enum, value_delimiter = ',', action = ArgAction::Set)]
    pub kernel: Vec<Kernel>,
    /// all, last
    #[arg(long, value_enum, value_delimiter = ',', action = ArgAction::Set)]
    pub logits: Vec<Logits>,
    /// on, off
    #[arg(long, value_enum, value_delimiter = ',', action = ArgAction::Set)]
    pub cache: Vec<Cache>,
    /// cpu, cuda
    #[arg(long, value_enum, value_delimiter = ',', action = ArgAction::Set)]
    pub backend: Vec<Backend>,
    /// steps, prompt
    #[arg(long, value_enum, value_delimiter = ',', action = ArgAction::Set)]
    pub after: Vec<After>,
    /// Values of a variable, structural or workload: whole numbers and ranges, JSON, or texts. What stands in brackets is one value
    #[arg(long = "set", value_name = "NAME=LIST", value_parser = setting)]
    pub settings: Vec<(Arc<str>, Values)>,
    /// Take a config as one of this family, whatever its model_type
    #[arg(long, value_name = "NAME")]
    pub family: Option<Arc<str>>,
    /// Take a family's model with this head; none: the bare model, as AutoModel gives it
    #[arg(long, value_name = "NAME")]
    pub head: Option<Arc<str>>,
}

fn from_one(text: &str) -> Result<Numbers, String> {
    Numbers::parse(text, 1, parse_length)
}

fn from_zero(text: &str) -> Result<Numbers, String> {
    Numbers::parse(text, 0, parse_length)
}

fn setting(text: &str) -> Result<(Arc<str>, Values), String> {
    axis::parse_setting(text, parse_length)
}

impl AxesArgs {
    /// How the model is taken, its variables aside.
    #[must_use]
    pub fn taken(&self) -> Settings {
        Settings { family: self.family.clone(), head: self.head.clone(), variables: Vec::new() }
    }

    /// What is asked of every point: dtypes of some layers.
    ///
    /// # Errors
    /// No dtype of the catalog is of that name.
    pub fn workload(&self, catalog: &Catalog) -> Result<Workload, clap::Error> {
        let mut weight_dtypes = Vec::new();
        for given in self.weight_dtype.iter().filter(|given| given.contains('=')) {
            let (pattern, name) = given.rsplit_once('=').unwrap_or_default();
            let found = dtype(name, catalog).map_err(|why| refused::<Self>("weight_dtype", given, &why))?;
            weight_dtypes.push((pattern.into(), found));
        }
        Ok(Workload { weight_dtypes, ..Workload::default() })
    }

    /// The options that are given, each with its words, in the order of the loops.
    ///
    /// # Errors
    /// No dtype of the catalog is of that name; weights' dtypes are listed twice.
    pub fn conventions(&self, catalog: &Catalog) -> Result<Vec<(Arc<str>, Values)>, clap::Error> {
        fn words<T: Copy>(list: &[T], word: fn(T) -> &'static str) -> Vec<Value> {
            list.iter().map(|choice| Value::text(word(*choice))).collect()
        }
        let dtypes = |id: &str, list: &mut dyn Iterator<Item = &str>| {
            let found = |name: &str| dtype(name, catalog).map_err(|why| refused::<Self>(id, name, &why));
            list.map(|name| Ok(Value::text(&found(name)?.name))).collect::<Result<Vec<Value>, clap::Error>>()
        };
        let mut plain = self.weight_dtype.iter().filter(|given| !given.contains('='));
        let weights = plain.next().map_or("", String::as_str);
        if let Some(second) = plain.next() {
            return Err(refused::<Self>("weight_dtype", second, &format!("`{weights}` is given already; a list has commas")));
        }
        let weights = || weights.split(',').filter(|_| !weights.is_empty());
        let all = [
            ("phase", words(&self.phase, Phase::word)),
            ("dtype", dtypes("dtype", &mut self.dtype.iter().map(String::as_str))?),
            ("weight_dtype", dtypes("weight_dtype", &mut weights())?),
            ("kv_dtype", dtypes("kv_dtype", &mut self.kv_dtype.iter().map(String::as_str))?),
            ("attention", words(&self.attention, Attention::word)),
            ("kernel", words(&self.kernel, Kernel::word)),
            ("logits", words(&self.logits, Logits::word)),
            ("cache", words(&self.cache, Cache::word)),
            ("backend", words(&self.backend, Backend::word)),
            ("after", words(&self.after, After::word)),
        ];
        let given = all.into_iter().filter(|(_, words)| !words.is_empty());
        Ok(given.map(|(name, words)| (name.into(), Values::Listed(words))).collect())
    }
}

impl SweepArgs {
    /// The quantities that are asked for.
    ///
    /// # Errors
    /// One of no such name, one twice, or one of training where no phase is.
    pub fn quantities(&self) -> Result<Vec<Total>, clap::Error> {
        let train = self.axes.phase.contains(&Phase::Train);
        if self.quantity.is_empty() {
            let slow =
                |info: &TotalInfo| matches!(info.quantity, Total::PeakBytes | Total::PeakActivationBytes | Total::SavedBytes);
            let all = TOTALS.iter().filter(|info| !slow(info) && (train || !info.train_only));
            return Ok(all.map(|info| info.quantity).collect());
        }
        let mut wanted = Vec::with_capacity(self.quantity.len());
        for name in &self.quantity {
            let wrong = |why: &str| refused::<Self>("quantity", name, why);
            let info = total(name).ok_or_else(|| {
                let near = nearest(name, TOTALS.iter().map(|info| info.name));
                let names: Vec<&str> = TOTALS.iter().map(|info| info.name).collect();
                let hint = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
                wrong(&format!("unknown quantity; {hint}one of {}", names.join(", ")))
            })?;
            if wanted.contains(&info.quantity) {
                return Err(wrong("it is given twice"));
            }
            if info.train_only && !train {
                return Err(wrong("it is of training; `--phase train` has it"));
            }
            wanted.push(info.quantity);
        }
        Ok(wanted)
    }
}

/// What `solve --help` says beyond its options.
const ABOUT_SOLVE: &str = "\
A value is a whole number: 7000000000, 7e9, 7G, 6.7G; of bytes also 16GB (10^9) and 16GiB (2^30). Values at which the model is invalid are \
skipped, and said.";

#[derive(Debug, ClapArgs)]
#[command(after_help = ABOUT_SOLVE, override_usage = "layerspec solve <MODEL> --for <NAME> --<QUANTITY> <VALUE> [OPTIONS]")]
pub struct SolveArgs {
    /// A file, `-` for standard input, or the name of an embedded model
    pub model: String,
    /// The variable whose value is looked for: a structural one (hidden_size), batch, seq, past, or the model's own of the workload
    #[arg(long = "for", value_name = "NAME")]
    pub variable: String,
    #[command(flatten)]
    pub target: Target,
    /// Only multiples of this
    #[arg(long, value_name = "K", default_value = "1", value_parser = some_length, help_heading = "Where to look")]
    pub multiple_of: u64,
    /// No smaller value [default: 1; past: 0]
    #[arg(long, value_name = "N", value_parser = parse_length, help_heading = "Where to look")]
    pub min: Option<u64>,
    /// No larger value [default: 2^40]
    #[arg(long, value_name = "N", value_parser = parse_length, help_heading = "Where to look")]
    pub max: Option<u64>,
    #[command(flatten)]
    pub workload: WorkloadArgs,
    /// What comes out
    #[arg(long, value_enum, default_value_t = PageFormat::Table)]
    pub format: PageFormat,
    #[command(flatten)]
    pub output: OutputArgs,
}

fn some_length(text: &str) -> Result<u64, String> {
    parse_length(text).and_then(|length| if length > 0 { Ok(length) } else { Err("0 is not in 1..".to_owned()) })
}

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

/// What stands behind a number: powers of 1000 and of 1024.
const LETTERS: &str = "kmgtpe";

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
        for text in ["1e39", "1e99999999999", "340282366920938463463374607431768211456", "1e38Ei", "1e2147483647"] {
            assert_eq!(parse_count(text), Err("number too large".to_owned()), "{text}");
        }
        for text in ["0", "0e9", "0.0G", "0e2147483647", "0e-5"] {
            assert_eq!(parse_count(text), Err("0 is not in 1..".to_owned()), "{text}");
        }
    }
}
