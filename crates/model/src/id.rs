//! Typed ids: a prefix that names the kind, then a UUIDv7 as 32 hexadecimal digits.
//!
//! UUIDv7 grows with time, so new rows land at the right edge of an index. Ids made in one process are strictly
//! increasing. Ids are copied from record to record, so a clone shares the text. An [`EventId`] may also be a foreign text, because CloudEvents producers choose their own ids.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest id the hub makes itself.
const MAX_OWN_LEN: usize = 40;

/// Makes the 32 hexadecimal digits of a new UUIDv7.
fn fresh(prefix: &str) -> Arc<str> {
    let mut digits = [0_u8; uuid::fmt::Simple::LENGTH];
    joined(prefix, uuid::Uuid::now_v7().simple().encode_lower(&mut digits))
}

/// Joins prefix and digits with one allocation.
fn joined(prefix: &str, digits: &str) -> Arc<str> {
    let mut text = [0_u8; MAX_OWN_LEN];
    let len = prefix.len() + digits.len();
    let Some(place) = text.get_mut(..len) else { return format!("{prefix}{digits}").into() };
    place[..prefix.len()].copy_from_slice(prefix.as_bytes());
    place[prefix.len()..].copy_from_slice(digits.as_bytes());
    std::str::from_utf8(place).expect("invariant: two texts joined are text").into()
}

macro_rules! typed_ids {
    ($($(#[$doc:meta])* $name:ident $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// What every id of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// Makes a new id.
            pub fn fresh() -> Self {
                Self(fresh($prefix))
            }

            /// Takes an id as it was stored or received; an unknown one is simply not found later.
            pub fn from_text(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The id as owned text.
            pub fn into_string(self) -> String {
                self.0.as_ref().to_owned()
            }

            /// The id as shared text.
            pub fn into_shared(self) -> Arc<str> {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

typed_ids! {
    /// An event: `evt_…`, or whatever id its producer gave it.
    EventId "evt_";
    /// One raw webhook call as received.
    InboundId "inb_";
    /// A configured endpoint.
    EndpointId "ep_";
    /// One event owed to one endpoint.
    DeliveryId "dlv_";
    /// One HTTP try of a delivery.
    AttemptId "att_";
    /// An API token's public handle.
    TokenId "tok_";
    /// The public handle of a token for the receiving side.
    PortalTokenId "ptk_";
    /// A job that sends past events again.
    ReplayId "rpl_";
    /// A consumer that fetches events.
    PollerId "pol_";
    /// One run of a workflow definition.
    WorkflowId "wf_";
    /// A task that waits for people.
    PersonTaskId "tsk_";
    /// A clinic: `cln_…`, or whatever id the directory it comes from gave it.
    ClinicId "cln_";
    /// A driver: `drv_…`, or whatever id their system gave them.
    DriverId "drv_";
    /// A delivery or a pickup.
    LogisticsTaskId "ltk_";
    /// A rule by which pickups come again.
    RecurrenceId "rec_";
    /// A driver's round of one day.
    RouteId "rte_";
    /// An invoice: `ivc_…`, or whatever id the books gave it.
    InvoiceId "ivc_";
    /// One call of the API, for logs and problem answers.
    RequestId "req_";
}

impl EventId {
    /// The id of the inbound request that was stored as one record with this event.
    ///
    /// `None` for ids that the hub did not make.
    pub fn to_inbound(&self) -> Option<InboundId> {
        self.0.strip_prefix(Self::PREFIX).map(|digits| InboundId(joined(InboundId::PREFIX, digits)))
    }
}

impl InboundId {
    /// The id of the event that was stored as one record with this request.
    pub fn to_event(&self) -> Option<EventId> {
        self.0.strip_prefix(Self::PREFIX).map(|digits| EventId(joined(EventId::PREFIX, digits)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_ids_grow() {
        let ids: Vec<EventId> = (0..1000).map(|_| EventId::fresh()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(ids[0].as_str().len(), 4 + 32);
    }

    #[test]
    fn request_and_event_of_one_record_share_digits() {
        let request = InboundId::fresh();
        assert_eq!(request.to_event().and_then(|event| event.to_inbound()), Some(request));
        assert_eq!(EventId::from_text("order-1").to_inbound(), None);
    }
}
