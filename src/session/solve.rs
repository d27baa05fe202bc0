//! The value of one variable at which a quantity of a model reaches a value.

use std::sync::Arc;

use super::sweep::{Load, checked};
use super::{Model, Outcome, Settings, Variable};
use crate::analysis::solve::{Question, Solution, solve};
use crate::analysis::sweep::{Interpreter, nothing_runs};
use crate::cost::workload::Workload;
use crate::evaluation::Evaluation;
use crate::lower::{Execution, Lowered};
use crate::quantity::{Total, TotalInfo};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics, Severity};
use crate::syntax::expr::Value;

/// What is looked for in which model.
pub struct Solve<'l> {
    /// How the model is read with settings.
    pub load: Load<'l>,
    /// How it is taken.
    pub settings: Settings,
    /// What is asked of it, the variable aside.
    pub workload: Workload,
    /// How it is run.
    pub execution: Execution,
    /// Whose value is looked for.
    pub variable: Variable,
    /// What is to reach the target.
    pub quantity: &'static TotalInfo,
}

/// The answer.
#[derive(Debug)]
pub struct Solved {
    /// Whose value was looked for.
    pub variable: Variable,
    /// What was to reach the target.
    pub quantity: &'static TotalInfo,
    /// What was asked.
    pub question: Question,
    /// What was found.
    pub solution: Solution,
    /// The model at the value that reaches the target, or else the one below.
    pub evaluation: Option<Evaluation>,
}

impl Solve<'_> {
    /// Looks for it. An error if the model has no figure at any value that was tried; warnings are those at the value that was found.
    #[must_use]
    pub fn run(&self, question: Question) -> Outcome<Solved> {
        let base = (self.load)(&self.settings);
        let start = base.value.as_ref().and_then(|model| self.now(model));
        let question = Question { start: question.start.or(start), ..question };
        let solution = match &self.variable {
            Variable::Structure(_) => solve(question, &mut |value| self.figure(&*self.lowered(value)?, value)),
            Variable::Workload(_) => match self.lowered(0) {
                Ok(lowered) => solve(question, &mut |value| self.figure(&lowered, value)),
                Err(why) => Solution { first_invalid: Some((question.least, why)), ..Solution::default() },
            },
        };
        let found = solution.reached.or(solution.below);
        let crossed = solution.reached.is_some() && solution.below.is_some();
        let at = found.and_then(|found| Some(self.lowered(found.value).ok()?.lowered.at(&self.at(found.value))));
        let (evaluation, said) = at.map_or((None, Diagnostics::default()), |at| (at.value, at.diagnostics));
        let mut diagnostics = Diagnostics::default();
        diagnostics.extend(said.iter().filter(|said| self.is_remark(said, crossed)).cloned());
        if let (None, Some((value, why))) = (found, &solution.first_invalid) {
            let help = format!("the model is valid at no value that was tried; this is at {} {value}", self.variable.name());
            diagnostics.push(Diagnostic { primary: None, secondary: Vec::new(), ..Diagnostic::clone(why) }.help(help));
        }
        let solved = Solved { variable: self.variable.clone(), quantity: self.quantity, question, solution, evaluation };
        Outcome { value: found.map(|_| solved), diagnostics, source: base.source, catalog: base.catalog }
    }

    /// Whether something said of the model there is said of the answer; where there is none, the value is only the last that was tried.
    fn is_remark(&self, said: &Diagnostic, crossed: bool) -> bool {
        match said.code {
            // That it is another model was asked for.
            Code::ExpectationsSkipped => crossed && !matches!(self.variable, Variable::Structure(_)),
            code => crossed && said.severity == Severity::Warning || code == Code::ExpectationFailed,
        }
    }

    /// The variable's value in the model as it is.
    fn now(&self, model: &Model) -> Option<u64> {
        match &self.variable {
            Variable::Structure(name) => model.count_of(name),
            Variable::Workload(name) => {
                let at = model.lowered(&self.execution).value?.sketch(&self.workload).value?;
                at.workload().count(name)
            }
        }
    }

    /// The model at a value of the variable, where that is structural.
    fn lowered(&self, value: u64) -> Result<Box<Asked>, Box<Diagnostic>> {
        let mut settings = self.settings.clone();
        if let Variable::Structure(name) = &self.variable {
            settings = settings.set(name, value);
        }
        let model = checked((self.load)(&settings))?;
        let lowered = checked(model.lowered(&self.execution))?;
        let interpreter = Interpreter::new(&lowered, &self.workload, &[]);
        Ok(Box::new(Asked { lowered, interpreter }))
    }

    /// The workload at a value of the variable, where that is one of the workload's.
    fn at(&self, value: u64) -> Workload {
        let mut workload = self.workload.clone();
        let Variable::Workload(name) = &self.variable else { return workload };
        match &**name {
            "batch_size" => workload.batch_size = Some(value),
            "seq_len" => workload.seq_len = Some(value),
            "past_len" => workload.past_len = Some(value),
            _ => workload.settings.push((Arc::clone(name), Value::count(value))),
        }
        workload
    }

    fn figure(&self, asked: &Asked, value: u64) -> Result<u128, Box<Diagnostic>> {
        let mut figures = Vec::with_capacity(2);
        // What the data flow finds wrong is wrong, whatever is asked for: few values are tried, so it is run for each.
        let wanted = [self.quantity.quantity, Total::PeakBytes];
        asked.interpreter.at(&wanted, &self.at(value), |figure| figures.push(figure))?;
        figures.first().copied().flatten().ok_or_else(|| nothing_runs().boxed())
    }
}

/// A model that is asked.
struct Asked {
    lowered: Lowered,
    interpreter: Interpreter,
}
