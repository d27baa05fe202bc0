//! What a page is of: the model and its workload, in a line.

use super::units;
use crate::analysis::summary::CountedBy;
use crate::evaluation::Evaluation;
use crate::quantity::workload::{After, Phase};
use crate::syntax::escape::escape_terminal;

/// The model and its workload, in a line.
pub fn title(compiled: &Evaluation) -> String {
    let workload = &compiled.bound.workload;
    let name = compiled.name().unwrap_or("(no name)");
    let tokens = |n: u64| format!("{} token{}", units::exact(u128::from(n)), if n == 1 { "" } else { "s" });
    let sequences = CountedBy::of(compiled) == CountedBy::Token;
    let phase = if sequences || workload.phase == Phase::Train { workload.phase.word() } else { "forward" };
    let mut parts = vec![phase.to_owned(), format!("batch {}", workload.batch_size)];
    parts.extend(sequences.then(|| tokens(workload.seq_len)));
    if sequences && workload.past_len > 0 {
        let prompt = if workload.after == After::Prompt { " by the prompt" } else { "" };
        parts.push(format!("{} cached{prompt}", units::exact(u128::from(workload.past_len))));
    }
    parts.push(workload.dtype.name.to_string());
    if workload.weight_dtype != workload.dtype {
        parts.push(format!("weights {}", workload.weight_dtype.name));
    }
    for (pattern, dtype) in &workload.weight_dtypes {
        parts.push(format!("{pattern} in {}", dtype.name));
    }
    if workload.kv_dtype != workload.dtype {
        parts.push(format!("cache {}", workload.kv_dtype.name));
    }
    for (name, value) in &workload.more {
        parts.push(format!("{name} {value}"));
    }
    escape_terminal(&format!("{name}: {}", parts.join(", "))).into_owned()
}
