//! What a lowered model can be asked without a workload, and the step to one.

use serde_json::{Map, Value as Json};

use super::Outcome;
use crate::analysis::formula::{Formulas, formulas, open_formulas};
use crate::analysis::{Graph, TooManyEdges, graph};
use crate::cost::workload::Workload;
use crate::emit::explicit;
use crate::evaluation::{Checks, Evaluation, costs, evaluate};
use crate::flat::{RowId, RowInfo};
use crate::lower::{Execution, Lowered};
use crate::program::{MemoryProgram, Program, Regime, Symbolic, Unformed, symbolic};
use crate::quantity::{Cost, Total};
use crate::syntax::diag::Diagnostics;
use crate::syntax::stack::deep;

impl Lowered {
    pub(super) fn outcome<T>(&self, value: Option<T>, diagnostics: Diagnostics) -> Outcome<T> {
        Outcome { value, diagnostics, source: Some(self.source.clone()), catalog: self.checked.classes.catalog().clone() }
    }

    /// How it is run.
    #[must_use]
    pub fn execution(&self) -> Execution {
        self.execution
    }

    /// The distinct layers, in the order of execution: what is known of them without a workload.
    pub fn rows(&self) -> impl Iterator<Item = FlatRow<'_>> {
        self.flat.rows.iter().map(|info| FlatRow { info })
    }

    /// A row by its id.
    #[must_use]
    pub fn row(&self, id: RowId) -> Option<FlatRow<'_>> {
        self.flat.row(id).map(|info| FlatRow { info })
    }

    /// The paths of all layers, in the order of execution, made one by one.
    pub fn paths(&self) -> impl Iterator<Item = String> + '_ {
        self.flat.instances().map(|instance| instance.path)
    }

    /// Evaluates it at a workload: binds it, costs every layer, runs the data flow, checks what the model expects of itself.
    #[must_use]
    pub fn at(&self, workload: &Workload) -> Outcome<Evaluation> {
        self.evaluated(workload, Checks::All)
    }

    /// The same without what the model expects of itself and without remarks on the workload: for drawings, where only shapes matter.
    #[must_use]
    pub fn sketch(&self, workload: &Workload) -> Outcome<Evaluation> {
        self.evaluated(workload, Checks::Figures)
    }

    fn evaluated(&self, workload: &Workload, checks: Checks) -> Outcome<Evaluation> {
        let mut diagnostics = Diagnostics::clone(&self.said);
        let evaluation = deep(|| evaluate(self, workload, checks, &mut diagnostics));
        self.outcome(evaluation, diagnostics)
    }

    /// The totals alone, without the data flow: for many workloads of a model that holds together at one.
    #[must_use]
    pub fn totals(&self, workload: &Workload) -> Outcome<Cost> {
        let mut diagnostics = Diagnostics::clone(&self.said);
        let costs = deep(|| {
            let lowered = self.told_apart(workload.weight_dtypes.iter().map(|(pattern, _)| &**pattern));
            costs(&lowered.flat, self.execution, workload, &mut diagnostics)
        });
        let totals = (!diagnostics.has_errors()).then_some(costs.report.totals);
        self.outcome(totals, diagnostics)
    }

    /// The totals as formulas over the workload's variables, compiled: what is asked of them besides numbers (phase, dtypes, conventions, the
    /// model's variables that are no counts) is as the workload says.
    ///
    /// # Errors
    /// What is wrong with the workload, or what of the model is no polynomial: then [`Lowered::totals`] answers for each.
    pub fn program(&self, workload: &Workload) -> Result<Program, Unformed> {
        let mut symbolic = self.symbolic(workload, &Regime::default())?;
        Program::of(&mut symbolic).ok_or(Unformed::NoForm("a total is beyond 128 bits, or has more than 4,000 terms".to_owned()))
    }

    /// The memory of a pass as formulas: its peak, what is saved, what is cached, in nanoseconds at any workload.
    ///
    /// # Errors
    /// As [`Lowered::program`].
    pub fn memory_program(&self, workload: &Workload) -> Result<MemoryProgram, Unformed> {
        deep(|| {
            let lowered = self.told_apart(workload.weight_dtypes.iter().map(|(pattern, _)| &**pattern)).into_owned();
            MemoryProgram::new(lowered, workload, None)
        })
    }

    /// The totals, and what every row has of them, as formulas in a part of all workloads.
    ///
    /// # Errors
    /// As [`Lowered::program`].
    pub(crate) fn symbolic(&self, workload: &Workload, regime: &Regime) -> Result<Symbolic, Unformed> {
        deep(|| {
            let lowered = self.told_apart(workload.weight_dtypes.iter().map(|(pattern, _)| &**pattern));
            symbolic(&lowered.flat, self.execution, workload, regime)
        })
    }

    /// Totals as formulas that a person can read, term by term, each with the layers that it comes from.
    ///
    /// # Errors
    /// As [`Lowered::program`].
    pub fn formulas(&self, workload: &Workload, wanted: &[Total]) -> Result<Vec<Formulas>, Unformed> {
        deep(|| {
            let lowered = self.told_apart(workload.weight_dtypes.iter().map(|(pattern, _)| &**pattern));
            formulas(&lowered.flat, self.execution, workload, wanted)
        })
    }

    /// Totals as formulas over all of the workload's variables, of which none has a value: for modules.
    ///
    /// # Errors
    /// As [`Lowered::program`].
    pub fn open_formulas(&self, workload: &Workload, wanted: &[Total]) -> Result<Vec<Formulas>, Unformed> {
        deep(|| {
            let lowered = self.told_apart(workload.weight_dtypes.iter().map(|(pattern, _)| &**pattern));
            open_formulas(&lowered.flat, self.execution, workload, wanted).map(|page| vec![page])
        })
    }

    /// Which layer, or model input, makes each value that a layer reads.
    ///
    /// # Errors
    /// Each of a great many layers reads each of as many others.
    pub fn graph(&self) -> Result<Graph, TooManyEdges> {
        deep(|| graph(self))
    }

    /// The model with every layer written out, as a model file without its name.
    ///
    /// # Errors
    /// What of it a file can't say.
    pub fn explicit(&self) -> Result<Map<String, Json>, String> {
        deep(|| explicit(&self.checked, &self.flat))
    }
}

/// A distinct basic layer before any workload.
#[derive(Debug, Clone, Copy)]
pub struct FlatRow<'l> {
    info: &'l RowInfo,
}

impl<'l> FlatRow<'l> {
    /// `model.layers.[0-31].mlp.up_proj`.
    #[must_use]
    pub fn path(&self) -> &'l str {
        &self.info.path
    }

    /// The class as the file has it, in full.
    #[must_use]
    pub fn class_name(&self) -> &'l str {
        &self.info.row.class_name
    }

    /// `module`, `function`, or `parameter` for a tensor that a composite owns.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.info.row.kind_word()
    }

    /// How many instances share it.
    #[must_use]
    pub fn repeats(&self) -> u128 {
        self.info.repeats
    }
}
