//! The command line that starts an engine as a plan has it.

use super::plan::ServingPlan;
use super::question::{Place, Question};
use crate::catalog::OptionKind;
use crate::syntax::expr::{Exact, Value};

impl Question<'_> {
    /// The engine's command line. `model`: how it is called there. `None`: a formula of the file has no value.
    #[must_use]
    pub fn command(&self, place: &Place<'_>, plan: &ServingPlan, model: &str) -> Option<String> {
        let mut values = self.values(place, plan.length);
        self.options(&mut values).ok()?;
        let value = |name: &str| values.get(name).cloned();
        let all_context = u128::from(plan.length).saturating_mul(u128::from(plan.concurrency));
        let mut words: Vec<String> = Vec::new();
        for word in &self.asked.serving.command {
            if let Some(when) = &word.when
                && !when.value(&value).ok()?.as_bool()?
            {
                continue;
            }
            let text = word.text.replace("{model}", &quoted(model));
            let text = text.replace("{all_context}", &all_context.to_string());
            let text = text.replace("{kv_dtype}", &self.model.bound.workload.kv_dtype.name);
            let counts = ["tensor", "pipeline", "expert", "context", "concurrency"];
            let with = |text: String, name: &&str| {
                let number = value(name).and_then(|value| value.as_number()?.to_count()).unwrap_or_default();
                text.replace(&format!("{{{name}}}"), &number.to_string())
            };
            words.push(counts.iter().fold(text, with));
        }
        for (chosen, option) in plan.options.iter().zip(&self.asked.serving.options).filter(|(chosen, _)| chosen.is_given) {
            match (option.kind, &chosen.value) {
                (OptionKind::Flag, Value::Bool(true)) => words.push(chosen.typed.to_string()),
                (OptionKind::Flag, _) => words.push(chosen.typed.replacen("--", "--no-", 1)),
                (_, Value::Text(text)) => words.push(format!("{} {text}", chosen.typed)),
                (_, Value::Number(n)) => words.push(format!("{} {}", chosen.typed, plain(*n))),
                (_, other) => words.push(format!("{} {other}", chosen.typed)),
            }
        }
        Some(words.join(" "))
    }
}

/// A number as a command line has it.
fn plain(n: Exact) -> String {
    n.to_count().map_or_else(|| n.to_f64().to_string(), |count| count.to_string())
}

/// A word for a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '_' | '-' | ':' | '@' | '~');
    match text.chars().all(is_plain) && !text.is_empty() {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}
