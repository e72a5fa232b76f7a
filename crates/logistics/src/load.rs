//! What is delivered together: cases for one clinic and one date are one delivery.
//!
//! A [`Load`] is what a delivery task shows of its cases: the most urgent priority, the packages added up, how many. Loads
//! are merged in any order to the same end, so it does not matter which case is ready first, nor how cases are batched.

use std::collections::BTreeMap;

use jiff::civil::Date;

use crate::package::Package;
use crate::priority::Priority;

/// A case that can be shipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyCase {
    /// The case.
    pub case_id: String,
    /// Where it goes.
    pub clinic_id: String,
    /// When it goes, in the clinic's zone.
    pub deliver_on: Date,
    /// How urgent it is.
    pub priority: Priority,
    /// What is carried.
    pub package: Package,
}

/// What a delivery carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// The most urgent of its cases.
    pub priority: Priority,
    /// All packages.
    pub package: Package,
    /// How many cases.
    pub n_cases: u32,
}

impl Load {
    /// The load of one case.
    pub fn of(case: &ReadyCase) -> Self {
        Self { priority: case.priority, package: case.package.clone(), n_cases: 1 }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        Self {
            priority: self.priority.max(other.priority),
            package: self.package.plus(&other.package),
            n_cases: self.n_cases.saturating_add(other.n_cases),
        }
    }
}

/// Adds up cases by clinic and date. A case that comes twice counts once, as it came last.
pub fn consolidate<'a>(cases: impl IntoIterator<Item = &'a ReadyCase>) -> BTreeMap<(&'a str, Date), Load> {
    let latest: BTreeMap<&str, &ReadyCase> =
        cases.into_iter().map(|case| (case.case_id.as_str(), case)).collect();
    let mut loads: BTreeMap<(&str, Date), Load> = BTreeMap::new();
    for case in latest.into_values() {
        let load = Load::of(case);
        loads
            .entry((&case.clinic_id, case.deliver_on))
            .and_modify(|all| *all = all.clone().plus(&load))
            .or_insert(load);
    }
    loads
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;
    use crate::package::Dimensions;

    prop_compose! {
        fn package()(
            count in any::<u32>(), weight_g in any::<u64>(), edges in prop::option::of(any::<[u32; 3]>()),
            handling in prop::collection::btree_set("[a-z]{1,3}", 0..4),
        ) -> Package {
            let edges = edges.map(|[length, width, height]| Dimensions { length, width, height });
            Package::new(count, weight_g, edges, handling)
        }
    }

    prop_compose! {
        fn case()(
            clinic in 0..3, day in 1_i8..4, priority in prop::sample::select(Priority::ALL.to_vec()), package in package(),
        ) -> ReadyCase {
            ReadyCase {
                case_id: String::new(), clinic_id: format!("clinic-{clinic}"), deliver_on: date(2026, 2, day),
                priority, package,
            }
        }
    }

    fn named(cases: Vec<ReadyCase>) -> Vec<ReadyCase> {
        cases
            .into_iter()
            .enumerate()
            .map(|(n, case)| ReadyCase { case_id: format!("case-{n}"), ..case })
            .collect()
    }

    proptest! {
        #[test]
        fn consolidation_does_not_depend_on_order(
            (cases, shuffled) in prop::collection::vec(case(), 1..20).prop_map(named)
                .prop_flat_map(|cases| (Just(cases.clone()), Just(cases).prop_shuffle())),
        ) {
            let expected = consolidate(&cases);
            prop_assert_eq!(&consolidate(&shuffled), &expected);
            let total: u32 = expected.values().map(|load| load.n_cases).sum();
            prop_assert_eq!(total as usize, cases.len());
        }

        #[test]
        fn it_does_not_matter_how_cases_are_batched(
            cases in prop::collection::vec(case(), 2..20).prop_map(named), at in any::<prop::sample::Index>(),
        ) {
            let (one, two) = cases.split_at(at.index(cases.len()));
            let mut apart = consolidate(one);
            for (place, load) in consolidate(two) {
                apart.entry(place).and_modify(|all| *all = all.clone().plus(&load)).or_insert(load);
            }
            prop_assert_eq!(apart, consolidate(&cases));
        }

        #[test]
        fn a_case_that_comes_twice_counts_once(cases in prop::collection::vec(case(), 1..10).prop_map(named)) {
            let twice: Vec<ReadyCase> = cases.iter().chain(&cases).cloned().collect();
            prop_assert_eq!(consolidate(&twice), consolidate(&cases));
        }
    }
}
