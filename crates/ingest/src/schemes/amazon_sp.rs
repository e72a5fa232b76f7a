//! The scheme `amazon-sp`: notifications of Amazon's Selling Partner API, passed on by a relay.
//!
//! Amazon sends these to an SQS queue or to EventBridge, never to a URL. What calls here is a relay in the seller's own account:
//! an API destination of EventBridge, or a function that reads the queue. It repeats a shared secret in a header
//! (`Authorization`, or the one named by `header`, which EventBridge calls an API key). Nothing is signed.
//!
//! - Event: `amazon-sp.<notification type>`, such as `amazon-sp.order_change`. EventBridge's frame (`detail-type`, `detail`) is
//!   seen through; the data is the whole body either way.
//! - Repeats: `NotificationId` in the metadata, in either spelling that Amazon uses; else by a digest of the body.
//! - Answer: 202; deadline and retries are the relay's own.
//!
//! Source: amzn/selling-partner-api-models `schemas/notifications/*.json`.

use http::header::HeaderName;
use trunkline_model::Timestamp;

use super::digest::key_of;
use super::naming::{event_type, json, text};
use super::reading::Reading;
use super::token::Token;
use super::{Call, InvalidScheme, Parts, Refusal, Scheme, Verified, body_id};

pub(super) struct AmazonSp(Token);

impl AmazonSp {
    pub(super) fn new(parts: &Parts<'_>) -> Result<Self, InvalidScheme> {
        Token::new(parts.header("authorization")?, parts.secrets).map(Self)
    }
}

impl Scheme for AmazonSp {
    fn verify(&self, call: &Call<'_>) -> Result<Verified, Refusal> {
        self.0.verify(call)?;
        Ok(Verified::default())
    }

    fn credential_header(&self) -> Option<&HeaderName> {
        self.0.credential_header()
    }

    fn read(&self, call: &Call<'_>) -> Reading {
        let body = json(call.body);
        let notification = body.get("detail").filter(|detail| detail.is_object()).unwrap_or(&body);
        let either = |places: [&str; 2]| places.into_iter().find_map(|place| text(notification, place));
        let name = either(["/NotificationType", "/notificationType"]).or_else(|| text(&body, "/detail-type"));
        let time = either(["/EventTime", "/eventTime"]).and_then(|time| Timestamp::parse_rfc3339(time).ok());
        let id = body_id(notification, "/NotificationMetadata/NotificationId")
            .or_else(|| body_id(notification, "/notificationMetadata/notificationId"))
            .unwrap_or_else(|| key_of(&[call.body]));
        Reading::event(event_type("amazon-sp", &[name.unwrap_or("")]), Some(id), time)
    }
}

#[cfg(test)]
mod tests {
    use trunkline_config::Provider;

    use super::*;
    use crate::schemes::testing::{Sent, scheme, with_header};

    #[test]
    fn notifications_are_named_in_every_frame_and_spelling() {
        let amazon = scheme(with_header(Provider::AmazonSp, "x-api-key"), &["relay-key"]);
        let check = |body: &str, name: &str, key: &str| {
            Sent::post(&[("x-api-key", "relay-key")], body).check_event(&*amazon, name, Some(key));
        };
        let order = r#"{"NotificationType":"ORDER_CHANGE","EventTime":"2026-01-05T09:00:00.000Z","NotificationMetadata":{"NotificationId":"n-1"}}"#;
        check(order, "amazon-sp.order_change", "n-1");
        let framed = format!(r#"{{"detail-type":"ORDER_CHANGE","detail":{order}}}"#);
        check(&framed, "amazon-sp.order_change", "n-1");
        let camel = r#"{"notificationType":"FEED_PROCESSING_FINISHED","notificationMetadata":{"notificationId":"n-2"}}"#;
        check(camel, "amazon-sp.feed_processing_finished", "n-2");
        let bare = r#"{"NotificationType":"FBA_INVENTORY_AVAILABILITY_CHANGES"}"#;
        check(bare, "amazon-sp.fba_inventory_availability_changes", &key_of(&[bare.as_bytes()]));
        Sent::post(&[("x-api-key", "guess")], order).check(&*amazon, Err(Refusal::TokenMismatch));
        let time = Sent::post(&[], order).named(&*amazon).time.unwrap();
        assert_eq!(time.to_rfc3339(), "2026-01-05T09:00:00Z");
    }
}
