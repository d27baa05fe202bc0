//! What can be asked of a model at a workload: where memory goes, what fits, why a figure is what it is, how two models differ.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::Outcome;
use crate::analysis::cache::{CacheReport, cache};
use crate::analysis::compare::{Difference, difference};
use crate::analysis::convention::{Counted, count};
use crate::analysis::find::{Found, Remedy, Size, find, remedies};
use crate::analysis::fit::{Fit, Question, fit};
use crate::analysis::layers::{Layer, visit_layers};
use crate::analysis::memory::{Plan, PlanProgram, Training, plan};
use crate::analysis::summary::{Summary, summary};
use crate::analysis::{Reasons, reasons};
use crate::catalog::{Convention, Device};
use crate::cost::workload::Workload;
use crate::emit::flat_list;
use crate::evaluation::{Evaluation, Row};
use crate::flat::{FlatModel, Located, Lost, Pattern, RowId};
use crate::flow::{Alive, alive_at};
use crate::report::{explain_composite, explain_layer};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics, nearest};
use crate::syntax::stack::deep;

impl Evaluation {
    /// The same model at another workload.
    #[must_use]
    pub fn at(&self, workload: &Workload) -> Outcome<Evaluation> {
        self.lowered().at(workload)
    }

    /// What is alive at the peak, largest first, the workspace of the layer that runs aside.
    #[must_use]
    pub fn alive_at_peak(&self) -> Vec<Alive> {
        let alive = |peak| deep(|| alive_at(&self.flat, &self.bound, &self.report, peak));
        self.peak().map(alive).unwrap_or_default()
    }

    /// What one of `devices` devices has to hold: of inference at the worst moment of a pass, of a training step at the worse of its two.
    ///
    /// # Errors
    /// Adapters that target nothing, a size beyond 128 bits.
    pub fn memory_plan(&self, devices: u64, training: &Training) -> Result<Plan, Box<Diagnostic>> {
        deep(|| plan(self, devices, training, true))
    }

    /// A plan's total as formulas, in nanoseconds at any workload. `None`: the interpreter answers for it, as for what is split over several devices.
    #[must_use]
    pub fn plan_program(&self, devices: u64, training: &Training) -> Option<PlanProgram> {
        deep(|| PlanProgram::of(self, devices, training))
    }

    /// The tensors of a size, and the sums at the peak that are of it.
    #[must_use]
    pub fn of_size(&self, size: &Size) -> Vec<Found> {
        find(self, size)
    }

    /// What options make of what was found: those that make it smaller, the smallest first.
    #[must_use]
    pub fn remedies(&self, found: &[Found]) -> Vec<Remedy> {
        deep(|| remedies(self, found))
    }

    /// Whether a plan fits on devices, and the largest batch and context that do. `reserve`: per cent of each that are kept free.
    #[must_use]
    pub fn fit(&self, plan: &Plan, device: &Device, count: u64, reserve: u32, training: &Training) -> Fit {
        deep(|| fit(Question { model: self, device, count, reserve, training }, plan))
    }

    /// What is kept between steps, at which length how much, by which kind of attention.
    #[must_use]
    pub fn cache(&self) -> CacheReport {
        deep(|| cache(self))
    }

    /// FLOPs as a convention counts them, row by row and term by term.
    ///
    /// ```
    /// use layerspec::{Execution, Session, Workload};
    ///
    /// let session = Session::new();
    /// let lowered = session.load("llama-2-7b-hf").and_then(|model| model.lowered(&Execution::default())).into_result()?;
    /// let at = lowered.at(&Workload::prefill(1, 2048)).into_result()?;
    /// let fvcore = session.catalog().convention("fvcore").unwrap();
    /// assert_eq!(at.counted(&fvcore).unwrap().total.forward, 13_531_294_466_048);
    /// # Ok::<(), layerspec::Failure>(())
    /// ```
    ///
    /// # Errors
    /// Attention that isn't dense, a formula of the convention without a value, a count beyond 127 bits.
    pub fn counted(&self, convention: &Arc<Convention>) -> Result<Counted, Box<Diagnostic>> {
        deep(|| count(self, convention))
    }

    /// One page on the model: sizes, attention, parameters by component, ratios.
    #[must_use]
    pub fn summary(&self) -> Summary {
        deep(|| summary(self))
    }

    /// Visits every layer in the order of execution: its concrete path, its row, whose values it reads. Values that are read from afar apart,
    /// it takes memory for one path from the model to a layer.
    ///
    /// # Errors
    /// The first of `visit`, which ends it.
    pub fn visit_layers<'e, E>(&'e self, visit: &mut dyn FnMut(Layer<'e>) -> Result<(), E>) -> Result<(), E> {
        visit_layers(self, visit)
    }

    /// The model as a list of its basic layers, as a model file without its name: it has the same layers in the same order, each under its path
    /// with slashes (`model/layers/0/mlp/up_proj`), and compiles to the same costs, at other workloads too. How long PyTorch's variables live
    /// is said by composites, so its peak is that of values that end with their last reader.
    ///
    /// # Errors
    /// What of it a file can't say.
    pub fn flat_list(&self) -> Result<Map<String, Json>, String> {
        flat_list(self)
    }

    /// How another model's flat list differs from this one's.
    #[must_use]
    pub fn difference(&self, other: &Evaluation) -> Difference {
        difference(self, other)
    }

