//! A place in the journal: how far each shard was read.

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;
use trunkline_model::{Seq, Shard};

/// The last event seen in each shard. On the wire an object of shard and seq, without the shards that stand at 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place(Vec<Seq>);

impl Place {
    pub(crate) fn start(n_shards: Shard) -> Self {
        Self(vec![0; usize::try_from(n_shards).unwrap_or(1)])
    }

    pub(crate) fn at(&self, shard: Shard) -> Seq {
        usize::try_from(shard).ok().and_then(|index| self.0.get(index)).copied().unwrap_or(0)
    }

    /// Moves a shard on; never back.
    pub(crate) fn advance(&mut self, shard: Shard, seq: Seq) {
        if let Some(at) = usize::try_from(shard).ok().and_then(|index| self.0.get_mut(index)) {
            *at = (*at).max(seq);
        }
    }

    /// Each shard with its seq.
    pub(crate) fn shards(&self) -> impl Iterator<Item = (Shard, Seq)> {
        self.0.iter().enumerate().map(|(shard, seq)| (shard as Shard, *seq))
    }

    /// Whether every shard stands at least where the other's does.
    pub(crate) fn has_reached(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(own, other)| own >= other)
    }

    /// How many events lie between this and a later place.
    pub(crate) fn distance_to(&self, later: &Self) -> i64 {
        let gaps = self.0.iter().zip(&later.0).map(|(from, to)| to.saturating_sub(*from).max(0));
        gaps.fold(0, i64::saturating_add)
    }

    /// The earlier of both in each shard.
    pub(crate) fn earlier(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| *a.min(b)).collect())
    }

    /// The later of both in each shard.
    pub(crate) fn later(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| *a.max(b)).collect())
    }

    /// Reads what a client sends: an object of shards, or the seq alone where there is one shard.
    pub(crate) fn read(value: &Value, n_shards: Shard) -> Option<Self> {
        let seq = |value: &Value| value.as_i64().filter(|seq| *seq >= 0);
        let mut place = Self::start(n_shards);
        match value {
            Value::Number(_) if n_shards == 1 => place.advance(0, seq(value)?),
            Value::Object(shards) => {
                for (shard, value) in shards {
                    let shard: Shard = shard.parse().ok().filter(|shard| (0..n_shards).contains(shard))?;
                    place.advance(shard, seq(value)?);
                }
            }
            _ => return None,
        }
        Some(place)
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (shard, seq) in self.shards().filter(|(_, seq)| *seq > 0) {
            map.serialize_entry(&shard, &seq)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn places_come_back_as_they_were(seqs in proptest::collection::vec(0..i64::MAX, 1..65)) {
            let place = Place(seqs);
            let sent = serde_json::to_value(&place).unwrap();
            prop_assert_eq!(Place::read(&sent, place.0.len() as Shard), Some(place));
        }
    }

    #[test]
    fn other_values_are_no_places() {
        assert_eq!(Place::read(&json!(7), 1), Some(Place(vec![7])));
        assert_eq!(Place::read(&json!({ "1": 7 }), 2), Some(Place(vec![0, 7])));
        for (value, n_shards) in [
            (json!(7), 2),
            (json!(-1), 1),
            (json!(1.5), 1),
            (json!("7"), 1),
            (json!({ "1": 7 }), 1),
            (json!({ "-1": 7 }), 1),
            (json!({ "x": 7 }), 1),
            (json!({ "0": "7" }), 1),
            (json!({ "0": 99_999_999_999_999_999_999.0 }), 1),
            (json!([7]), 1),
            (json!(null), 1),
        ] {
            assert_eq!(Place::read(&value, n_shards), None, "{value}");
        }
    }

    #[test]
    fn places_are_compared_shard_by_shard() {
        let (a, b) = (Place(vec![1, 9]), Place(vec![4, 7]));
        assert!(!a.has_reached(&b) && !b.has_reached(&a) && a.has_reached(&a));
        assert_eq!((a.earlier(&b), a.later(&b)), (Place(vec![1, 7]), Place(vec![4, 9])));
        assert_eq!(a.distance_to(&b), 3);
        assert_eq!(Place(vec![0]).distance_to(&Place(vec![i64::MAX])), i64::MAX);
    }
}
