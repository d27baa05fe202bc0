use super::output::{Exit, Stop, Terminal};
use super::sweep_args::SolveArgs;
pub fn run(args: &SolveArgs, terminal: &Terminal) -> Result<Exit, Stop> { Ok(Exit::Fine) }
