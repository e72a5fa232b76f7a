//! Settings, secrets, checks and the table of endpoints.

use std::time::Duration;

use trunkline_model::{FieldError, Secret, Timestamp};
use trunkline_store::Commit;
use trunkline_store::tables::endpoint::{endpoint_delete, endpoint_insert};
use trunkline_testkit::TestStore;

use super::check::{EndpointDraft, check_draft, check_secret, check_settings};
use super::*;

fn row(id: &str, tenant: &str, url: &str, events: &[&str]) -> EndpointRow {
    EndpointRow {
        id: EndpointId::from_text(id),
        tenant: Tenant::from_stored(tenant),
        url: url.into(),
        description: String::new(),
        events: serde_json::to_string(events).unwrap(),
        active: true,
        secrets: EndpointSecrets::new(generate_secret(), Timestamp::default()).to_json(),
        settings: EndpointSettings::default().to_json(),
        version: 1,
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
    }
}

fn parse(row: &EndpointRow) -> Endpoint {
    Endpoint::from_row(row, &DeliveryDefaults::default(), &EgressPolicy::default())
}

fn pointers(faults: &[FieldError]) -> Vec<&str> {
    faults.iter().map(|fault| fault.pointer.as_str()).collect()
}

#[test]
fn settings_are_sparse_json() {
    let settings: EndpointSettings =
        serde_json::from_str(r#"{"format":"cloudevents","backoff_ms":[1,2],"in_flight":7}"#).unwrap();
    assert_eq!(settings.format, WebhookFormat::CloudEvents);
    assert_eq!(settings.to_json(), r#"{"format":"cloudevents","backoff_ms":[1,2],"in_flight":7}"#);
    let policy = DeliveryPolicy::new(&settings, &DeliveryDefaults::default());
    assert_eq!((policy.timeout, policy.in_flight), (Duration::from_secs(10), 7));
    assert_eq!(policy.retry.delay(3, 0.5, None), Duration::from_millis(2));
    assert!(serde_json::from_str::<EndpointSettings>(r#"{"timeout":1}"#).is_err());
}

#[test]
fn the_url_can_select_cloudevents() {
    let format = |url: &str| EndpointSettings::default().format_for(url);
    assert_eq!(format("https://a.example/x?b=1&format=cloudevents"), WebhookFormat::CloudEvents);
    assert_eq!(format("https://a.example/x?format=other"), WebhookFormat::Standard);
    assert_eq!(format("https://a.example/format=cloudevents"), WebhookFormat::Standard);
}

#[test]
fn every_fault_is_named() {
    let settings = EndpointSettings {
        timeout_ms: Some(99),
        max_attempts: Some(21),
        backoff_ms: Some(vec![5, 0, 86_400_001]),
        in_flight: Some(0),
        ..EndpointSettings::default()
    };
    let events = ["a.*".to_owned(), "a..b".to_owned()];
    let description = "d".repeat(1001);
    let draft = EndpointDraft {
        url: "http://127.0.0.1/",
        events: &events,
        description: &description,
        settings: &settings,
    };
    let faults = check_draft(&draft, &EgressPolicy::default());
    let expect = [
        "/url",
        "/events/1",
        "/description",
        "/settings/timeout_ms",
        "/settings/max_attempts",
        "/settings/in_flight",
        "/settings/backoff_ms/1",
        "/settings/backoff_ms/2",
    ];
    assert_eq!(pointers(&faults), expect);
    assert_eq!(faults[0].code, "blocked");
}

#[test]
fn limits_include_their_ends() {
    let settings = |timeout, attempts, wait, in_flight| EndpointSettings {
        timeout_ms: Some(timeout),
        max_attempts: Some(attempts),
        backoff_ms: Some(vec![wait]),
        in_flight: Some(in_flight),
        ..EndpointSettings::default()
    };
    assert_eq!(check_settings(&settings(100, 1, 1, 1)), []);
    assert_eq!(check_settings(&settings(60_000, 20, 86_400_000, 1000)), []);
    let none = EndpointSettings { backoff_ms: Some(vec![]), ..EndpointSettings::default() };
    assert_eq!(pointers(&check_settings(&none)), ["/settings/backoff_ms"]);
    assert_eq!(pointers(&check::check_events(&[])), ["/events"]);
    assert_eq!(pointers(&check::check_events(&vec!["a".to_owned(); 101])), ["/events"]);
    assert_eq!(check::check_events(&vec!["a".to_owned(); 100]), []);
    assert_eq!(check::check_url("https://hooks.example/x", &EgressPolicy::default()), []);
    assert_eq!(check::check_url("ftp://hooks.example/x", &EgressPolicy::default())[0].code, "invalid");
}

#[test]
fn secrets_are_fresh_and_checked() {
    let (a, b) = (generate_secret(), generate_secret());
    assert_ne!(a, b);
    assert_eq!(check_secret("/secret", &a), []);
    for text in ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!!!"] {
        assert_eq!(pointers(&check_secret("/secret", &Secret::new(text))), ["/secret"], "{text}");
    }
    let secrets = EndpointSecrets::new(a.clone(), Timestamp::default());
    assert!(!format!("{secrets:?}").contains(a.expose()));
}

#[test]
fn old_secrets_sign_along_for_a_while() {
    let at = Timestamp::from_secs;
    let [a, b, c] = [(); 3].map(|()| generate_secret());
    let day = Duration::from_hours(24);
    let secrets = EndpointSecrets::new(a, at(0)).rotated(b.clone(), at(10), day);
    let secrets = EndpointSecrets::from_json(&secrets.to_json()).unwrap();
    assert_eq!(secrets.newest(), Some(&b));
    let ends: Vec<_> = secrets.as_slice().iter().map(|secret| secret.expires_at).collect();
    assert_eq!(ends, [None, Some(at(86_410))]);
    let live = secrets.signing_keys().unwrap().iter().filter(|key| key.is_live(at(86_410))).count();
    assert_eq!(live, 1);
    let at_once = secrets.rotated(c.clone(), at(20), Duration::ZERO);
    assert_eq!((at_once.as_slice().len(), at_once.newest()), (1, Some(&c)));
}

#[test]
fn a_damaged_endpoint_stays_with_its_fault() {
    let fault = |change: fn(&mut EndpointRow)| {
        let mut row = row("ep_1", "t", "https://a.example/", &["a.*"]);
        change(&mut row);
        let endpoint = parse(&row);
        assert!(endpoint.wants(&EventType::parse("a.b").unwrap()));
        endpoint.access.err()
    };
    assert_eq!(fault(|_| {}), None);
    assert_eq!(fault(|row| row.settings = "{".into()), Some(EndpointFault::Settings));
    assert_eq!(fault(|row| row.secrets = "[]".into()), Some(EndpointFault::Secrets));
    assert_eq!(fault(|row| row.secrets = "x".into()), Some(EndpointFault::Secrets));
    let blocked = fault(|row| row.url = "http://10.0.0.1/".into());
    assert!(matches!(blocked, Some(EndpointFault::Refused(UrlRefused::Blocked(_)))));
}

#[tokio::test]
async fn the_directory_follows_the_store() {
    let home = TestStore::sqlite().await;
    let directory =
        EndpointDirectory::new(home.store.clone(), DeliveryDefaults::default(), EgressPolicy::default());
    let tenant = Tenant::from_stored("t");
    let order_paid = EventType::parse("order.paid").unwrap();
    let matching = |tenant: &Tenant| -> Vec<String> {
        let matches = directory.current().matching(tenant, &order_paid);
        matches.iter().map(|endpoint| endpoint.id.as_str().to_owned()).collect()
    };
    assert!(directory.refresh().await.unwrap());
    assert_eq!(matching(&tenant), [""; 0]);

    let inactive = EndpointRow { active: false, ..row("ep_4", "t", "https://a.example/", &["**"]) };
    let rows = [
        row("ep_1", "t", "https://a.example/", &["order.*"]),
        row("ep_2", "other", "https://a.example/", &["**"]),
        row("ep_3", "t", "https://a.example/", &["visit.*", "**"]),
        inactive,
        row("ep_5", "t", "https://a.example/", &["visit.*"]),
    ];
    let statements = rows.iter().map(endpoint_insert).collect();
    home.store.commit(Commit::statements(statements)).await.unwrap();
    assert!(directory.refresh().await.unwrap());
    assert_eq!(matching(&tenant), ["ep_1", "ep_3"]);
    assert_eq!(matching(&tenant), ["ep_1", "ep_3"]);
    assert_eq!(matching(&Tenant::from_stored("nobody")), [""; 0]);
    assert!(!directory.refresh().await.unwrap());

    let delete = endpoint_delete(&tenant, &rows[0].id);
    home.store.commit(Commit::statements(vec![delete])).await.unwrap();
    assert!(directory.refresh().await.unwrap());
    assert_eq!(matching(&tenant), ["ep_3"]);
    assert!(directory.current().get(&rows[0].id).is_none() && directory.current().get(&rows[3].id).is_some());
}
