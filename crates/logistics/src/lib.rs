//! Logistics: deliveries and pickups between a laboratory and its clinics.
//!
//! Layer L2. The rules are pure and stand in a module each: [`priority`], [`package`], [`position`], [`hours`] and
//! [`clinic`] (when a clinic is open, in its own time zone), [`window`] (whether a pickup may be at a time), [`recurrence`]
//! (which pickups a rule asks for) and [`load`] (what is delivered together).
//!
//! What is done with them stands in [`operations`]: each gives one commit with state changes and follow-up events.
//! [`tracking`] follows drivers: fences, estimates, figures.
//! [`ledger`] is whoever keeps the books, [`upkeep`] the background work.
//!
//! Invariants:
//! - What is consolidated does not depend on the order in which cases become ready.
//! - A pickup's window lies inside one stretch of the clinic's opening hours, as its clock on the wall tells them.
//! - Running the generator of recurring pickups twice makes nothing twice.
//!
//! Deliberately absent: SQL (`store`), HTTP (`api`), knowledge of other engines.

pub mod calendar;
pub mod clinic;
pub mod hours;
pub mod ledger;
pub mod load;
pub mod operations;
pub mod package;
pub mod position;
pub mod priority;
pub mod recurrence;
pub mod rows;
pub mod tracking;
pub mod upkeep;
pub mod window;

pub use clinic::{Clinic, Holiday, Zone};
pub use hours::{DayTime, OpenHours, OpeningHours};
pub use jiff::civil::Date;
pub use load::{Load, ReadyCase};
pub use package::{Dimensions, Package};
pub use position::Position;
pub use priority::Priority;
pub use recurrence::{Extension, Frequency, Occurrence, Recurrence};
pub use window::{RefusalReason, RequestedWindow, Window, WindowRefused};
