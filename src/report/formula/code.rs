//! Formulas as modules: Python and JavaScript, a function a quantity. Both compute in integers of any size, so every digit is right.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::super::title::rests_on;
use crate::analysis::formula::{Formula, Formulas};
use crate::evaluation::Evaluation;
use crate::program::{Atom, Style};

const PYTHON_EXPERTS: &str = "def expected_millionths(experts, chosen, tokens):
    \"\"\"E (1 - (1 - k/E)^tokens) in millionths, in fixed point of 124 bits: as layerspec has it.\"\"\"
    if not (1 <= experts <= 2**32 and 0 <= chosen <= experts and tokens >= 0):
        return 0
    bits = 124
    missed, factor = 1 << bits, ((experts - chosen) << bits) // experts
    while tokens > 0:
        if tokens & 1:
            missed = (missed * factor) >> bits
        factor = (factor * factor) >> bits
        tokens >>= 1
    idle = (experts * 1000000 * missed + (1 << (bits - 1))) >> bits
    return max(experts * 1000000 - idle, 0)
";

const PYTHON_ISQRT: &str = "from math import isqrt\n";

const PYTHON_QUOTIENT: &str = "def quotient(a, b):
    return a // b if b > 0 else 0
";

const PYTHON_POWER: &str = "def power(base, exponent):
    return base**exponent if exponent >= 0 else 0
";

const PYTHON_ITEM: &str = "def item(at, items):
    \"\"\"The item at a place, counted from 0.\"\"\"
    return items[min(max(at, 0), len(items) - 1)]
";

const JS_QUOTIENT: &str = "const quotient = (a, b) => (b > 0n ? floorDiv(a, b) : 0n);\n";

const JS_POWER: &str = "const power = (base, exponent) => (exponent >= 0n ? base ** exponent : 0n);\n";

const JS_ITEM: &str = "/** The item at a place, counted from 0. */
const item = (at, items) => items[at < 0n ? 0 : at < items.length ? Number(at) : items.length - 1];
";

const JS_MIN: &str = "const min = (a, b) => (a < b ? a : b);\n";

const JS_FLOOR: &str = "const floorDiv = (a, b) => (a >= 0n ? a / b : -((b - 1n - a) / b));\n";

const JS_EXPERTS: &str = "/** E (1 - (1 - k/E)^tokens) in millionths, in fixed point of 124 bits: as layerspec has it. */
function expectedMillionths(experts, chosen, tokens) {
  if (experts < 1n || experts > 2n ** 32n || chosen < 0n || chosen > experts || tokens < 0n) return 0n;
  const bits = 124n;
  let missed = 1n << bits;
  let factor = ((experts - chosen) << bits) / experts;
  while (tokens > 0n) {
    if (tokens & 1n) missed = (missed * factor) >> bits;
    factor = (factor * factor) >> bits;
    tokens >>= 1n;
  }
  const idle = (experts * 1000000n * missed + (1n << (bits - 1n))) >> bits;
  const left = experts * 1000000n - idle;
  return left > 0n ? left : 0n;
}
";

const JS_ISQRT: &str = "function isqrt(n) {
  if (n < 2n) return n;
  let x = 1n << BigInt((n.toString(2).length + 1) >> 1);
  for (;;) {
    const y = (x + n / x) >> 1n;
    if (y >= x) return x;
    x = y;
  }
}
";

