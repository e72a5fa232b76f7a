//! Channels, filters, transformations and what is sent along, through the whole engine.

use trunkline_model::Tenant;
use trunkline_store::NewEvent;
use trunkline_store::tables::delivery::{DeliveryState, UNJUDGED};
use trunkline_testkit::for_each_store;

use super::rig::{Rig, fast, patient};
use crate::endpoint::EndpointSettings;
use crate::engine::sender::FILTERED;

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

/// A filter that takes as long as one may, and then wants nothing of the things whose name ends in 0.
const SLOW: &str = "([range(4000)] | length) > 0 and (.data.subject | endswith(\"0\") | not)";

#[test]
fn slow_filters_of_one_tenant_delay_nobody_else() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        for n in 0..20 {
            let ordered = n % 2 == 0;
            let settings = EndpointSettings { ordered, ..filter("[range(1000000)] | length > 0") };
            rig.endpoint(&format!("/slow-{n}"), &["**"], settings).await;
        }
        let other = Tenant::parse("other").unwrap();
        rig.endpoint_of(other.clone(), "/quick", &["**"], filter(".data.subject != null")).await;
        // Minutes of work, were it done before the other tenant's event.
        let now = rig.journal.now();
        let event = |tenant: &Tenant, n: usize| {
            let mut event = trunkline_testkit::event::event("order.paid", &format!("thing-{n}"));
            event.tenant = tenant.clone();
            NewEvent::new(event, now)
        };
        let slow = super::rig::tenant();
        let mut events: Vec<NewEvent> = (0..100).map(|n| event(&slow, n)).collect();
        events.push(event(&other, 0));
        rig.journal.append(events).await.unwrap();
        let engine = rig.start(patient());
        rig.until("the other tenant's delivery is made", async || {
            rig.net.seen().iter().any(|seen| seen.path == "/quick")
        })
        .await;
        rig.until("what was not judged is stored", async || {
            let rows = rig.deliveries().await;
            rows.iter().any(|row| row.reason.as_deref() == Some(UNJUDGED))
        })
        .await;
        let is_slow = |path: &str| path.starts_with("/slow");
        assert!(!rig.net.seen().iter().any(|seen| is_slow(&seen.path)), "nothing is sent unjudged");
        engine.stop().await;
    });
}

#[test]
fn what_was_planned_unjudged_is_judged_before_it_is_sent() {
    for_each_store(async |home| {
        let rig = Rig::new(home).await;
        let plain = rig.endpoint("/plain", &["**"], filter(SLOW)).await;
        let settings = EndpointSettings { ordered: true, ..filter(SLOW) };
        rig.endpoint("/ordered", &["**"], settings).await;
        let engine = rig.start(patient());
        engine.shared.allowances.exhaust(&super::rig::tenant());
        rig.emit("order.paid", 2).await;
        let rows = rig.settled(4).await;
        let mut seen: Vec<_> = rig.net.seen().into_iter().map(|seen| seen.path).collect();
        seen.sort();
        assert_eq!(seen, ["/ordered", "/plain"]);
        let refused: Vec<_> = rows.iter().filter(|row| row.state == DeliveryState::Cancelled).collect();
        assert_eq!(refused.len(), 2);
        for row in &refused {
            assert_eq!((row.n_attempts, row.reason.as_deref()), (0, Some(FILTERED)));
        }
        assert!(refused.iter().any(|row| row.endpoint_id == plain));
        engine.stop().await;
    });
}
