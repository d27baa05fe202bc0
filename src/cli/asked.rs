//! What is asked of a model, and how it is run: options, with what an engine leaves no choice of.

use std::sync::Arc;

use super::args::{WorkloadArgs, refused};
use super::output::Terminal;
use crate::catalog::{Catalog, Device};
use crate::cost::workload::{RunOptions, Workload};
use crate::lower::Execution;
use crate::session::Session;
use crate::syntax::diag::{Diagnostic, Diagnostics};

/// What options ask of a model, and how it is run. A remark on that is said.
///
/// # Errors
/// No dtype or runtime of the catalog is of that name, or the runtime doesn't do what is asked for.
pub fn asked(args: &WorkloadArgs, session: &Session, terminal: &Terminal) -> Result<(Workload, Execution), clap::Error> {
    run(args.workload(session.catalog())?, &args.options(), session, terminal)
}

/// A workload, and how it is run with these options.
///
/// # Errors
/// Those of [`asked`].
pub fn run(
    mut workload: Workload,
    options: &RunOptions,
    session: &Session,
    terminal: &Terminal,
) -> Result<(Workload, Execution), clap::Error> {
    let found = options.execution(&mut workload, session.catalog());
    let (execution, remark) = found.map_err(|why| not_run(options, &why))?;
    if let Some(remark) = remark {
        terminal.report(&session.said::<()>(remark.into()));
    }
    Ok((workload, execution))
}

/// Why a model isn't run so.
fn not_run(options: &RunOptions, why: &Diagnostic) -> clap::Error {
    let help: String = why.help.iter().map(|help| format!("; {help}")).collect();
    refused::<WorkloadArgs>("runtime", options.runtime.as_deref().unwrap_or_default(), &format!("{}{help}", why.message))
}

/// The device of a name, or one of which its memory is said.
///
/// # Errors
/// There is none of that name.
pub fn device(name: &str, catalog: &Catalog) -> Result<Arc<Device>, Diagnostics> {
    if let Some(stated) = Device::stated(name) {
        return Ok(Arc::new(stated));
    }
    catalog.device(name).unwrap_or_else(|| Err(catalog.unknown_device(name).into()))
}