/// A module of functions that take the workload's variables by name, in the order of the program's.
pub(super) fn module(evaluation: &Evaluation, pages: &[Formulas], style: Style, out: &mut dyn Write) -> io::Result<()> {
    let Some(page) = pages.first() else { return Ok(()) };
    let python = style == Style::Python;
    let [of, conventions] = rests_on(evaluation);
    let about = format!(
        "{of}\n\nTotals as functions of the workload, as layerspec {} counts them: {conventions}.",
        env!("CARGO_PKG_VERSION")
    );
    // A name from a file must not end a comment.
    let about = about.replace('\\', "\\\\").replace("\"\"\"", "'''").replace("*/", "* /");
    let atoms = page.atoms_with_conditions();
    let uses = |wanted: fn(&Atom) -> bool| atoms.iter().any(|id| page.symbolic.atoms.atom(*id).is_some_and(wanted));
    let (experts, isqrt) = (uses(|atom| matches!(atom, Atom::Experts(..))), uses(|atom| matches!(atom, Atom::Isqrt(_))));
    if python {
        writeln!(out, "\"\"\"{about}\"\"\"\n")?;
        if isqrt {
            write!(out, "{PYTHON_ISQRT}")?;
        }
        writeln!(out, "from operator import index\n")?;
        let helpers = [
            (uses(|atom| matches!(atom, Atom::Quotient(..))), PYTHON_QUOTIENT),
            (uses(|atom| matches!(atom, Atom::Power(..))), PYTHON_POWER),
            (uses(|atom| matches!(atom, Atom::Item(..))), PYTHON_ITEM),
            (experts, PYTHON_EXPERTS),
        ];
        for (_, helper) in helpers.iter().filter(|(is_used, _)| *is_used) {
            writeln!(out, "\n{helper}")?;
        }
    } else {
        writeln!(out, "/**\n * {}\n */\n", about.replace('\n', "\n * ").replace(" * \n", " *\n"))?;
        let helpers = [
            (uses(|atom| matches!(atom, Atom::Min(..))), JS_MIN),
            (uses(|atom| matches!(atom, Atom::Floor(..) | Atom::Quotient(..))), JS_FLOOR),
            (uses(|atom| matches!(atom, Atom::Quotient(..))), JS_QUOTIENT),
            (uses(|atom| matches!(atom, Atom::Power(..))), JS_POWER),
            (uses(|atom| matches!(atom, Atom::Item(..))), JS_ITEM),
            (isqrt, JS_ISQRT),
            (experts, JS_EXPERTS),
        ];
        for (_, helper) in helpers.iter().filter(|(is_used, _)| *is_used) {
            writeln!(out, "{helper}")?;
        }
    }
    out.write_all(check(page, style).as_bytes())?;
    for formula in &page.formulas {
        out.write_all(function(page, formula, style).as_bytes())?;
    }
    Ok(())
}

/// The parameters of every function: the model's own variables have their defaults.
fn parameters(page: &Formulas, style: Style) -> String {
    let own = |at: usize| page.point.as_ref().and_then(|point| point.get(at)).copied();
    let names = names(page, style).into_iter().enumerate().map(|(at, name)| match own(at).filter(|_| at >= 3) {
        Some(value) => format!("{name}={value}"),
        None => name,
    });
    names.collect::<Vec<_>>().join(", ")
}

fn names(page: &Formulas, style: Style) -> Vec<String> {
    let writer = page.writer(style);
    page.symbolic.variables.iter().map(|variable| writer.name(&variable.name)).collect()
}

/// Refuses the workloads that `layerspec compile` refuses.
fn check(page: &Formulas, style: Style) -> String {
    let writer = page.writer(style);
    let mut out = String::new();
    let guards = page.guards.iter().map(|(guard, by)| (writer.poly(guard), by));
    let names = names(page, style);
    let all = names.join(", ");
    let least: Vec<(&String, u64)> = names.iter().zip(page.symbolic.variables.iter().map(|variable| variable.least)).collect();
    let wrong = "there the model is wrong: `layerspec compile` says why";
    if style == Style::Python {
        // Others' integers wrap around, and floats lose digits.
        let _ = write!(out, "\ndef _check({all}):\n    {all} = map(index, ({all},))\n");
        for (name, least) in least {
            let _ = write!(out, "    if {name} < {least}:\n        raise ValueError(\"{name} is at least {least}\")\n");
        }
        for (guard, by) in guards {
            let _ = write!(out, "    if {guard} != {by}:\n        raise ValueError(\"{wrong}\")\n");
        }
        let _ = write!(out, "    return {all}\n\n");
    } else {
        let _ = writeln!(out, "function check({all}) {{");
        for (name, least) in least {
            let _ = writeln!(out, "  if ({name} < {least}n) throw new RangeError(\"{name} is at least {least}\");");
        }
        for (guard, by) in guards {
            let _ = writeln!(out, "  if ({guard} !== {by}n) throw new RangeError(\"{wrong}\");");
        }
        out.push_str("}\n");
    }
    out
}

fn function(page: &Formulas, formula: &Formula, style: Style) -> String {
    let writer = page.writer(style);
    let (numerator, by) = &formula.whole;
    let (name, doc) = (formula.info.name, formula.info.doc);
    let (names, parameters) = (names(page, style), parameters(page, style));
    let all = names.join(", ");
    let mut out = String::new();
    if style == Style::Python {
        let body = if *by == 1 { writer.poly(numerator) } else { format!("{} // {by}", writer.factor(numerator)) };
        let _ =
            write!(out, "\ndef {name}({parameters}):\n    \"\"\"{doc}\"\"\"\n    {all} = _check({all})\n    return {body}\n\n");
    } else {
        let body = if *by == 1 { writer.poly(numerator) } else { format!("{} / {by}n", writer.factor(numerator)) };
        let integers = names.iter().map(|name| format!("BigInt({name})")).collect::<Vec<_>>().join(", ");
        let _ = write!(
            out,
            "\n/** {doc} */\nexport function {name}({parameters}) {{\n  [{all}] = [{integers}];\n  check({all});\n  return {body};\n}}\n"
        );
    }
    out
}
