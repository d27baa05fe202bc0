//! Does a model fit where an engine serves it, and for how many requests.
//!
//! A model at a workload and the rules of a runtime's file come in, a [`ServingPlan`] goes out. No engine is known here: what it loads, reserves and
//! keeps is in `catalog/runtimes/`.

mod command;
mod load;
mod log;
mod place;
mod plan;
mod pool;
mod question;
mod ranks;
mod served;

pub use load::Loaded;
pub use log::{Compared, Log, LogRow};
pub use place::{Moved, Placed};
pub use plan::{Chosen, Figure, ServingPlan, Taken};
pub use pool::{Group, Pool, Room};
pub use question::{Place, Question, ServingAsked};
pub use ranks::Ranks;
pub use served::{Kept, Reach, Served};
