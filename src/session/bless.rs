//! A model file whose `expect` says what is so.

use serde_json::{Value as Json, json};

use super::Outcome;
use crate::cost::workload::{CompleteWorkload, Workload};
use crate::emit::{Edit, Facts, PointFacts, edited, insert};
use crate::evaluation::{Evaluation, figures_of_facts, workload_of_point};
use crate::lower::{Execution, Lowered};
use crate::quantity::{Stated, Total, facts as known_facts, total};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics, nearest};
use crate::syntax::expr::json_of;
use crate::syntax::json;
use crate::syntax::spec::Fact;
use crate::syntax::stack::deep;

/// A model file's text with facts that hold.
#[derive(Debug, Clone)]
pub struct Blessed {
    /// All of the text.
    pub text: String,
    /// What was changed in it: a fact, its former value, its value.
    pub changed: Vec<(&'static str, Option<u128>, u128)>,
    /// How many facts it states now.
    pub facts: usize,
}

impl Lowered {
    /// The text of the model's file with what holds in its `expect`: in place of the facts that it states, and those named in `facts` besides;
    /// such as depend on the workload at the one that is asked for. The rest of the text stays as it is. An error where the model was changed by
    /// settings, or where a fact has no figure.
    ///
    /// ```
    /// use layerspec::{Execution, Session, Workload};
    ///
    /// let text = r#"{ "layers": [{ "name": "act", "class": "torch.nn.SiLU", "parameters": { "features": 3 } }], "expect": { "layers": 7 } }"#;
    /// let model = Session::new().read("tiny.json", text).into_result()?.lowered(&Execution::default()).into_result()?;
    /// let blessed = model.blessed(&["params"], &Workload::default()).into_result()?;
    /// assert_eq!(blessed.text, text.replace("\"layers\": 7", "\"layers\": 1, \"params\": 0"));
    /// # Ok::<(), layerspec::Failure>(())
    /// ```
    #[must_use]
    pub fn blessed(&self, facts: &[&str], workload: &Workload) -> Outcome<Blessed> {
        let mut diagnostics = Diagnostics::clone(&self.said);
        let value = deep(|| self.with_facts(facts, workload, &mut diagnostics)).filter(|_| !diagnostics.has_errors());
        self.outcome(value, diagnostics)
    }

    fn with_facts(&self, facts: &[&str], workload: &Workload, diagnostics: &mut Diagnostics) -> Option<Blessed> {
        if diagnostics.has_errors() {
            return None;
        }
        if self.checked.structure_was_set() {
            let message = "what holds of a model changed by `--set` doesn't hold of its file";
            diagnostics.push(Diagnostic::new(Code::InvalidWorkload, message).help("change the file, or leave out `--set`"));
            return None;
        }
        let found = figures_of_facts(self, diagnostics);
        if found.is_empty() && facts.is_empty() {
            let message = "the model states no facts in `expect`, and none are named";
            let place = self.checked.model.span.part(0..1);
            let diagnostic = Diagnostic::new(Code::MissingKey, message).at(place, "no `expect` in this model");
            diagnostics.push(diagnostic.help("name some: `--facts params,matmul_flops`"));
            return None;
        }
        let stale: Vec<&(Fact, u128)> = found.iter().filter(|(fact, value)| fact.value.value != *value).collect();
        let mut changed: Vec<_> =
            stale.iter().map(|(fact, value)| (fact.quantity.value.name(), Some(fact.value.value), *value)).collect();
        let replaced = |(fact, value): &&(Fact, u128)| Edit { range: fact.value.span.range(), text: value.to_string() };
        let mut edits: Vec<Edit> = stale.iter().map(replaced).collect();
        let mut count = found.len();
        if !facts.is_empty() {
            let at = self.sketch(workload);
            diagnostics.extend(at.diagnostics.iter().cloned());
            let (new, named) = self.named(&at.value?, facts, diagnostics)?;
            count += named.len();
            changed.extend(named);
            let document = json::read(&self.source, diagnostics)?;
            edits.extend(insert(&self.source.text, &document.root, new));
        }
        Some(Blessed { text: edited(&self.source.text, edits), changed, facts: count })
    }

