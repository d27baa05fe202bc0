//! A model at a workload: the phases' results in one object, walked as rows.
//!
//! A [`Lowered`] and a [`Workload`] come in, an [`Evaluation`] goes out. Each phase reports into the same [`Diagnostics`] and the next goes on
//! with what could be made, so that independent errors come out in one run. An [`Evaluation`] exists only if there was no error.

mod expect;
mod rows;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use expect::{figure, figures_of_facts, workload_of_point};
pub use rows::{Instance, Parameter, Row};

use crate::catalog::Runtime;
use crate::cost::bind::{BoundModel, bind};
use crate::cost::workload::{CompleteWorkload, Workload};
use crate::cost::{CostReport, cost};
use crate::flat::FlatModel;
use crate::flow::{self, Flow, Peak};
use crate::language::check::{Checked, own_workload};
use crate::language::checkpoint::Mixed;
use crate::lower::{Execution, Lowered};
use crate::program::evaluated;
use crate::quantity::workload::{After, Attention, Cache, Logits, Phase, VARIABLES};
use crate::quantity::{self, Cost, Quantity};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics, nearest};
use crate::syntax::source::Source;

/// A model at a workload: every layer's cost, the shapes that flow, who is alive when.
#[derive(Debug)]
pub struct Evaluation {
    pub(crate) source: Source,
    pub(crate) checked: Arc<Checked>,
    pub(crate) flat: Arc<FlatModel>,
    pub(crate) execution: Execution,
    pub(crate) said: Arc<Diagnostics>,
    /// What was asked for, defaults open.
    pub(crate) asked: Workload,
    pub(crate) bound: BoundModel,
    pub(crate) report: CostReport,
    pub(crate) flow: Flow,
}

/// How much is checked besides the costs themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checks {
    /// What the model expects of itself, too, and whether the workload suits it.
    All,
    /// Only what would make figures wrong.
    Figures,
}

/// Evaluates a model at a workload. What is wrong goes to `diagnostics`, and then there is no result.
pub fn evaluate(lowered: &Lowered, workload: &Workload, checks: Checks, diagnostics: &mut Diagnostics) -> Option<Evaluation> {
    let patterns = || workload.weight_dtypes.iter().map(|(pattern, _)| &**pattern);
    let told_apart = lowered.told_apart(patterns());
    let lowered = &*told_apart;
    let Lowered { source, checked, flat, execution, said } = lowered;
    settings_are_of_the_workload(checked, workload, diagnostics);
    let Costs { bound, report } = costs(flat, *execution, workload, diagnostics);
    // Without all of the layers, what one gives says nothing of what the next takes.
    let flow = if diagnostics.has_errors() { Flow::default() } else { flow::run(flat, &bound, &report, diagnostics) };
    if checks == Checks::All {
        if bound.workload.phase == Phase::Train {
            saves_are_known(flat, &flow, diagnostics);
        }
        warn_beyond_positions(flat, &bound.workload, diagnostics);
        nothing_is_skipped(flat, &bound, diagnostics);
        if !diagnostics.has_errors() {
            without_effect(flat, *execution, workload, &bound, diagnostics);
            // What a model states of itself it states of the weights that it has.
            let is_mixed = flat.checkpoint.quantization.as_ref().is_some_and(|said| said.mixed.is_some());
            if !is_mixed {
                expect::expectations(lowered, &report, workload, diagnostics);
            }
        }
    }
    let (source, checked, flat, said) = (source.clone(), checked.clone(), flat.clone(), said.clone());
    let (execution, asked) = (*execution, workload.clone());
    (!diagnostics.has_errors()).then_some(Evaluation { source, checked, flat, execution, said, asked, bound, report, flow })
}

/// A workload bound to a model, and what every layer costs there; nothing of what flows.
#[derive(Debug)]
pub struct Costs {
    pub(crate) bound: BoundModel,
    pub(crate) report: CostReport,
}

/// Binds and costs a flat model. What is wrong goes to `diagnostics`.
pub fn costs(flat: &FlatModel, execution: Execution, workload: &Workload, diagnostics: &mut Diagnostics) -> Costs {
    let bound = bind(flat, execution, workload, diagnostics);
    let report = cost(flat, &bound, evaluated(&bound), diagnostics);
    Costs { bound, report }
}

impl Evaluation {
    /// The model as it is run, for other workloads.
    #[must_use]
    pub fn lowered(&self) -> Lowered {
        let (checked, flat, said) = (self.checked.clone(), self.flat.clone(), self.said.clone());
        Lowered { source: self.source.clone(), checked, flat, execution: self.execution, said }
    }

