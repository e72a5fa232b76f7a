//! An event on its way to many: read once, its rooms found once, its text written once and shared.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use trunkline_model::cloudevents::to_structured_record;
use trunkline_model::{EventRecord, Room, Seq, Shard, Tenant};

use crate::rules::Rules;

/// Some of an event's rooms, by their position.
pub(crate) type RoomMask = u64;

/// An event as the fan-out holds it.
pub(crate) struct LiveEvent {
    record: EventRecord,
    rooms: OnceLock<Vec<Room>>,
    json: OnceLock<String>,
    /// Texts for a wire and some of the rooms: almost always one.
    texts: Mutex<Vec<(&'static str, RoomMask, Utf8Bytes)>>,
}

impl LiveEvent {
    pub(crate) fn new(record: EventRecord) -> Arc<Self> {
        let (rooms, json) = (OnceLock::new(), OnceLock::new());
        Arc::new(Self { record, rooms, json, texts: Mutex::default() })
    }

    pub(crate) fn tenant(&self) -> &Tenant {
        &self.record.event.tenant
    }

    pub(crate) fn shard(&self) -> Shard {
        self.record.shard
    }

    pub(crate) fn seq(&self) -> Seq {
        self.record.seq
    }

    /// The rooms it goes to.
    pub(crate) fn rooms(&self, rules: &Rules) -> &[Room] {
        self.rooms.get_or_init(|| rules.rooms_of(&self.record.event))
    }

    /// The rooms of a mask, once they are known.
    pub(crate) fn rooms_in(&self, mask: RoomMask) -> impl Iterator<Item = &Room> {
        let rooms = self.rooms.get().map_or(&[][..], Vec::as_slice);
        rooms.iter().enumerate().filter(move |(index, _)| mask & (1 << index) != 0).map(|(_, room)| room)
    }

    /// The CloudEvent, as the API shows it.
    pub(crate) fn json(&self) -> &str {
        self.json.get_or_init(|| String::from_utf8(to_structured_record(&self.record)).unwrap_or_default())
    }

    /// About how many bytes it takes to send or to keep it.
    pub(crate) fn n_bytes(&self) -> usize {
        self.record.event.data.len_bytes() + 512
    }

    /// The text for a wire and some of the rooms, written by the first who asks.
    pub(crate) fn text(
        &self,
        wire: &'static str,
        mask: RoomMask,
        write: impl FnOnce(&Self) -> String,
    ) -> Utf8Bytes {
        let mut texts = self.texts.lock();
        if let Some((.., text)) = texts.iter().find(|(of, rooms, _)| *of == wire && *rooms == mask) {
            return text.clone();
        }
        let text = Utf8Bytes::from(write(self));
        texts.push((wire, mask, text.clone()));
        text
    }
}
