//! A memory plan as one set of options asks for it.

use std::sync::Arc;

use super::args::MemoryArgs;
use super::asked::{device, run as run_with};
use super::input::Given;
use super::output::{Exit, Stop, Terminal};
use crate::analysis::fit::Fit;
use crate::analysis::memory::{Plan, Training};
use crate::catalog::Device;
use crate::cost::workload::Workload;
use crate::evaluation::Evaluation;
use crate::lower::Execution;
use crate::quantity::workload::Backend;
use crate::session::{Outcome, Session};

/// How a model is run for a plan, on what, and how it is trained.
pub struct PlanAsked<'a> {
    args: &'a MemoryArgs,
    workload: Workload,
    execution: Execution,
    device: Option<Arc<Device>>,
    pub training: Training,
}

impl<'a> PlanAsked<'a> {
    /// As options say; that there is no such device is reported.
    ///
    /// # Errors
    /// No optimizer or runtime is of that name, or the runtime doesn't do what is asked for.
    pub fn of(
        args: &'a MemoryArgs,
        workload: Workload,
        session: &Session,
        terminal: &Terminal,
    ) -> Result<Result<Self, Exit>, Stop> {
        let device = match args.device.as_deref().map(|name| device(name, session.catalog())).transpose() {
            Ok(device) => device,
            Err(said) => return Ok(Err(terminal.report(&session.said::<()>(said)))),
        };
        let training = args.training(session.catalog())?;
        let mut options = args.workload.options();
        if device.as_ref().is_some_and(|device| device.is_gpu()) {
            options.backend.get_or_insert(Backend::Cuda);
        }
        let (workload, execution) = run_with(workload, &options, session, terminal)?;
        Ok(Ok(PlanAsked { args, workload, execution, device, training }))
    }

    /// The model at the workload.
    pub fn evaluated(&self, given: &Given<'_>, session: &Session) -> Outcome<Evaluation> {
        given
            .read(&self.args.workload.settings(session.catalog()))
            .and_then(|model| model.lowered(&self.execution))
            .and_then(|lowered| lowered.at(&self.workload))
    }

    /// What a device has to hold of it.
    pub fn planned(&self, model: Outcome<Evaluation>) -> Outcome<(Evaluation, Plan)> {
        model.try_map(|model| {
            let plan = model.memory_plan(self.args.count, &self.training)?;
            Ok((model, plan))
        })
    }

    /// Whether it fits, where a device is said.
    pub fn fit(&self, model: &Evaluation, plan: &Plan) -> Option<(Arc<Device>, Fit)> {
        let device = self.device.clone()?;
        let fit = model.fit(plan, &device, self.args.count, self.args.reserve, &self.training);
        Some((device, fit))
    }
}
