//! Pickups that come again: which ones a rule asks for, 90 days ahead.
//!
//! A rule goes by dates and times of day on the clinic's wall, so that neither a changed clock nor a leap day moves it. It
//! remembers the date up to which it was looked at; the generator looks at what lies between that date and the horizon,
//! and at nothing else. So running it twice makes nothing twice, and running it late makes everything once.

use jiff::civil::Date;
use jiff::{Span, Unit};
use serde::{Deserialize, Serialize};
use trunkline_model::Timestamp;

use crate::clinic::Clinic;
use crate::hours::DayTime;
use crate::window::{RequestedWindow, Window, WindowRefused};

/// How many days ahead pickups are made.
pub const HORIZON_DAYS: i32 = 90;

/// How often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Frequency {
    /// Each day.
    Daily,
    /// Each seventh day.
    Weekly,
    /// Each fourteenth day.
    Biweekly,
}

impl Frequency {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Daily, Self::Weekly, Self::Biweekly];
    /// Their names, in the same order.
    pub const NAMES: [&'static str; 3] = ["DAILY", "WEEKLY", "BIWEEKLY"];

    /// The name.
    pub const fn as_str(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == text)
    }

    const fn days(self) -> i32 {
        match self {
            Self::Daily => 1,
            Self::Weekly => 7,
            Self::Biweekly => 14,
        }
    }
}

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recurrence {
    /// How often.
    pub frequency: Frequency,
    /// The first date.
    pub starts_on: Date,
    /// No date after this one.
    pub ends_on: Option<Date>,
    /// When the window begins.
    pub from: DayTime,
    /// When it ends.
    pub until: DayTime,
}

/// One pickup that a rule asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurrence {
    /// Its date.
    pub date: Date,
    /// Its window, or why there is none on that date.
    pub window: Result<Window, WindowRefused>,
}

/// What the generator makes of a rule at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// The date up to which the rule was looked at now.
    pub through: Date,
    /// What it asks for up to there, in order.
    pub occurrences: Vec<Occurrence>,
    /// When there is more to look at; `None` when the rule has come to its end.
    pub look_at: Option<Timestamp>,
}

fn plus_days(date: Date, days: i32) -> Date {
    date.checked_add(Span::new().days(days)).unwrap_or(Date::MAX)
}

fn days_between(from: Date, to: Date) -> i32 {
    from.until((Unit::Day, to)).map_or(i32::MAX, |span| span.get_days())
}

/// The last date that pickups are made for at a time.
pub fn horizon(clinic: &Clinic, now: Timestamp) -> Date {
    plus_days(clinic.zone.date_at(now), HORIZON_DAYS)
}

impl Recurrence {
    /// The dates after `after` and up to `through`.
    pub fn dates(&self, after: Date, through: Date) -> Vec<Date> {
        let step = self.frequency.days();
        let through = self.ends_on.map_or(through, |end| end.min(through));
        let mut date = if after < self.starts_on {
            self.starts_on
        } else {
            let n_steps = days_between(self.starts_on, after) / step + 1;
            plus_days(self.starts_on, n_steps.saturating_mul(step))
        };
        let mut dates = Vec::new();
        // The horizon bounds them, whatever the rule says.
        while date <= through && dates.len() <= HORIZON_DAYS as usize {
            dates.push(date);
            date = plus_days(date, step);
        }
        dates
    }

