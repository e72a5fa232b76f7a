//! The scheme `open-dental`: API events of Open Dental, from version 22.1.
//!
//! - Open Dental signs nothing: it sends the customer key, plain, in `Authorization`. The key must be one of the source's
//!   secrets; use `allow_ips` beside it. It is never kept. A bridge before Open Dental may instead sign the raw body with
//!   `X-Open-Dental-Signature`, as [`super::bridge`] tells.
//! - Event: `open-dental.<table>.changed`, such as `open-dental.appointment.changed`, or `open-dental.appointment.deleted`, by
//!   the header `Event-Type`; an array of up to 1,000 rows in one call. A bridge's calls are named by their bodies.
//! - Repeats: a batch that failed comes again whole: by table, rows and their `DateTStamp`, if every row has one.
//! - Answer: 200; the deadline is not documented, and what failed comes with the next poll.
//!
//! Source: <https://www.opendental.com/site/apievents.html>, read in 2026. No examples are published that could be a vector.

use http::header::{AUTHORIZATION, HeaderName};
use serde_json::Value;

use super::bridge::Bridge;
use super::digest::key_of;
use super::naming::{event_type, json, snake, text};
use super::reading::{Reading, Receipt};
use super::token::Token;
use super::{Call, InvalidScheme, Parts, Refusal, Scheme, Verified, header_text};

const EVENT_TYPE: HeaderName = HeaderName::from_static("event-type");

pub(super) struct OpenDental {
    key: Token,
    bridge: Bridge,
}

impl OpenDental {
    pub(super) fn new(parts: &Parts<'_>) -> Result<Self, InvalidScheme> {
        let key = Token::new(AUTHORIZATION, parts.secrets)?;
        Ok(Self { key, bridge: Bridge::new(parts, "x-open-dental-signature")? })
    }
}

impl Scheme for OpenDental {
    fn verify(&self, call: &Call<'_>) -> Result<Verified, Refusal> {
        if !call.headers.contains_key(AUTHORIZATION) {
            return self.bridge.verify(call);
        }
        self.key.verify(call)?;
        Ok(Verified { dedupe_key: key(call), claimed_at: None })
    }

    fn credential_header(&self) -> Option<&HeaderName> {
        self.key.credential_header()
    }

    fn read(&self, call: &Call<'_>) -> Reading {
        let Some(table) = header_text(call.headers, &EVENT_TYPE) else { return self.bridge.read(call) };
        let table = snake(table);
        let (table, what) =
            table.strip_suffix("_deleted").map_or((&*table, "changed"), |table| (table, "deleted"));
        Reading::event(event_type("open-dental", &[table, what]), None, None)
    }

    fn receipt(&self) -> Receipt {
        Receipt::Ok
    }
}

fn key(call: &Call<'_>) -> Option<String> {
    let body = json(call.body);
    let rows = body.as_array().filter(|rows| !rows.is_empty())?;
    let is_stamped = |row: &Value| text(row, "/DateTStamp").is_some();
    let table = header_text(call.headers, &EVENT_TYPE).unwrap_or("");
    rows.iter().all(is_stamped).then(|| key_of(&[table.as_bytes(), call.body]))
}

#[cfg(test)]
mod tests {
    use trunkline_config::Provider;

    use super::*;
    use crate::schemes::testing::{Sent, hmac_hex, scheme};

    const ROWS: &str = r#"[{"AptNum":77,"PatNum":12,"DateTStamp":"2026-01-04 17:20:11"}]"#;

    fn sent(key: &str, event_type: &str, body: &str) -> Sent {
        Sent::post(&[("authorization", key), ("event-type", event_type), ("workstation", "SERVER")], body)
    }

    #[test]
    fn the_customer_key_is_checked() {
        let dental = scheme(Provider::OpenDental, &["old-key", "new-key"]);
        let key = key_of(&[b"Appointment", ROWS.as_bytes()]);
        sent("new-key", "Appointment", ROWS).check_event(
            &*dental,
            "open-dental.appointment.changed",
            Some(&key),
        );
        sent("old-key", "AppointmentDeleted", "[{}]").check_event(
            &*dental,
            "open-dental.appointment.deleted",
            None,
        );
        sent("old-key", "PatField", "[]").check_event(&*dental, "open-dental.pat_field.changed", None);
        sent("guess", "Appointment", ROWS).check(&*dental, Err(Refusal::TokenMismatch));
        assert_eq!(dental.credential_header(), Some(&AUTHORIZATION));
    }

    #[test]
    fn a_bridge_may_sign_instead() {
        let dental = scheme(Provider::OpenDental, &["k"]);
        let body = r#"{"type":"patient.updated","event_id":"e-1","data":{}}"#;
        let signature = hmac_hex(b"k", body.as_bytes());
        let signed = Sent::post(&[("x-open-dental-signature", &signature)], body);
        signed.check_event(&*dental, "open-dental.patient.updated", Some("e-1"));
        let both = Sent::post(&[("x-open-dental-signature", &signature), ("authorization", "guess")], body);
        both.check(&*dental, Err(Refusal::TokenMismatch));
    }
}
