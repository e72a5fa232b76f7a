//! Settings, secrets, checks and the table of endpoints.

use std::time::Duration;

use bytes::Bytes;
use trunkline_model::{FieldError, Secret, Timestamp};
use trunkline_store::Commit;
use trunkline_store::tables::endpoint::{endpoint_delete, endpoint_insert};
use trunkline_testkit::TestStore;

use super::check::{EndpointDraft, check_draft, check_secret, check_settings};
use super::*;
use crate::sign::SignatureVersion;

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
    Endpoint::from_row(row, &DeliveryDefaults::default(), &Outlets::default())
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
        "/timeout_ms",
        "/in_flight",
        "/max_attempts",
        "/backoff_ms/1",
        "/backoff_ms/2",
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
    assert_eq!(pointers(&check_settings(&none)), ["/backoff_ms"]);
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
    assert_eq!(check_secret("/secret", &a, SignatureFormat::Standard), []);
    for text in ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!!!"] {
        assert_eq!(
            pointers(&check_secret("/secret", &Secret::new(text), SignatureFormat::Standard)),
            ["/secret"],
            "{text}"
        );
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
    assert_eq!(secrets.in_force(SignatureVersion::V1), Some(&b));
    let ends: Vec<_> = secrets.as_slice().iter().map(|secret| secret.expires_at).collect();
    assert_eq!(ends, [None, Some(at(86_410))]);
    let keys = secrets.signing_keys(&EndpointSettings::default()).unwrap();
    let live = keys.iter().filter(|key| key.is_live(at(86_410))).count();
    assert_eq!(live, 1);
    let at_once = secrets.rotated(c.clone(), at(20), Duration::ZERO);
    assert_eq!((at_once.as_slice().len(), at_once.in_force(SignatureVersion::V1)), (1, Some(&c)));
}

#[test]
fn both_kinds_of_secrets_live_side_by_side() {
    let at = Timestamp::from_secs;
    let (v1, v1a) = (SignatureVersion::V1, SignatureVersion::V1a);
    let both = EndpointSettings { signing: vec![v1, v1a], ..EndpointSettings::default() };
    let (secrets, made) = EndpointSecrets::default().completed(&both, at(0));
    assert_eq!((secrets.in_force(v1), secrets.as_slice().len()), (made.as_ref(), 2));
    let public = secrets.public_key().unwrap();
    assert!(public.starts_with("whpk_"));
    assert_eq!(secrets.completed(&both, at(1)), (secrets.clone(), None));

    // A new key of one kind leaves the other in force.
    let (secrets, _) = secrets.renewed(v1a, at(10), Duration::from_hours(1));
    assert_eq!(secrets.in_force(v1), made.as_ref());
    assert_ne!(secrets.public_key().unwrap(), public);
    let n_keys = |settings: &EndpointSettings, now| {
        secrets.signing_keys(settings).unwrap().iter().filter(|key| key.is_live(now)).count()
    };
    assert_eq!((n_keys(&both, at(11)), n_keys(&both, at(3610))), (3, 2));
    assert_eq!(n_keys(&EndpointSettings::default(), at(11)), 1);

    let mut many = secrets;
    for n in 0..30 {
        (many, _) = many.renewed(v1, at(20 + n), Duration::from_hours(1));
    }
    assert_eq!(many.as_slice().len(), MAX_REPLACED + 2);
    assert!(many.in_force(v1).is_some() && many.in_force(v1a).is_some());
}

#[test]
fn a_secret_must_fit_the_format() {
    let convoy =
        EndpointSettings { signature_format: SignatureFormat::Convoy, ..EndpointSettings::default() };
    let brought = EndpointSecrets::new(Secret::new("secret-of-theirs"), Timestamp::default());
    assert_eq!(brought.completed(&convoy, Timestamp::default()), (brought.clone(), None));
    assert_eq!(brought.signing_keys(&convoy).unwrap().len(), 1);
    assert!(brought.signing_keys(&EndpointSettings::default()).is_err());
    let (completed, made) = brought.completed(&EndpointSettings::default(), Timestamp::default());
    assert!(made.is_some());
    assert_eq!(completed.signing_keys(&EndpointSettings::default()).unwrap().len(), 1);
}