    /// All that there is to say about the layer or composite at a path, as text: `model.layers.0.mlp.up_proj`, or a row's own
    /// (`model.layers.[0-31].mlp.up_proj`).
    #[must_use]
    pub fn explain(&self, path: &str) -> Outcome<String> {
        let mut diagnostics = Diagnostics::default();
        let text = match deep(|| self.explained(path)) {
            Ok(text) => Some(text),
            Err(diagnostic) => {
                diagnostics.push(*diagnostic);
                None
            }
        };
        self.lowered().outcome(text, diagnostics)
    }

    /// The row that a path leads to: a concrete one, or a row's own. `None`: to a composite, or nowhere.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<Row<'_>> {
        match deep(|| self.located(path)) {
            Ok(Located::Layer(id)) => self.row(id),
            _ => None,
        }
    }

    fn located(&self, path: &str) -> Result<Located, Lost> {
        self.flat.locate(path).or_else(|lost| {
            // As tables show it: `model.layers.[0-31].mlp.up_proj`.
            let folded = (0u32..).zip(&self.flat.rows).find(|(_, info)| *info.path == *path);
            folded.map(|(at, _)| Located::Layer(RowId(at))).ok_or(lost)
        })
    }

    /// The layers that a pattern means, each distinct one once: by the path of its first instance that it means. `None`: it is no pattern.
    fn meant(&self, pattern: &str) -> Option<Vec<(String, RowId)>> {
        if !pattern.contains(['*', '[']) {
            return None;
        }
        let pattern = Pattern::new(pattern);
        let mut seen = vec![false; self.flat.rows.len()];
        let mut meant = Vec::new();
        for instance in self.flat.instances() {
            let Some((seen, info)) = seen.get_mut(instance.row.0 as usize).zip(self.flat.row(instance.row)) else { continue };
            if !*seen && pattern.means(&instance.path, &info.row.class_name) {
                *seen = true;
                meant.push((instance.path, instance.row));
            }
        }
        Some(meant)
    }

    fn explained(&self, path: &str) -> Result<String, Box<Diagnostic>> {
        /// More than anybody reads.
        const MOST: usize = 12;
        if let Some(meant) = self.meant(path).filter(|meant| !meant.is_empty()) {
            let mut texts = Vec::with_capacity(meant.len().min(MOST) + 1);
            for (path, id) in meant.iter().take(MOST) {
                texts.push(self.explained_layer(path, *id)?);
            }
            if meant.len() > MOST {
                texts.push(format!(
                    "... and {} more, the first of them {}\n",
                    meant.len() - MOST,
                    meant.get(MOST).map_or("", |(path, _)| path)
                ));
            }
            return Ok(texts.join("\n"));
        }
        let id = match self.located(path).map_err(|lost| no_layer(path, &lost, &self.flat).boxed())? {
            Located::Children { class, children } => return Ok(explain_composite(path, class.as_deref(), &children)),
            Located::Layer(id) => id,
        };
        self.explained_layer(path, id)
    }

    fn explained_layer(&self, path: &str, id: RowId) -> Result<String, Box<Diagnostic>> {
        // A model that is evaluated has a cost for every layer.
        let no_cost = || Diagnostic::new(Code::InvalidClass, format!("`{path}` has no cost")).boxed();
        let row = self.row(id).ok_or_else(no_cost)?;
        Ok(explain_layer(path, row, &row.reasons()?))
    }
}

impl<'e> Row<'e> {
    /// Why it costs what it does: each quantity's formula, with the values that it saw.
    ///
    /// # Errors
    /// A formula without a value, which an evaluation excludes.
    pub fn reasons(&self) -> Result<Reasons<'e>, Box<Diagnostic>> {
        let nothing = || Diagnostic::new(Code::InvalidClass, format!("`{}` has no cost", self.path())).boxed();
        let signature = self.signature().ok_or_else(nothing)?;
        let bound = self.bound();
        let found = reasons(signature, &bound.builtins, bound.workload.phase);
        found.map_err(|problem| Diagnostic::new(Code::InvalidClass, problem.message()).boxed())
    }
}

/// What to say of a path that leads to no layer.
fn no_layer(path: &str, lost: &Lost, flat: &FlatModel) -> Diagnostic {
    /// Of the names in a help line.
    const MOST_NAMES: usize = 10;
    let diagnostic = Diagnostic::new(Code::UnknownSubject, format!("the model has no layer `{path}`"));
    let rest = path.get(lost.prefix.len()..).unwrap_or_default();
    let (head, tail) = rest.split_once('.').map_or((rest, ""), |(head, _)| (head, rest.get(head.len()..).unwrap_or_default()));
    let prefix = &lost.prefix;
    // The name is right, so it is the index that isn't, or what is below.
    if lost.names.iter().any(|name| name == head) {
        let instances: Vec<&str> =
            lost.names.iter().filter_map(|name| name.strip_prefix(head)?.strip_prefix('.')).take(MOST_NAMES).collect();
        if instances.is_empty() {
            return diagnostic.help(format!("`{prefix}{head}` is a basic layer: nothing is below it"));
        }
        return diagnostic.help(format!("`{prefix}{head}` has the instances {}", instances.join(", ")));
    }
    if let Some(near) = nearest(head, lost.names.iter().map(String::as_str)) {
        let whole = format!("{prefix}{near}{tail}");
        let found = if flat.locate(&whole).is_ok() { whole } else { format!("{prefix}{near}") };
        return diagnostic.help(format!("did you mean `{found}`?"));
    }
    let names: Vec<&str> = lost.names.iter().map(String::as_str).take(MOST_NAMES).collect();
    let place = prefix.strip_suffix('.').map_or_else(|| "the model".to_owned(), |prefix| format!("`{prefix}`"));
    diagnostic.help(format!("{place} has {}", names.join(", ")))
}
