//! How urgent a case or a pickup is.

use serde::{Deserialize, Serialize};

/// How urgent it is; a later one is more urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Priority {
    /// With the next round.
    #[default]
    Standard,
    /// As soon as somebody can go; the dispatcher is told at once.
    Rush,
    /// Now; the dispatcher is told at once.
    Emergency,
}

impl Priority {
    /// Every one, the least urgent first.
    pub const ALL: [Self; 3] = [Self::Standard, Self::Rush, Self::Emergency];
    /// Their names, in the same order.
    pub const NAMES: [&'static str; 3] = ["STANDARD", "RUSH", "EMERGENCY"];

    /// The name.
    pub const fn as_str(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == text)
    }

    /// The stored form, which sorts by urgency.
    pub const fn rank(self) -> i64 {
        self as i64
    }

    /// Reads the stored form; an unknown number is the most urgent, so that nothing is put off by mistake.
    pub fn from_rank(rank: i64) -> Self {
        usize::try_from(rank).ok().and_then(|rank| Self::ALL.get(rank).copied()).unwrap_or(Self::Emergency)
    }

    /// Whether the dispatcher is told at once.
    pub const fn notifies(self) -> bool {
        !matches!(self, Self::Standard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ranks_are_read_back() {
        for priority in Priority::ALL {
            assert_eq!(Priority::parse(priority.as_str()), Some(priority));
            assert_eq!(Priority::from_rank(priority.rank()), priority);
            assert_eq!(serde_json::to_value(priority).unwrap(), priority.as_str());
        }
        assert_eq!(Priority::parse("rush"), None);
        assert!(Priority::Emergency > Priority::Rush && Priority::Rush > Priority::Standard);
        assert!(!Priority::Standard.notifies() && Priority::Rush.notifies());
    }
}
