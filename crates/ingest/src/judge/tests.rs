//! What becomes of bodies, sound and unsound.

use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn origin() -> Origin {
    Origin::new(Tenant::default(), "clinic-portal", None).unwrap()
}

fn judge_as(content_type: Option<&str>, body: impl Into<Vec<u8>>) -> Judgement {
    let mut headers = HeaderMap::new();
    if let Some(content_type) = content_type {
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
    }
    let body = Bytes::from(body.into());
    judge(&origin(), &Arrival { id: &InboundId::fresh(), headers: &headers, body: &body, now: NOW })
}

fn event(content_type: Option<&str>, body: impl Into<Vec<u8>>) -> Event {
    match judge_as(content_type, body) {
        Judgement::Event(event) => event,
        Judgement::Quarantine { reason } => panic!("in quarantine: {reason}"),
    }
}

fn quarantine(content_type: Option<&str>, body: impl Into<Vec<u8>>) -> String {
    match judge_as(content_type, body) {
        Judgement::Event(event) => panic!("an event: {event:?}"),
        Judgement::Quarantine { reason } => reason,
    }
}

#[test]
fn an_envelope_is_its_own_event() {
    let body =
        br#" {"type":"appointment.created","timestamp":"2026-01-31T13:00:00+01:00","data":{"n":1},"x":0}"#;
    for content_type in [
        None,
        Some("application/json"),
        Some("application/json; charset=utf-8"),
        Some("application/vnd.a+json"),
    ] {
        let event = event(content_type, body.to_vec());
        assert_eq!(event.event_type.as_str(), "appointment.created");
        assert_eq!(event.time.to_rfc3339(), "2026-01-31T12:00:00Z");
        assert_eq!(event.data, Data::Envelope(Bytes::from_static(body)));
        assert_eq!(event.data.as_json(), Some(r#"{"n":1}"#));
        assert_eq!(&*event.source, "/in/clinic-portal");
        assert_eq!(event.datacontenttype.as_deref(), Some("application/json"));
        assert_eq!(&*event.correlationid, event.id.as_str());
        assert_eq!(event.causationid, None);
    }
    for careless in ["application/x-www-form-urlencoded", "text/plain;charset=UTF-8"] {
        assert_eq!(event(Some(careless), &body[1..]).event_type.as_str(), "appointment.created");
    }
}

#[test]
fn request_and_event_share_digits() {
    let (id, body) = (InboundId::fresh(), Bytes::from_static(b"1"));
    let arrival = Arrival { id: &id, headers: &HeaderMap::new(), body: &body, now: NOW };
    let Judgement::Event(event) = judge(&origin(), &arrival) else { panic!("in quarantine") };
    assert_eq!(event.id.to_inbound(), Some(id));
}

#[test]
fn a_time_that_is_none_is_the_arrival() {
    for timestamp in ["null", "17", "\"yesterday\"", "\"2026-01-31\"", "{}"] {
        let body = format!(r#"{{"type":"a.b","timestamp":{timestamp},"data":null}}"#);
        assert_eq!(event(None, body).time, NOW, "{timestamp}");
    }
}

#[test]
fn other_json_is_received() {
    for body in [
        r#"{"type":"a b","data":1}"#,
        r#"{"type":"a.b"}"#,
        r#"{"type":7,"data":1}"#,
        r#"{"type":"a","type":"b","data":1}"#,
        r#"{"data":1}"#,
        "[1,2]",
        "7",
        r#""text""#,
    ] {
        let event = event(Some("application/json"), body);
        assert_eq!(event.event_type.as_str(), "clinic-portal.received", "{body}");
        assert_eq!(event.data.as_json(), Some(body));
        assert_eq!(event.time, NOW);
    }
}

#[test]
fn other_content_is_kept_as_it_is() {
    let xml = event(Some("application/xml"), "<order/>");
    assert_eq!(xml.event_type.as_str(), "clinic-portal.received");
    assert_eq!(xml.data, Data::Binary(Bytes::from_static(b"<order/>")));
    assert_eq!(xml.datacontenttype.as_deref(), Some("application/xml"));
    let form = event(Some("application/x-www-form-urlencoded"), "a=1&b=2");
    assert_eq!(form.data, Data::Binary(Bytes::from_static(b"a=1&b=2")));
    assert!(matches!(event(Some("text/plain"), "{not json").data, Data::Binary(_)));
    assert!(matches!(event(Some("application/octet-stream"), vec![0, 255]).data, Data::Binary(_)));
    assert_eq!(event(None, "").data, Data::None);
}

#[test]
fn broken_json_goes_to_quarantine_with_its_place() {
    assert_eq!(quarantine(None, "{\"a\":\n  oops}"), "body is not JSON: line 2, column 3");
    assert_eq!(quarantine(Some("application/json"), ""), "body is not JSON: line 1, column 0");
    assert_eq!(quarantine(None, b"{\"a\":\"\xff\"}".to_vec()), "body is not JSON: not UTF-8 after 6 bytes");
    assert_eq!(quarantine(None, b"{}\0".to_vec()), "body is not JSON: line 1, column 3");
    assert!(quarantine(None, r#"{"type":"a.b","data":{}"#).starts_with("body is not JSON"));
}

#[test]
fn nesting_is_bounded_outside_strings() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(matches!(event(None, nested(MAX_DEPTH)).data, Data::Json(_)));
    assert!(quarantine(None, nested(MAX_DEPTH + 1)).contains("120 levels"));
    let enveloped = format!(r#"{{"type":"a.b","data":{}}}"#, nested(MAX_DEPTH));
    assert!(quarantine(None, enveloped).contains("120 levels"));
    assert!(quarantine(None, "[".repeat(1_000_000)).contains("120 levels"));
    let wide = format!("[{}[]]", "[],".repeat(1000));
    assert!(matches!(event(None, wide).data, Data::Json(_)));
    let text = format!(r#"["\"{}\\"]"#, "[".repeat(1000));
    assert!(matches!(event(None, text).data, Data::Json(_)));
}

#[test]
fn structured_cloud_events_keep_their_attributes() {
    let body = r#"{"specversion":"1.0","id":"o-1","source":"/shop","type":"order.paid","data":{"n":1}}"#;
    let accepted = event(Some("application/cloudevents+json; charset=utf-8"), body);
    assert_eq!(
        (accepted.id.as_str(), &*accepted.source, accepted.event_type.as_str()),
        ("o-1", "/shop", "order.paid")
    );
    assert_eq!(accepted.tenant, Tenant::default());
    let foreign = body.replace("{\"spec", "{\"tenant\":\"other\",\"spec");
    let reason = quarantine(Some("application/cloudevents+json"), foreign);
    assert!(reason.starts_with("not a CloudEvent: /tenant"), "{reason}");
    let reason = quarantine(Some("application/cloudevents+json"), r#"{"specversion":"1.0"}"#);
    assert!(reason.contains("/id") && reason.contains("/type"), "{reason}");
}

#[test]
fn only_sound_trace_contexts_are_taken() {
    let check = |value: &str, sound: bool| {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", value.parse().unwrap());
        assert_eq!(traceparent(&headers).as_deref(), sound.then_some(value), "{value}");
    };
    check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true);
    check("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false);
    check("00-00000000000000000000000000000000-b7ad6b7169203331-01", false);
    check("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false);
    check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", false);
    check("nonsense", false);
}

proptest! {
    #[test]
    fn any_body_is_judged(
        content_type in proptest::option::of(prop_oneof![
            Just("application/json"), Just("application/cloudevents+json"), Just("text/plain"), Just("x")
        ]),
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            "[\\[\\]{}\":,a0\\\\ ]{0,80}".prop_map(String::into_bytes),
        ],
    ) {
        if let Judgement::Event(event) = judge_as(content_type, body)
            && let Data::Json(_) | Data::Envelope(_) = event.data
        {
            let json = event.data.as_json().unwrap();
            prop_assert!(serde_json::from_str::<serde_json::Value>(json).is_ok());
        }
    }
}