#[test]
fn types_of_events_can_have_schedules_of_their_own() {
    let settings: EndpointSettings = serde_json::from_str(
        r#"{"max_attempts":3,"backoff_ms":[1000],"rate_limit":0.5,
            "retry_by_type":[{"events":"lab.*","max_attempts":9},{"events":"lab.**","backoff_ms":[7000]}]}"#,
    )
    .unwrap();
    let defaults = DeliveryDefaults { jitter: 0.0, ..DeliveryDefaults::default() };
    let policy = DeliveryPolicy::new(&settings, &defaults);
    assert_eq!(policy.rate_limit, Some(0.5));
    let found = |text: &str| {
        let schedule = policy.retry_for(&EventType::parse(text).unwrap());
        let n_attempts = (1..100).find(|n| schedule.is_exhausted(*n)).unwrap();
        (schedule.delay(1, 0.5, None).as_secs(), n_attempts)
    };
    assert_eq!((found("lab.done"), found("lab.done.late"), found("visit.made")), ((1, 9), (7, 3), (1, 3)));
}

#[test]
fn an_endpoint_with_channels_wants_no_other_events() {
    let event_type = EventType::parse("a.b").unwrap();
    let mut event = Event::new(Tenant::default(), "/t", event_type, Timestamp::default());
    let mut endpoint = parse(&row("ep_1", "t", "https://a.example/", &["**"]));
    assert!(endpoint.takes_channels_of(&event));
    endpoint.channels = vec!["lab".into(), "room:7".into()];
    let mut check = |channels: Option<ExtensionValue>, expect: bool| {
        event.extensions = channels.into_iter().map(|value| ("channels".to_owned(), value)).collect();
        assert_eq!(endpoint.takes_channels_of(&event), expect, "{:?}", event.extensions);
    };
    check(None, false);
    check(Some(ExtensionValue::String("x, room:7".into())), true);
    check(Some(ExtensionValue::String("lab".into())), true);
    check(Some(ExtensionValue::String("Lab,labs,,".into())), false);
    check(Some(ExtensionValue::Integer(7)), false);
}

#[test]
fn every_fault_of_the_newer_settings_is_named() {
    let settings = EndpointSettings {
        rate_limit: Some(0.0),
        retry_by_type: vec![RetryRule {
            events: "a..b".into(),
            max_attempts: Some(21),
            backoff_ms: Some(vec![0]),
        }],
        channels: vec!["ok".into(), "not ok".into()],
        headers: CustomHeaders::new([("host".to_owned(), "x".to_owned())]),
        metadata: [(String::new(), "x".to_owned()), ("a/b".to_owned(), "x".repeat(1001))].into(),
        signature_format: SignatureFormat::Outpost,
        signing: vec![SignatureVersion::V1a],
        ..EndpointSettings::default()
    };
    let expect = [
        "/rate_limit",
        "/retry_by_type/0/events",
        "/retry_by_type/0/max_attempts",
        "/retry_by_type/0/backoff_ms/0",
        "/channels/1",
        "/headers/host",
        "/metadata/",
        "/metadata/a~1b",
        "/signing",
    ];
    assert_eq!(pointers(&check_settings(&settings)), expect);
    assert_eq!(serde_json::from_str::<EndpointSettings>(&settings.to_json()).unwrap(), settings);
    let many = EndpointSettings {
        retry_by_type: vec![settings.retry_by_type[0].clone(); 21],
        channels: vec!["a".into(); 11],
        metadata: (0..51).map(|n| (n.to_string(), String::new())).collect(),
        signing: vec![SignatureVersion::V1; 2],
        rate_limit: Some(f64::NAN),
        ..EndpointSettings::default()
    };
    let expect = ["/rate_limit", "/retry_by_type", "/channels", "/metadata", "/signing"];
    assert_eq!(pointers(&check_settings(&many)), expect);
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
        EndpointDirectory::new(home.store.clone(), DeliveryDefaults::default(), Outlets::default());
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
    let first = Arc::clone(directory.current().get(&rows[2].id).unwrap());
    assert!(!directory.refresh().await.unwrap());

    let delete = endpoint_delete(&tenant, &rows[0].id);
    home.store.commit(Commit::statements(vec![delete])).await.unwrap();
    assert!(directory.refresh().await.unwrap());
    assert_eq!(matching(&tenant), ["ep_3"]);
    assert!(Arc::ptr_eq(&first, directory.current().get(&rows[2].id).unwrap()), "prepared once");
    assert!(directory.current().get(&rows[0].id).is_none() && directory.current().get(&rows[3].id).is_some());
}

