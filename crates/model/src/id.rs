//! Typed ids: a prefix that names the kind, then a UUIDv7 as 32 hexadecimal digits.
//!
//! UUIDv7 grows with time, so new rows land at the right edge of an index. Ids made in one process are strictly
//! increasing. An [`EventId`] may also be a foreign text, because CloudEvents producers choose their own ids.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Makes the 32 hexadecimal digits of a new UUIDv7.
fn fresh(prefix: &str) -> String {
    let mut text = String::with_capacity(prefix.len() + 32);
    text.push_str(prefix);
    let mut digits = [0_u8; uuid::fmt::Simple::LENGTH];
    text.push_str(uuid::Uuid::now_v7().simple().encode_lower(&mut digits));
    text
}

macro_rules! typed_ids {
    ($($(#[$doc:meta])* $name:ident $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// What every id of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// Makes a new id.
            pub fn fresh() -> Self {
                Self(fresh($prefix))
            }

            /// Takes an id as it was stored or received; an unknown one is simply not found later.
            pub fn from_text(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The id as owned text.
            pub fn into_string(self) -> String {
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
    /// One call of the API, for logs and problem answers.
    RequestId "req_";
}

impl EventId {
    /// The id of the inbound request that was stored as one record with this event.
    ///
    /// `None` for ids that the hub did not make.
    pub fn to_inbound(&self) -> Option<InboundId> {
        self.0.strip_prefix(Self::PREFIX).map(|digits| InboundId(format!("{}{digits}", InboundId::PREFIX)))
    }
}

impl InboundId {
    /// The id of the event that was stored as one record with this request.
    pub fn to_event(&self) -> Option<EventId> {
        self.0.strip_prefix(Self::PREFIX).map(|digits| EventId(format!("{}{digits}", EventId::PREFIX)))
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
