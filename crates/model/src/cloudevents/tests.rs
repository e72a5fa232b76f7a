//! The three content modes: round trips, every fault named, nothing panics.

use proptest::prelude::*;

use super::*;

fn parse(json: &str) -> Result<Event, Faults> {
    let tenant = Tenant::default();
    parse_structured(json.as_bytes(), &Defaults { tenant: &tenant, now: Timestamp::from_secs(1_800_000_000) })
}

fn pointers(faults: &Faults) -> Vec<&str> {
    faults.iter().map(|fault| fault.pointer.as_str()).collect()
}

#[test]
fn structured_round_trip() {
    let json = r#"{"specversion":"1.0","id":"a-1","source":"/shop","type":"order.paid","subject":"42",
        "time":"2026-01-31T12:00:00Z","flag":true,"level":7,"data":{"sum":1.50}}"#;
    let event = parse(json).unwrap();
    assert_eq!(&*event.correlationid, "a-1");
    assert_eq!(event.data.as_json(), Some(r#"{"sum":1.50}"#));
    let again = parse(std::str::from_utf8(&to_structured(&event)).unwrap()).unwrap();
    assert_eq!(Event { datacontenttype: None, ..again }, event);
}

#[test]
fn text_and_bytes_survive() {
    let xml = parse(
        r#"{"specversion":"1.0","id":"1","source":"s","type":"t","datacontenttype":"text/xml","data":"<a/>"}"#,
    );
    assert_eq!(xml.as_ref().unwrap().data, Data::Binary(Bytes::from_static(b"<a/>")));
    assert!(String::from_utf8(to_structured(&xml.unwrap())).unwrap().contains(r#""data":"<a/>""#));
    let raw = parse(
        r#"{"specversion":"1.0","id":"1","source":"s","type":"t","datacontenttype":"image/png","data_base64":"/wA="}"#,
    );
    let raw = raw.unwrap();
    assert_eq!(raw.data, Data::Binary(Bytes::from_static(&[0xff, 0])));
    assert!(String::from_utf8(to_structured(&raw)).unwrap().contains(r#""data_base64":"/wA=""#));
}

#[test]
fn every_fault_is_named() {
    let faults = parse(r#"{"specversion":"0.3","id":"","type":"a..b","time":"noon","tenant":"other","BAD":1,"x":1.5,"data":1,"data_base64":"AA=="}"#)
        .unwrap_err();
    let mut found = pointers(&faults);
    found.sort_unstable();
    assert_eq!(
        found,
        ["/BAD", "/data_base64", "/id", "/source", "/specversion", "/tenant", "/time", "/type", "/x"]
    );
    assert_eq!(pointers(&parse("[]").unwrap_err()), [""]);
    assert_eq!(pointers(&parse("{").unwrap_err()), [""]);
}

#[test]
fn one_bad_event_of_a_batch_stands_alone() {
    let tenant = Tenant::default();
    let defaults = Defaults { tenant: &tenant, now: Timestamp::default() };
    let body = br#"[{"specversion":"1.0","id":"1","source":"s","type":"t"}, 7, {"id":"2"}]"#;
    let results = parse_batch(body, &defaults).unwrap();
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, false]);
    assert!(parse_batch(b"{}", &defaults).is_err());
}

#[test]
fn binary_mode_reads_headers() {
    let tenant = Tenant::default();
    let defaults = Defaults { tenant: &tenant, now: Timestamp::default() };
    let headers: [(&str, &[u8]); 7] = [
        ("CE-SpecVersion", b"1.0"),
        ("ce-id", b"1"),
        ("ce-source", b"/caf%C3%A9"),
        ("ce-type", b"t"),
        ("ce-note", b"50%"),
        ("content-type", b"application/json; charset=utf-8"),
        ("x-other", b"ignored"),
    ];
    let event = parse_binary(headers.into_iter(), Bytes::from_static(b"{}"), &defaults).unwrap();
    assert_eq!(&*event.source, "/café");
    assert_eq!(event.extensions.get("note"), Some(&ExtensionValue::String("50%".into())));
    let faults = parse_binary(headers.into_iter(), Bytes::from_static(b"{"), &defaults).unwrap_err();
    assert_eq!(pointers(&faults), [""]);
}

#[test]
fn no_header_stands_for_the_content() {
    let tenant = Tenant::default();
    let defaults = Defaults { tenant: &tenant, now: Timestamp::from_secs(5) };
    let headers = [
        ("ce-id", "1"),
        ("ce-source", "/s"),
        ("ce-type", "a.b"),
        ("ce-specversion", "1.0"),
        ("ce-data", "x"),
    ];
    let headers = headers.into_iter().map(|(name, value)| (name, value.as_bytes()));
    let faults = parse_binary(headers, Bytes::from_static(b"{}"), &defaults).unwrap_err();
    assert_eq!(pointers(&faults), ["header:ce-data"]);
}

#[test]
fn an_empty_time_is_no_time() {
    let faults = parse(r#"{"specversion":"1.0","id":"1","source":"s","type":"t","time":""}"#).unwrap_err();
    assert_eq!(pointers(&faults), ["/time"]);
}

#[test]
fn an_envelope_gives_its_data() {
    let body = br#" {"type":"a.b","timestamp":"2026-01-01T00:00:00Z","data": {"n": 1} , "more": []}"#;
    let data = Data::Envelope(Bytes::from_static(body));
    assert_eq!(data.as_json(), Some(r#"{"n": 1}"#));
}

proptest! {
    #[test]
    fn parsers_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200), text in ".{0,200}") {
        let tenant = Tenant::default();
        let defaults = Defaults { tenant: &tenant, now: Timestamp::default() };
        drop(parse_structured(&body, &defaults));
        drop(parse_batch(text.as_bytes(), &defaults));
        drop(parse_binary([("ce-id", body.as_slice()), ("content-type", text.as_bytes())].into_iter(), body.clone().into(), &defaults));
    }

    #[test]
    fn what_is_written_parses(id in "[!-~]{1,40}", subject in "\\PC{0,40}", data in "\\PC{0,60}") {
        let mut event = Event::new(Tenant::default(), "/s", EventType::parse("a.b").unwrap(), Timestamp::from_secs(1));
        event.id = EventId::from_text(id);
        event.correlationid = event.id.clone().into_shared();
        event.subject = Some(subject).filter(|s| !s.is_empty());
        event.datacontenttype = Some("application/json".into());
        event.data = Data::Json(serde_json::to_vec(&data).unwrap().into());
        let written = String::from_utf8(to_structured(&event)).unwrap();
        prop_assert_eq!(parse(&written), Ok(event));
    }
}