    /// The same model at another workload, checked no further. `None`: something is wrong there, which goes to `diagnostics`.
    pub(crate) fn elsewhere(&self, workload: &Workload, diagnostics: &mut Diagnostics) -> Option<Evaluation> {
        evaluate(&self.lowered(), workload, Checks::Figures, diagnostics)
    }

    /// What the model is called: by its own name, else as its file, or where that is called `config.json` as all are, its folder.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.checked.model.name.as_ref().map(|name| &*name.value).or_else(|| stem(&self.source.name))
    }

    /// The engine that runs it; `None`: eager PyTorch.
    #[must_use]
    pub fn runtime(&self) -> Option<Arc<Runtime>> {
        self.checked.classes.catalog().runtime_at(self.execution.runtime?)?.ok()
    }

    /// The distinct layers, in the order of execution.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.flat.rows.len()).filter_map(|at| self.row_at(at))
    }

    /// Every layer with its concrete path, in the order of execution, made one by one.
    pub fn instances(&self) -> impl Iterator<Item = Instance<'_>> {
        rows::instances(self)
    }

    /// The workload, defaults filled in.
    #[must_use]
    pub fn workload(&self) -> &CompleteWorkload {
        &self.bound.workload
    }

    /// The mix of types that its weights are in; `None`: none was asked for, or a dtype took its place.
    #[must_use]
    pub fn mix(&self) -> Option<&Mixed> {
        self.flat.checkpoint.quantization.as_ref()?.mixed.as_ref().filter(|_| self.asked.weight_dtype.is_none())
    }

    /// How it is run.
    #[must_use]
    pub fn execution(&self) -> Execution {
        self.execution
    }

    /// A quantity of all layers.
    #[must_use]
    pub fn total(&self, quantity: Quantity) -> u128 {
        self.report.totals.get(quantity)
    }

    /// The quantities of all layers: the fold of the rows.
    #[must_use]
    pub fn totals(&self) -> &Cost {
        &self.report.totals
    }

    /// Learned scalars, tied ones once.
    #[must_use]
    pub fn params(&self) -> u128 {
        self.total(Quantity::Params)
    }

    /// FLOPs of the forward pass's matrix products, as PyTorch's FlopCounterMode counts them.
    #[must_use]
    pub fn matmul_flops(&self) -> u128 {
        self.total(Quantity::MatmulFlops)
    }

    /// Entries of the full flat list.
    #[must_use]
    pub fn layers(&self) -> u128 {
        self.report.layers
    }

    /// Of those, the ones that PyTorch's `named_modules()` lists.
    #[must_use]
    pub fn modules(&self) -> u128 {
        self.report.modules
    }

    /// The moment at which most bytes are alive; `None`: no layer runs.
    #[must_use]
    pub fn peak(&self) -> Option<&Peak> {
        self.flow.peak.as_ref()
    }

    /// Bytes kept for the backward pass, each storage once; 0 unless training.
    #[must_use]
    pub fn saved_bytes(&self) -> u128 {
        self.flow.saved_bytes
    }

    /// Bytes that stay when the model has returned, its outputs aside: caches.
    #[must_use]
    pub fn cache_storage(&self) -> u128 {
        self.flow.cache_storage
    }

    /// The shape of what the model returns, where that is known.
    #[must_use]
    pub fn output_shape(&self) -> Option<&[u128]> {
        self.flow.output.as_deref()
    }

    /// A quantity of the totals by its name in every output: `params`, `flops`, `macs`, `peak_bytes`, ...
    #[must_use]
    pub fn named(&self, name: &str) -> Option<u128> {
        figure(quantity::total(name)?.quantity, &self.report, Some(&self.flow))
    }
}

/// What would be passed over: a value for what is no workload variable, unless the model was read with it (`--set` is for both).
fn settings_are_of_the_workload(checked: &Checked, workload: &Workload, diagnostics: &mut Diagnostics) {
    let own = own_workload(&checked.model);
    let known = |name: &str| own.iter().any(|v| *v.name.value == *name) || VARIABLES.iter().any(|(known, _)| *known == name);
    for setting in workload.settings.iter().filter(|setting| !known(&setting.0) && !checked.settings.contains(setting)) {
        let message = format!("`{}` is no variable of the model's workload", setting.0);
        let names = || own.iter().map(|v| &*v.name.value).chain(VARIABLES.iter().map(|(name, _)| *name));
        let near = nearest(&setting.0, names()).map(|near| format!("did you mean `{near}`?"));
        let help = near.unwrap_or_else(|| "what decides a model's structure is set when it is read".to_owned());
        diagnostics.push(Diagnostic::new(Code::UnknownSetting, message).help(help));
    }
}

