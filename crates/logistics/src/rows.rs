//! Between the rows of the store and the rules: what is stored as JSON and text is read once, here.

use jiff::civil::Date;
use trunkline_store::tables::logistics::clinic::ClinicRow;
use trunkline_store::tables::logistics::recurrence::RecurrenceRow;
use trunkline_store::tables::logistics::task::LogisticsTaskRow;

use crate::calendar::parse_date;
use crate::{Clinic, DayTime, Frequency, Load, Package, Position, Priority, Recurrence, Zone};

/// A stored text that does not read; only damage or a foreign hand explains it.
#[derive(Debug, thiserror::Error)]
#[error("the stored {what} of {id} does not read")]
pub struct Unreadable {
    /// Which part.
    pub what: &'static str,
    /// Of which row.
    pub id: String,
}

fn unreadable(what: &'static str, id: &str) -> Unreadable {
    Unreadable { what, id: id.to_owned() }
}

impl TryFrom<&ClinicRow> for Clinic {
    type Error = Unreadable;

    fn try_from(row: &ClinicRow) -> Result<Self, Unreadable> {
        let id = row.id.as_str();
        Ok(Self {
            id: id.to_owned(),
            name: row.name.clone(),
            address: row.address.clone(),
            position: row.position_e7.and_then(|(lat, lon)| Position::from_e7(lat, lon).ok()),
            zone: Zone::parse(&row.zone).map_err(|_| unreadable("time zone", id))?,
            hours: serde_json::from_str(&row.hours).map_err(|_| unreadable("opening hours", id))?,
            holidays: serde_json::from_str(&row.holidays).map_err(|_| unreadable("holidays", id))?,
        })
    }
}

impl TryFrom<&RecurrenceRow> for Recurrence {
    type Error = Unreadable;

    fn try_from(row: &RecurrenceRow) -> Result<Self, Unreadable> {
        let id = row.id.as_str();
        let time = |minutes| DayTime::from_minutes(minutes).ok_or_else(|| unreadable("times", id));
        Ok(Self {
            frequency: Frequency::parse(&row.frequency).ok_or_else(|| unreadable("frequency", id))?,
            starts_on: date(&row.starts_on, id)?,
            ends_on: row.ends_on.as_deref().map(|text| date(text, id)).transpose()?,
            from: time(row.minutes.0)?,
            until: time(row.minutes.1)?,
        })
    }
}

impl TryFrom<&LogisticsTaskRow> for Load {
    type Error = Unreadable;

    fn try_from(row: &LogisticsTaskRow) -> Result<Self, Unreadable> {
        Ok(Self {
            priority: Priority::from_rank(row.priority),
            package: package(&row.package, row.id.as_str())?,
            n_cases: u32::try_from(row.n_cases).unwrap_or_default(),
        })
    }
}

/// Reads a stored package.
pub fn package(text: &str, id: &str) -> Result<Package, Unreadable> {
    serde_json::from_str(text).map_err(|_| unreadable("package", id))
}

/// Reads a stored date.
pub fn date(text: &str, id: &str) -> Result<Date, Unreadable> {
    parse_date(text).map_err(|_| unreadable("date", id))
}

/// Writes what is stored as JSON.
pub fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("invariant: plain values serialise")
}
