//! By which conventions a page's figures are counted, in a line.

use super::units::Units;
use crate::analysis::convention::Counted;
use crate::evaluation::Evaluation;
use crate::quantity::workload::{Attention, Kernel, Logits, Phase};
use crate::syntax::escape::escape_terminal;

/// By which conventions figures are counted, in a line.
pub fn conventions(compiled: &Evaluation, counted: Option<&Counted>, units: Units) -> String {
    let workload = &compiled.bound.workload;
    let mut parts = match counted {
        Some(counted) => {
            let said = format!("FLOPs as {} does: {}", counted.convention.name, counted.convention.doc);
            vec![escape_terminal(&said).into_owned()]
        }
        None => vec!["1 multiply-add = 2 FLOPs".to_owned()],
    };
    parts.extend(compiled.runtime().map(|runtime| format!("run by {}", escape_terminal(&runtime.name))));
    let uses = compiled.flat.uses();
    if uses.reads("attention") && counted.is_none() {
        parts.push(match workload.attention {
            Attention::Dense => "attention dense (every query with every key)".to_owned(),
            Attention::Masked => "attention masked (only pairs that the mask keeps)".to_owned(),
        });
    }
    if uses.reads("logit_len") {
        parts.push(match workload.logits {
            Logits::All => "logits of all positions".to_owned(),
            Logits::Last => "logits of the last position".to_owned(),
        });
    }
    if workload.phase == Phase::Train && counted.is_none() {
        let recomputes = if workload.kernel == Kernel::Flash { " (recomputes the scores)" } else { "" };
        parts.push(format!("{} kernel{recomputes}", workload.kernel.word()));
    }
    parts.push(match units {
        Units::Si => "GB = 10^9 bytes".to_owned(),
        Units::Iec => "GiB = 2^30 bytes".to_owned(),
    });
    parts.join("; ")
}
