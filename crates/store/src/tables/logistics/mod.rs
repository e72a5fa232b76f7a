//! Deliveries, pickups and what belongs to them, one file per table. The rules are those of the crate `logistics`.

pub mod billing;
pub mod case;
pub mod clinic;
pub mod driver;
pub mod driver_day;
pub mod invoice;
pub mod position;
pub mod proof;
pub mod recurrence;
pub mod route;
pub mod task;
pub mod track;