#[test]
fn only_endpoints_that_let_an_event_through_are_selected() {
    let endpoint = |id: &str, settings: EndpointSettings| {
        let row = EndpointRow { settings: settings.to_json(), ..row(id, "t", "https://a.example/", &["**"]) };
        Arc::new(parse(&row))
    };
    let filter = |text: &str| EndpointSettings { filter: Some(text.into()), ..EndpointSettings::default() };
    let event_type = EventType::parse("a.b").unwrap();
    let mut event = Event::new(Tenant::default(), "/t", event_type, Timestamp::default());
    event.data = trunkline_model::Data::Json(r#"{"n":7}"#.into());
    let all: Matches = [
        endpoint("ep_1", EndpointSettings::default()),
        endpoint("ep_2", filter(".data.n == 8")),
        endpoint("ep_3", filter(".data.n.x")),
        endpoint("ep_4", EndpointSettings { channels: vec!["lab".into()], ..EndpointSettings::default() }),
        endpoint("ep_5", filter(".type == \"a.b\" and .data.n == 7")),
        endpoint(
            "ep_6",
            EndpointSettings { format: WebhookFormat::CloudEvents, ..filter(".source == \"/t\"") },
        ),
    ]
    .into();
    let body = |format| crate::sign::body(&event, format);
    let judge = |endpoint: &Endpoint, body: Bytes| Judgement::from(endpoint.expressions.wants(&body));
    let selection = select(Arc::clone(&all), &event, body, judge);
    let ids: Vec<_> = selection.endpoints.iter().map(|endpoint| endpoint.id.as_str()).collect();
    assert_eq!(ids, ["ep_1", "ep_3", "ep_5", "ep_6"]);
    assert_eq!(selection.failed.len(), 1);
    let (index, reason) = &selection.failed[0];
    assert!(*index == 1 && reason.starts_with("filter failed: "), "{reason}");

    let selection = select(Arc::clone(&all), &event, body, |_, _| Judgement::Open);
    assert_eq!((selection.endpoints.len(), selection.failed.len()), (5, 0));
    assert_eq!(selection.unjudged, [1, 2, 3, 4], "those that have a filter");

    let plain: Matches = [Arc::clone(&all[0])].into();
    let nobody_asks = |_: &Endpoint, _: Bytes| panic!("no filter");
    let selection = select(Arc::clone(&plain), &event, |_| panic!("no body"), nobody_asks);
    assert!(Arc::ptr_eq(&plain, &selection.endpoints));
}

#[test]
fn each_tenant_has_its_own_networks() {
    let shared = EgressPolicy::default();
    let inside = shared.clone().with_allowed(&["10.0.0.0/8".parse().unwrap()]);
    let egress = PerTenant::new(shared, [(Tenant::from_stored("inside"), inside)]);
    let outlets = Outlets::only(&egress);
    let access = |tenant: &str, oauth2: Option<&str>| {
        let url = if oauth2.is_some() { "https://example.com/" } else { "https://10.1.2.3/hook" };
        let settings = EndpointSettings {
            oauth2: oauth2.map(|url| {
                let text = format!(r#"{{"token_url":"{url}","client_id":"hub","client_secret":"s3cret"}}"#);
                serde_json::from_str(&text).unwrap()
            }),
            ..EndpointSettings::default()
        };
        let row = EndpointRow { settings: settings.to_json(), ..row("ep_1", tenant, url, &["**"]) };
        Endpoint::from_row(&row, &DeliveryDefaults::default(), &outlets).access.map(drop)
    };
    let token_url = Some("https://10.1.2.3/token");
    assert_eq!((access("inside", None), access("inside", token_url)), (Ok(()), Ok(())));
    for oauth2 in [None, token_url] {
        assert!(matches!(access("outside", oauth2), Err(EndpointFault::Refused(UrlRefused::Blocked(_)))));
    }
}