/// Unknown is not zero: a layer without a cost and without an error would be missing from the totals.
fn nothing_is_skipped(flat: &FlatModel, bound: &BoundModel, diagnostics: &mut Diagnostics) {
    let skipped = flat.rows.iter().zip(bound.rows.iter()).find(|(_, row)| row.signature.is_none());
    if let Some((info, _)) = skipped.filter(|_| !diagnostics.has_errors()) {
        let message = format!("`{}` has no cost, and nothing says why: a defect of layerspec", info.path);
        diagnostics.push(info.row.point(Diagnostic::new(Code::InvalidClass, message), "this layer"));
    }
}

/// Unknown is not zero: what a class doesn't say that it keeps would be missing from the memory of training.
pub fn saves_are_known(flat: &FlatModel, flow: &Flow, diagnostics: &mut Diagnostics) {
    for info in flow.unknown_saves.iter().filter_map(|id| flat.row(*id)) {
        let message = format!("`{}` doesn't say what its backward pass needs kept, which training needs", info.row.class_name);
        let diagnostic = info.row.point(Diagnostic::new(Code::UnknownSaves, message), "a class without `saves`");
        diagnostics.push(diagnostic.note(format!("in layer `{}`", info.path)));
    }
}

/// What was asked for and nothing in the model reads.
fn without_effect(flat: &FlatModel, execution: Execution, asked: &Workload, bound: &BoundModel, diagnostics: &mut Diagnostics) {
    let plain = Execution::default();
    // What an engine has no choice of nobody asked for.
    let is_own = execution.runtime.is_none();
    let quantized = asked.weight_dtype.as_ref().filter(|dtype| dtype.is_quantized());
    let quantizes = || bound.signatures.iter().any(|signature| signature.quantized.is_some());
    let is_set = |name: &str| asked.settings.iter().any(|(known, _)| &**known == name);
    // By what it is called, whether it was asked for, and what would read it.
    let choices = [
        ("seq_len", asked.seq_len.is_some() || is_set("seq_len"), "seq_len"),
        ("past_len", asked.past_len.is_some_and(|past| past > 0) || is_set("past_len"), "past_len"),
        ("phase decode", asked.phase == Some(Phase::Decode), "past_len"),
        ("logits last", is_own && asked.logits == Some(Logits::Last), "logit_len"),
        ("logit_len", is_set("logit_len"), "logit_len"),
        ("kv_dtype", asked.kv_dtype.is_some() || is_set("kv_dtype_bytes"), "kv_dtype_bytes"),
        ("attention masked", is_own && asked.attention == Some(Attention::Masked), "attention"),
        ("after prompt", asked.after == Some(After::Prompt), "after"),
        ("kernel", is_own && execution.kernel != plain.kernel, "kernel"),
        ("cache off", execution.cache != plain.cache && bound.workload.phase != Phase::Train, "use_cache"),
        ("backend", is_own && execution.backend != plain.backend, "backend"),
    ];
    let idle = choices.into_iter().filter(|(_, asked, read)| *asked && !flat.uses().reads(read)).map(|(name, ..)| name);
    let idle = idle.chain(quantized.filter(|_| !quantizes()).map(|_| "weight_dtype"));
    for name in idle {
        let message = format!("`{name}` has no effect: nothing in this model depends on it");
        diagnostics.push(Diagnostic::new(Code::WithoutEffect, message));
    }
    let past = bound.workload.past_len;
    if asked.after == Some(After::Prompt) && (past == 0 || bound.workload.cache == Cache::Off) && flat.uses().reads("after") {
        let message = "`after prompt` has no effect: nothing is cached before this step";
        diagnostics.push(Diagnostic::new(Code::WithoutEffect, message));
    }
}

fn warn_beyond_positions(flat: &FlatModel, workload: &CompleteWorkload, diagnostics: &mut Diagnostics) {
    let Some((positions, span)) = flat.positions else {
        return;
    };
    if workload.kv_len() <= u128::from(positions) {
        return;
    }
    let message = format!("the workload has {} tokens a sequence, the model {positions} positions", workload.kv_len());
    diagnostics.push(Diagnostic::new(Code::BeyondPositions, message).at(span, "as many positions as the model has"));
}

/// A file's name without folders and ending; of a `config.json` its folder's.
fn stem(name: &str) -> Option<&str> {
    let (folder, file) = name.rsplit_once(['/', '\\']).unwrap_or(("", name));
    let stem = file.strip_suffix(".json")?;
    let folder = folder.rsplit(['/', '\\']).next().filter(|folder| !folder.is_empty() && !folder.starts_with('.'));
    if stem == "config" { folder.or(Some(stem)) } else { Some(stem) }
}
