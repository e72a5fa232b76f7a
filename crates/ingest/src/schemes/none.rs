//! The scheme `none`: every call is believed. For senders on the same machine or behind a gateway that verifies.
//!
//! The configuration refuses it where strangers could reach it, unless the operator says so explicitly.

use http::header::HeaderName;

use super::{Call, Refusal, Scheme, Verified, unsigned_id};

/// Believes every call.
#[derive(Debug, Clone, Copy)]
pub struct Unverified;

impl Scheme for Unverified {
    fn verify(&self, call: &Call<'_>) -> Result<Verified, Refusal> {
        Ok(Verified { dedupe_key: unsigned_id(call.headers), claimed_at: None })
    }

    fn credential_header(&self) -> Option<&HeaderName> {
        None
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use trunkline_model::Timestamp;

    use super::*;

    #[test]
    fn believes_and_takes_an_id_if_one_is_sent() {
        let mut headers = HeaderMap::new();
        let call = |headers: &HeaderMap| {
            Unverified
                .verify(&Call::new(headers, b"", Timestamp::default()))
                .map(|verified| verified.dedupe_key)
        };
        assert_eq!(call(&headers), Ok(None));
        headers.insert("idempotency-key", "k-1".parse().unwrap());
        assert_eq!(call(&headers), Ok(Some("k-1".to_owned())));
        headers.insert("webhook-id", "msg_1".parse().unwrap());
        assert_eq!(call(&headers), Ok(Some("msg_1".to_owned())));
        headers.insert("webhook-id", "with space".parse().unwrap());
        assert_eq!(call(&headers), Ok(Some("k-1".to_owned())));
    }
}