    /// The facts of these names that the file doesn't state yet.
    #[expect(clippy::type_complexity, reason = "as `Blessed` has them")]
    fn named(
        &self,
        at: &Evaluation,
        names: &[&str],
        diagnostics: &mut Diagnostics,
    ) -> Option<(Facts, Vec<(&'static str, Option<u128>, u128)>)> {
        let expect = self.checked.model.expect.as_ref();
        let own = &at.bound.workload;
        // The point that states the same workload.
        if at.mix().is_some() {
            let message = "a model states facts of the weights that it has, not of a mix of types";
            diagnostics.push(Diagnostic::new(Code::InvalidWorkload, message).help("leave out the mix in `--weight-dtype`"));
            return None;
        }
        if let Some(runtime) = at.runtime() {
            let message = format!("a model states facts of eager PyTorch, not of what {} makes of it", runtime.name);
            diagnostics.push(Diagnostic::new(Code::InvalidWorkload, message).help("leave out `--runtime`"));
            return None;
        }
        let points = expect.map_or(&[][..], |expect| &expect.points);
        let known = points.iter().position(|point| {
            workload_of_point(self, point)
                .is_some_and(|(workload, execution)| is_same_step(&workload, execution, own, at.execution))
        });
        let stated = |facts: &[Fact], total: Total| facts.iter().any(|fact| fact.quantity.value == total);
        let (mut facts, mut there, mut new) = (Facts::default(), Vec::new(), Vec::new());
        for name in names {
            let info = total(name).filter(|info| info.stated != Stated::Nowhere);
            let Some(info) = info else {
                let known: Vec<&str> = known_facts(true).map(|info| info.name).collect();
                let diagnostic =
                    Diagnostic::new(Code::UnknownKey, format!("`{name}` is no fact that a model may state of itself"));
                diagnostics.push(match nearest(name, known.iter().copied()) {
                    Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                    None => diagnostic.help(format!("one of {}", known.join(", "))),
                });
                continue;
            };
            let free = info.stated == Stated::Anywhere;
            let is_stated = match free {
                true => expect.is_some_and(|expect| stated(&expect.facts, info.quantity)),
                false => known.and_then(|at| points.get(at)).is_some_and(|point| stated(&point.facts, info.quantity)),
            };
            let Some(value) = at.named(info.name).filter(|_| !is_stated) else { continue };
            let into = if free { &mut facts.anywhere } else { &mut there };
            if into.iter().all(|(known, _)| *known != info.name) {
                into.push((info.name, value));
                new.push((info.name, None, value));
            }
        }
        if !there.is_empty() {
            if !own.weight_dtypes.is_empty() {
                let message = "a point of `expect` can't say that some layers' weights have another dtype";
                diagnostics
                    .push(Diagnostic::new(Code::InvalidWorkload, message).help("leave out `--weight-dtype PATTERN=DTYPE`"));
                return None;
            }
            let workload = stated_workload(&at.asked, own, at.execution);
            facts.point = Some(PointFacts { workload, known, facts: there });
        }
        Some((facts, new))
    }
}

/// Whether two workloads are one step, whatever was said and what left to defaults.
fn is_same_step(a: &CompleteWorkload, on: Execution, b: &CompleteWorkload, with: Execution) -> bool {
    let step = |w: &CompleteWorkload| (w.phase, w.batch_size, w.seq_len, w.past_len, w.logit_len, w.attention, w.after);
    let dtypes =
        |w: &CompleteWorkload| [w.dtype.clone(), w.weight_dtype.clone(), w.other_weight_dtype.clone(), w.kv_dtype.clone()];
    on == with && step(a) == step(b) && dtypes(a) == dtypes(b) && a.weight_dtypes == b.weight_dtypes && a.more == b.more
}

/// A workload as a point states it: its step, and of the rest what was asked for.
fn stated_workload(asked: &Workload, complete: &CompleteWorkload, execution: Execution) -> Vec<(String, Json)> {
    let usual = Execution::default();
    let mut out = Vec::new();
    let mut say = |name: &str, value: Option<Json>| {
        out.extend(value.map(|value| (name.to_owned(), value)));
    };
    say("phase", Some(json!(complete.phase.word())));
    say("batch_size", Some(json!(complete.batch_size)));
    say("seq_len", Some(json!(complete.seq_len)));
    say("past_len", (complete.past_len > 0).then(|| json!(complete.past_len)));
    for (name, dtype) in [("dtype", &asked.dtype), ("weight_dtype", &asked.weight_dtype), ("kv_dtype", &asked.kv_dtype)] {
        say(name, dtype.as_ref().map(|dtype| json!(&*dtype.name)));
    }
    say("attention", asked.attention.map(|attention| json!(attention.word())));
    say("logits", asked.logits.map(|logits| json!(logits.word())));
    say("after", asked.after.map(|after| json!(after.word())));
    say("kernel", (execution.kernel != usual.kernel).then(|| json!(execution.kernel.word())));
    say("cache", (execution.cache != usual.cache).then(|| json!(execution.cache.word())));
    say("mla", (execution.mla != usual.mla).then(|| json!(execution.mla.word())));
    say("backend", (execution.backend != usual.backend).then(|| json!(execution.backend.word())));
    for (name, value) in &asked.settings {
        say(name, Some(json_of(value)));
    }
    out
}
