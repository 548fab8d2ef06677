//! What can go wrong between a worker and the services, and what does with one call.

mod fault;
mod injection;
mod model;
mod script;
mod weather;

pub use self::fault::{Entries, EntryError, Fault};
pub use self::injection::Injection;
pub(crate) use self::model::ModelFaults;
pub(crate) use self::script::{After, Connect, Injected, Lasts, Leg, Plan, Rule, Script, SubscriptionFaults, What};
pub use self::weather::Weather;
