//! What is carried: how many pieces, how heavy, how large, how to handle them.
//!
//! Packages of a consolidated delivery are added up. Of the edges the largest are kept, since that is what has to fit
//! through the door, and the volume is the sum, since that is what has to fit into the car. Adding is commutative and
//! associative, whatever the numbers: sums stop at the end of what can be represented.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use trunkline_model::FieldError;

/// The most pieces of one package.
pub const MAX_COUNT: u32 = 10_000;
/// The heaviest package in grams.
pub const MAX_WEIGHT_G: u64 = 10_000_000;
/// The longest edge in millimetres.
pub const MAX_EDGE_MM: u32 = 10_000;
/// The most handling words of one package.
pub const MAX_HANDLING: usize = 8;
/// The longest handling word in bytes.
pub const MAX_WORD_LEN: usize = 32;

/// The edges of one piece, in millimetres.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dimensions {
    /// The longest edge.
    pub length: u32,
    /// The second.
    pub width: u32,
    /// The third.
    pub height: u32,
}

impl Dimensions {
    /// The edges by length, so that two boxes are compared as they can be turned.
    fn sorted(self) -> [u32; 3] {
        let mut edges = [self.length, self.width, self.height];
        edges.sort_unstable_by(|a, b| b.cmp(a));
        edges
    }

    /// The smallest box that either fits into.
    fn around(self, other: Self) -> Self {
        let (one, two) = (self.sorted(), other.sorted());
        Self { length: one[0].max(two[0]), width: one[1].max(two[1]), height: one[2].max(two[2]) }
    }

    fn volume_mm3(self) -> u64 {
        u64::from(self.length).saturating_mul(u64::from(self.width)).saturating_mul(u64::from(self.height))
    }
}

/// What is carried.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Package {
    /// How many pieces.
    pub count: u32,
    /// How heavy all of them are, in grams.
    pub weight_g: u64,
    /// The edges of the largest piece.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dimensions_mm: Option<Dimensions>,
    /// The volume of all pieces whose edges are known.
    #[serde(default)]
    pub volume_mm3: u64,
    /// How to handle them, for example `fragile`.
    #[serde(default)]
    pub handling: BTreeSet<String>,
}

impl Package {
    /// A package of `count` pieces of one size.
    pub fn new(
        count: u32,
        weight_g: u64,
        dimensions_mm: Option<Dimensions>,
        handling: BTreeSet<String>,
    ) -> Self {
        let dimensions_mm = dimensions_mm.map(|edges| edges.around(edges));
        let volume_mm3 = dimensions_mm.map_or(0, |edges| edges.volume_mm3().saturating_mul(u64::from(count)));
        Self { count, weight_g, dimensions_mm, volume_mm3, handling }
    }

    /// A package of one piece of which nothing is known.
    pub fn unknown() -> Self {
        Self { count: 1, ..Self::default() }
    }

    /// Notes every field that is out of bounds; `pointer` is where the package stands.
    pub fn check(&self, pointer: &str, faults: &mut Vec<FieldError>) {
        let mut fault = |name: &str, code: &str, detail: String| {
            faults.push(FieldError::new(format!("{pointer}/{name}"), code, detail));
        };
        if !(1..=MAX_COUNT).contains(&self.count) {
            fault("count", "out_of_range", format!("must be 1 to {MAX_COUNT}"));
        }
        if self.weight_g > MAX_WEIGHT_G {
            fault("weight_g", "out_of_range", format!("must be 0 to {MAX_WEIGHT_G}"));
        }
        if let Some(edges) = self.dimensions_mm {
            for (name, edge) in [("length", edges.length), ("width", edges.width), ("height", edges.height)] {
                if !(1..=MAX_EDGE_MM).contains(&edge) {
                    let detail = format!("must be 1 to {MAX_EDGE_MM}");
                    fault(&format!("dimensions_mm/{name}"), "out_of_range", detail);
                }
            }
        }
        if self.handling.len() > MAX_HANDLING {
            fault("handling", "too_many", format!("at most {MAX_HANDLING} words"));
        }
        if self.handling.iter().any(|word| !is_handling(word)) {
            let detail = format!("must be words of a-z, 0-9, - and _ of at most {MAX_WORD_LEN} characters");
            fault("handling", "invalid", detail);
        }
    }

    /// The two together.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        self.count = self.count.saturating_add(other.count);
        self.weight_g = self.weight_g.saturating_add(other.weight_g);
        self.volume_mm3 = self.volume_mm3.saturating_add(other.volume_mm3);
        self.dimensions_mm = match (self.dimensions_mm, other.dimensions_mm) {
            (Some(one), Some(two)) => Some(one.around(two)),
            (one, two) => one.or(two),
        };
        self.handling.extend(other.handling.iter().cloned());
        self
    }
}

/// Whether a text is a word for handling.
pub fn is_handling(word: &str) -> bool {
    (1..=MAX_WORD_LEN).contains(&word.len())
        && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn packages_are_added_up() {
        let tall = Dimensions { length: 100, width: 50, height: 300 };
        let flat = Dimensions { length: 400, width: 300, height: 20 };
        let sum = Package::new(2, 500, Some(tall), words(&["fragile"]))
            .plus(&Package::new(1, 250, Some(flat), words(&["keep-cool", "fragile"])))
            .plus(&Package::unknown());
        assert_eq!((sum.count, sum.weight_g), (4, 750));
        assert_eq!(sum.dimensions_mm, Some(Dimensions { length: 400, width: 300, height: 50 }));
        assert_eq!(sum.volume_mm3, 2 * 1_500_000 + 2_400_000);
        assert_eq!(sum.handling, words(&["fragile", "keep-cool"]));
        let text = serde_json::to_string(&sum).unwrap();
        assert_eq!(serde_json::from_str::<Package>(&text).unwrap(), sum);
    }

    #[test]
    fn every_fault_is_named() {
        let edges = Dimensions { length: 0, width: 5, height: 20_000 };
        let package = Package {
            count: 0,
            weight_g: MAX_WEIGHT_G + 1,
            dimensions_mm: Some(edges),
            volume_mm3: 0,
            handling: words(&["Fragile!"]),
        };
        let mut faults = Vec::new();
        package.check("/package", &mut faults);
        let pointers: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(
            pointers,
            [
                "/package/count",
                "/package/weight_g",
                "/package/dimensions_mm/length",
                "/package/dimensions_mm/height",
                "/package/handling"
            ]
        );
        Package::unknown().check("", &mut faults);
        assert_eq!(faults.len(), 5);
    }
}
