//! The documented samples, and what no phone should send.

use proptest::prelude::*;
use serde_json::json;
use trunkline_model::Timestamp;

use super::*;

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

fn pointers(faults: &[FieldError]) -> Vec<&str> {
    faults.iter().map(|fault| fault.pointer.as_str()).collect()
}

/// The parameters of a query that needs no decoding.
fn osmand(query: &str) -> Result<Sample, Vec<FieldError>> {
    osmand::read(query.split('&').filter_map(|pair| pair.split_once('=')))
}

#[test]
fn owntracks_locations_are_read() {
    // The example of the documentation for Traccar's users.
    let message = json!({
        "cog": 271, "batt": 41, "lon": 2.29513, "acc": 5, "vel": 61, "vac": 21, "lat": 48.85833, "t": "u",
        "tst": 1_497_508_651, "alt": 167, "_type": "location", "topic": "owntracks/jane/iphone", "tid": "JJ",
    });
    let sample = owntracks::read(&message).unwrap().unwrap();
    let expected = Sample {
        lat: 48.85833,
        lon: 2.29513,
        device_at: Some(at("2017-06-15T06:37:31Z")),
        accuracy_m: Some(5.0),
        speed_mps: Some(61.0 / 3.6),
        course_deg: Some(271.0),
        altitude_m: Some(167.0),
        battery_pct: Some(41.0),
    };
    assert_eq!(sample, expected);
    let bare =
        json!({ "lon": 2.29513, "lat": 48.85833, "_type": "location", "tst": "1497476456", "tid": "JJ" });
    let sample = owntracks::read(&bare).unwrap().unwrap();
    assert_eq!((sample.device_at, sample.accuracy_m), (Some(at("2017-06-14T21:40:56Z")), None));

    for other in [json!({ "_type": "transition", "lat": 1 }), json!({ "_type": "lwt" }), json!({}), json!([])]
    {
        assert_eq!(owntracks::read(&other), Ok(None), "{other}");
    }
    let bad = json!({ "_type": "location", "lat": "48", "tst": -1, "vel": -1, "batt": 900 });
    assert_eq!(pointers(&owntracks::read(&bad).unwrap_err()), ["/lat", "/lon", "/tst"]);
}

#[test]
fn osmand_parameters_are_read() {
    let sample = osmand(
        "id=123456&lat=35.659&lon=-97.5&timestamp=1497508651&hdop=1.2&altitude=12.5&speed=10&bearing=361&batt=80",
    );
    let expected = Sample {
        lat: 35.659,
        lon: -97.5,
        device_at: Some(at("2017-06-15T06:37:31Z")),
        accuracy_m: None,
        speed_mps: Some(18_520.0 / 3_600.0),
        course_deg: None,
        altitude_m: Some(12.5),
        battery_pct: Some(80.0),
    };
    assert_eq!(sample, Ok(expected));
    let check = |timestamp: &str, expected: &str| {
        let sample = osmand(&format!("lat=1&lon=2&timestamp={timestamp}")).unwrap();
        assert_eq!(sample.device_at, Some(at(expected)), "{timestamp}");
    };
    check("1497508651000", "2017-06-15T06:37:31Z");
    check("1497508651250", "2017-06-15T06:37:31.25Z");
    check("2017-06-15T06:37:31.000Z", "2017-06-15T06:37:31Z");
    check("2017-06-15T08:37:31 02:00", "2017-06-15T06:37:31Z");
    check("2017-06-15T06:37:31", "2017-06-15T06:37:31Z");
    check("2017-06-15 06:37:31", "2017-06-15T06:37:31Z");
    let sample = osmand("location=35.5,-97.5&heading=90&accuracy=7&valid=true").unwrap();
    assert_eq!((sample.lat, sample.lon, sample.course_deg), (35.5, -97.5, Some(90.0)));
    assert_eq!((sample.accuracy_m, sample.device_at), (Some(7.0), None));
    let blind = osmand("lat=1&lon=2&accuracy=7&valid=0").unwrap();
    assert_eq!(blind.accuracy_m, Some(f64::INFINITY));
    for bad in ["", "lat=x&timestamp=soon", "lat=1&timestamp=99999999999999999999", "location=5"] {
        let faults = osmand(bad).unwrap_err();
        assert!(pointers(&faults).contains(&"query:lon"), "{bad}");
        assert_eq!(pointers(&faults).contains(&"query:timestamp"), bad.contains("timestamp"), "{bad}");
    }
    assert!(osmand::is_position(["id", "lat"].into_iter()) && !osmand::is_position(["id"].into_iter()));
}

#[test]
fn the_newer_client_of_traccar_is_read() {
    let body = json!({
        "location": {
            "timestamp": "2000-01-01T00:00:00.000Z",
            "coords": {
                "latitude": 52.5, "longitude": 13.4, "accuracy": 8, "speed": 12.5, "heading": 360, "altitude": 34,
            },
            "is_moving": false, "odometer": 0, "event": "motionchange",
            "battery": { "level": 0.5, "is_charging": false }, "activity": { "type": "still" }, "extras": {},
        },
        "device_id": "48241179",
    });
    let expected = Sample {
        lat: 52.5,
        lon: 13.4,
        device_at: Some(at("2000-01-01T00:00:00Z")),
        accuracy_m: Some(8.0),
        speed_mps: Some(12.5),
        course_deg: Some(0.0),
        altitude_m: Some(34.0),
        battery_pct: Some(50.0),
    };
    assert_eq!(traccar::read(&body), Ok(expected));
    let mut unknown = body.clone();
    unknown["location"]["coords"]["speed"] = json!(-1);
    unknown["location"]["coords"]["heading"] = json!(-1);
    let sample = traccar::read(&unknown).unwrap();
    assert_eq!((sample.speed_mps, sample.course_deg), (None, None));
    let faults = traccar::read(&json!({ "location": [] })).unwrap_err();
    let expected = ["/location/coords/latitude", "/location/coords/longitude", "/location/timestamp"];
    assert_eq!(pointers(&faults), expected);
}

proptest! {
    #[test]
    fn nothing_that_is_sent_panics(
        names in prop::collection::vec("(lat|lon|location|timestamp|speed|batt|valid|accuracy|[a-z]{1,9})", 0..9),
        values in prop::collection::vec("([0-9.,:TZ +-]{0,30}|\\PC{0,20})", 9),
        number in any::<f64>(),
        whole in any::<i64>(),
    ) {
        let _ = osmand::read(names.iter().zip(&values).map(|(name, value)| (name.as_str(), value.as_str())));
        let text = values[0].as_str();
        for value in [json!(number), json!(whole), json!(text), json!([whole]), json!(null)] {
            let mut message = json!({ "_type": "location", "lat": 1, "lon": 2, "tst": 3 });
            let mut body = json!({ "location": { "timestamp": value, "coords": { "latitude": value } } });
            for name in ["lat", "tst", "acc", "vel", "cog", "alt", "batt"] {
                message[name] = value.clone();
                let _ = owntracks::read(&message);
            }
            let _ = traccar::read(&body);
            body["location"] = value.clone();
            let _ = (traccar::read(&body), traccar::read(&value), owntracks::read(&value));
        }
    }
}
