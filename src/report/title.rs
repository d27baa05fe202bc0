//! What a page is of: the model and its workload, in a line.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::conventions::conventions;
use super::units::{self, Units};
use crate::analysis::summary::CountedBy;
use crate::evaluation::Evaluation;
use crate::quantity::workload::{After, Cache, Kernel, Phase, VARIABLES};
use crate::syntax::escape::escape_terminal;

/// The dtypes of a workload.
fn dtypes(compiled: &Evaluation) -> Vec<String> {
    let workload = &compiled.bound.workload;
    let mut parts = vec![workload.dtype.name.to_string()];
    if let Some(mixed) = compiled.mix() {
        parts.push(format!("weights {}", mixed.name));
    } else if workload.weight_dtype != workload.dtype {
        parts.push(format!("weights {}", workload.weight_dtype.name));
    }
    for (pattern, dtype) in &workload.weight_dtypes {
        parts.push(format!("{pattern} in {}", dtype.name));
    }
    if workload.kv_dtype != workload.dtype {
        parts.push(format!("cache {}", workload.kv_dtype.name));
    }
    parts
}

/// What figures rest on besides the variables of the workload: the phase and the dtypes, the variables that were set, the conventions.
pub fn rests_on(compiled: &Evaluation) -> [String; 2] {
    let workload = &compiled.bound.workload;
    let of_workload =
        |name: &str| VARIABLES.iter().any(|(known, _)| *known == name) || workload.more.iter().any(|(known, _)| **known == *name);
    let set = compiled.asked.settings.iter().filter(|(name, _)| !of_workload(name));
    let set = set.map(|(name, value)| format!("{name} = {value}"));
    let parts = std::iter::once(workload.phase.word().to_owned()).chain(dtypes(compiled)).chain(set);
    let parts: Vec<String> = parts.chain(partial(compiled)).collect();
    let name = compiled.name().unwrap_or("(no name)");
    let mut conventions = vec![conventions(compiled, None, Units::Si)];
    if workload.kernel != Kernel::default() && workload.phase != Phase::Train {
        conventions.push(format!("{} kernel", workload.kernel.word()));
    }
    if workload.cache == Cache::Off && workload.phase != Phase::Train {
        conventions.push("no cache".to_owned());
    }
    [escape_terminal(&format!("{name}: {}", parts.join(", "))).into_owned(), conventions.join("; ")]
}

/// What the model lacks, where it isn't whole.
pub fn partial(compiled: &Evaluation) -> Option<String> {
    let model = &compiled.checked.model;
    (!model.partial.is_empty()).then(|| format!("partial: without {}", model.without()))
}

/// A page of JSON with what its model lacks, where that isn't whole.
pub fn marked(mut page: Json, partial: &[Arc<str>]) -> Json {
    if let Some(page) = page.as_object_mut().filter(|_| !partial.is_empty()) {
        page.insert("partial".to_owned(), json!(partial));
    }
    page
}

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
    parts.extend(dtypes(compiled));
    for (name, value) in &workload.more {
        parts.push(format!("{name} {value}"));
    }
    parts.extend(partial(compiled));
    escape_terminal(&format!("{name}: {}", parts.join(", "))).into_owned()
}
