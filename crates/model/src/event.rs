//! The event: one fact, in CloudEvents 1.0 terms, with the extensions the hub relies on.
//!
//! [`Event`] is what producers append; [`EventRecord`] is what readers get back, with its place in the journal.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::event_type::EventType;
use crate::id::EventId;
use crate::tenant::Tenant;
use crate::time::Timestamp;

/// Numbers a shard of the journal, from 0.
pub type Shard = i64;

/// Position inside a shard: 1 for the first event, gapless, in commit order. 0 stands before the first event.
pub type Seq = i64;

/// The content of an event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Data {
    /// No content.
    #[default]
    None,
    /// Valid JSON text.
    Json(Bytes),
    /// Any bytes; `datacontenttype` says which kind.
    Binary(Bytes),
    /// A webhook body `{"type": …, "data": …}` exactly as received; the content is its member `data`.
    ///
    /// The raw request and its event are one record this way.
    Envelope(Bytes),
}

/// The members of a webhook body that the hub reads; everything else is kept but not looked at.
#[derive(Debug, Deserialize)]
pub struct Envelope<'a> {
    /// Becomes the event's type.
    #[serde(rename = "type", borrow)]
    pub event_type: Cow<'a, str>,
    /// When it happened, RFC 3339; read leniently.
    #[serde(borrow, default)]
    pub timestamp: Option<&'a RawValue>,
    /// Becomes the event's content.
    #[serde(borrow)]
    pub data: &'a RawValue,
}

impl Data {
    /// The bytes as stored: the whole body for an envelope, empty for no content.
    pub fn as_stored(&self) -> &[u8] {
        match self {
            Self::None => &[],
            Self::Json(bytes) | Self::Binary(bytes) | Self::Envelope(bytes) => bytes,
        }
    }

    /// The content as JSON text; `None` for binary or absent content.
    pub fn as_json(&self) -> Option<&str> {
        match self {
            Self::Json(bytes) => std::str::from_utf8(bytes).ok(),
            Self::Envelope(bytes) => {
                serde_json::from_slice::<Envelope<'_>>(bytes).ok().map(|envelope| envelope.data.get())
            }
            Self::None | Self::Binary(_) => None,
        }
    }

    /// How many bytes the content takes in the store.
    pub fn len_bytes(&self) -> usize {
        self.as_stored().len()
    }
}

/// The value of an extension attribute. CloudEvents' other attribute types travel as strings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ExtensionValue {
    /// `true` or `false`.
    Boolean(bool),
    /// A 32-bit signed integer.
    Integer(i32),
    /// Any text without control characters.
    String(String),
}

/// One fact: CloudEvents 1.0 attributes, the hub's extensions, and content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Unique together with `source` inside a tenant.
    pub id: EventId,
    /// Where the event comes from, a URI reference.
    pub source: Arc<str>,
    /// What kind of fact this is.
    pub event_type: EventType,
    /// What the fact is about, inside the source.
    pub subject: Option<String>,
    /// When it happened, by the producer's clock.
    pub time: Timestamp,
    /// Media type of the content; absent means JSON.
    pub datacontenttype: Option<String>,
    /// URI of the schema the content follows.
    pub dataschema: Option<String>,
    /// The content.
    pub data: Data,
    /// Who owns the event.
    pub tenant: Tenant,
    /// The journey this event belongs to: the id of the journey's first event unless a producer chose another.
    pub correlationid: Arc<str>,
    /// The id of the event or request that directly caused this one.
    pub causationid: Option<String>,
    /// Events with the same key keep their order; absent means `subject`, else `source`.
    pub partitionkey: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// Every other extension attribute.
    pub extensions: BTreeMap<String, ExtensionValue>,
}

impl Event {
    /// Makes an event with a fresh id that starts a journey of its own.
    pub fn new(tenant: Tenant, source: impl Into<Arc<str>>, event_type: EventType, time: Timestamp) -> Self {
        let id = EventId::fresh();
        Self {
            correlationid: id.clone().into_shared(),
            id,
            source: source.into(),
            event_type,
            subject: None,
            time,
            datacontenttype: None,
            dataschema: None,
            data: Data::None,
            tenant,
            causationid: None,
            partitionkey: None,
            traceparent: None,
            extensions: BTreeMap::new(),
        }
    }

    /// The key whose events keep their order.
    pub fn partition_key(&self) -> &str {
        self.partitionkey.as_deref().or(self.subject.as_deref()).unwrap_or(&self.source)
    }

    /// The shard of the event in a journal of `n_shards`, by its partition key.
    pub fn shard(&self, n_shards: Shard) -> Shard {
        shard_of(self.partition_key(), n_shards)
    }

    /// Makes this event a follow-up of `cause`: same tenant, journey and trace.
    #[must_use]
    pub fn caused_by(mut self, cause: &Self) -> Self {
        self.tenant = cause.tenant.clone();
        self.correlationid = Arc::clone(&cause.correlationid);
        self.causationid = Some(cause.id.as_str().to_owned());
        self.traceparent.clone_from(&cause.traceparent);
        self
    }
}

/// The shard of a key among `n_shards`: FNV-1a, stable for ever.
pub fn shard_of(key: &str, n_shards: Shard) -> Shard {
    if n_shards <= 1 {
        return 0;
    }
    let hash = key
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    // FNV's low bits are weak on short keys; fold the high half in.
    ((hash ^ (hash >> 32)) % n_shards.unsigned_abs()) as Shard
}

/// An event with its place in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRecord {
    /// Which shard holds it.
    pub shard: Shard,
    /// Its position there.
    pub seq: Seq,
    /// When the hub stored it.
    pub recorded_at: Timestamp,
    /// The event itself.
    pub event: Event,
    /// Request line and headers of the webhook call stored as one record with the event, if that is how it came.
    pub request_head: Option<String>,
}