    /// What the rule asks for that was not looked at before; `through` is how far that was. Nothing lies in the past.
    pub fn extend(&self, clinic: &Clinic, through: Option<Date>, now: Timestamp) -> Extension {
        let today = clinic.zone.date_at(now);
        let yesterday = plus_days(today, -1);
        let after = through.map_or(yesterday, |through| through.max(yesterday));
        let horizon = horizon(clinic, now);
        let occurrences = self
            .dates(after, horizon)
            .into_iter()
            .map(|date| {
                let asked = RequestedWindow::Local { date, from: self.from, until: self.until };
                Occurrence { date, window: clinic.check_window(asked, now) }
            })
            .collect();
        let is_over = self.ends_on.is_some_and(|end| end <= horizon);
        let look_at = (!is_over).then(|| clinic.zone.start_of(plus_days(today, 1)));
        Extension { through: after.max(horizon), occurrences, look_at }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;
    use crate::clinic::tests::clinic;
    use crate::window::RefusalReason;

    fn rule(frequency: Frequency, starts_on: Date) -> Recurrence {
        let time = |text| DayTime::parse(text).unwrap();
        Recurrence { frequency, starts_on, ends_on: None, from: time("09:00"), until: time("11:00") }
    }

    fn time(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn a_horizon_of_ninety_days_across_a_leap_day_and_a_changed_clock() {
        let berlin = clinic("Europe/Berlin");
        let now = time("2028-02-01T10:00:00Z");
        let weekly = rule(Frequency::Weekly, date(2028, 2, 1)).extend(&berlin, None, now);
        let dates: Vec<String> = weekly.occurrences.iter().map(|one| one.date.to_string()).collect();
        assert_eq!(
            dates[..6],
            ["2028-02-01", "2028-02-08", "2028-02-15", "2028-02-22", "2028-02-29", "2028-03-07"]
        );
        assert_eq!((dates.len(), dates.last().map(String::as_str)), (13, Some("2028-04-25")));
        assert_eq!(weekly.occurrences[0].window.as_ref().unwrap_err().reason, RefusalReason::Past);
        let from = |at: usize| weekly.occurrences[at].window.as_ref().unwrap().from.to_rfc3339();
        assert_eq!(from(7), "2028-03-21T08:00:00Z");
        assert_eq!(from(8), "2028-03-28T07:00:00Z", "the same time on the wall");
        assert_eq!(weekly.through, date(2028, 5, 1));
        assert_eq!(weekly.look_at, Some(time("2028-02-01T23:00:00Z")));

        let biweekly =
            rule(Frequency::Biweekly, date(2028, 2, 15)).dates(date(2028, 2, 16), date(2028, 3, 31));
        assert_eq!(biweekly, [date(2028, 2, 29), date(2028, 3, 14), date(2028, 3, 28)]);
        let daily = rule(Frequency::Daily, date(2028, 1, 1)).extend(&berlin, None, now);
        assert_eq!(daily.occurrences.len(), 91);
        let sundays = daily.occurrences.iter().filter(|one| one.window.is_err()).count();
        assert_eq!(sundays, 13 + 1, "Sundays, and the window of today that is over");
    }

    #[test]
    fn a_rule_ends() {
        let berlin = clinic("Europe/Berlin");
        let mut rule = rule(Frequency::Daily, date(2026, 6, 10));
        rule.ends_on = Some(date(2026, 6, 12));
        let first = rule.extend(&berlin, None, time("2026-06-01T00:00:00Z"));
        assert_eq!((first.occurrences.len(), first.look_at), (3, None));
        rule.ends_on = Some(date(2026, 6, 1));
        assert!(rule.extend(&berlin, None, time("2026-06-01T00:00:00Z")).occurrences.is_empty());
    }

    proptest! {
        /// However often and however late the generator runs, each date of the rule comes once, and none that was past by then.
        #[test]
        fn the_generator_makes_each_date_once(
            zone in prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC",
                "America/Sao_Paulo", "Pacific/Apia"]),
            frequency in prop::sample::select(Frequency::ALL.to_vec()),
            start in 0_i32..1500,
            begin in 0_i64..1500,
            pauses in prop::collection::vec(0_u64..2_000, 1..25),
        ) {
            let clinic = clinic(zone);
            let base = date(2011, 11, 1);
            let rule = rule(frequency, plus_days(base, start));
            let mut now = clinic.zone.start_of(plus_days(base, begin as i32));
            let (mut through, mut made) = (None, Vec::new());
            let mut days_seen = BTreeSet::new();
            for pause in pauses {
                let extension = rule.extend(&clinic, through, now);
                let today = clinic.zone.date_at(now);
                prop_assert!(extension.occurrences.iter().all(|one| one.date >= today));
                prop_assert!(extension.through >= plus_days(today, HORIZON_DAYS));
                through = Some(extension.through);
                made.extend(extension.occurrences.into_iter().map(|one| one.date));
                prop_assert!(rule.extend(&clinic, through, now).occurrences.is_empty(), "twice at once");
                days_seen.insert(today);
                now = now.plus(Duration::from_hours(pause));
            }
            prop_assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
            // Every date of the rule that some run had in its horizon is there.
            let step = frequency.days();
            let mut expected = BTreeSet::new();
            for today in days_seen {
                for days in 0..=HORIZON_DAYS {
                    let date = plus_days(today, days);
                    if date >= rule.starts_on && days_between(rule.starts_on, date) % step == 0 {
                        expected.insert(date);
                    }
                }
            }
            prop_assert_eq!(made.into_iter().collect::<BTreeSet<_>>(), expected);
        }
    }
}
