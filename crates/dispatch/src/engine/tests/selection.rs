//! Channels, filters, transformations and what is sent along, through the whole engine.

use trunkline_store::tables::delivery::DeliveryState;
use trunkline_testkit::for_each_store;

use super::rig::{Rig, fast, patient};
use crate::endpoint::EndpointSettings;

fn filter(text: &str) -> EndpointSettings {
    EndpointSettings { filter: Some(text.to_owned()), ..fast() }
}

#[test]
fn a_filter_keeps_events_away_and_a_broken_one_shows() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        rig.endpoint("/wanted", &["**"], filter(".data.subject == \"thing-1\"")).await;
        let broken = rig.endpoint("/broken", &["**"], filter(".data.subject.name")).await;
        let channels = EndpointSettings { channels: vec!["lab".to_owned()], ..fast() };
        rig.endpoint("/lab", &["**"], channels).await;
        let engine = rig.start(patient());
        let ids = rig.emit("order.paid", 3).await;
        let rows = rig.settled(4).await;
        let seen: Vec<_> = rig.net.seen().into_iter().map(|seen| (seen.path, seen.id)).collect();
        assert_eq!(seen, [("/wanted".to_owned(), ids[1].clone())]);
        for row in rows.iter().filter(|row| row.endpoint_id == broken) {
            assert_eq!((row.state, row.n_attempts), (DeliveryState::Cancelled, 0));
            assert!(
                row.reason.as_deref().unwrap_or_default().starts_with("filter failed: "),
                "{:?}",
                row.reason
            );
        }
        engine.stop().await;
        assert_eq!(rig.n_recorded().await, 3);
    });
}

#[test]
fn a_transformation_makes_the_body_or_ends_the_delivery() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let transform = |text: &str| EndpointSettings { transform: Some(text.to_owned()), ..fast() };
        rig.endpoint("/made", &["**"], transform("{text: (.type + \" \" + .data.subject)}")).await;
        let broken = rig.endpoint("/broken", &["**"], transform(".data.subject")).await;
        let engine = rig.start(patient());
        rig.emit("order.paid", 1).await;
        let rows = rig.settled(2).await;
        let bodies: Vec<_> = rig.net.seen().into_iter().map(|seen| seen.body).collect();
        assert_eq!(bodies, [r#"{"text":"order.paid thing-0"}"#]);
        let row = rows.iter().find(|row| row.endpoint_id == broken).unwrap();
        assert_eq!((row.state, row.reason.as_deref()), (DeliveryState::Cancelled, Some("transform failed")));
        let latest = row.latest.as_ref().unwrap();
        assert_eq!((row.n_attempts, latest.error_class.as_deref()), (1, Some("transform_failed")));
        assert_eq!(latest.error.as_deref(), Some("transform failed: the result is not a JSON object"));
        engine.stop().await;
    });
}
