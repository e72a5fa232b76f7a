//! Where drivers are: taken in, followed and shown over the API, to whom it concerns.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use trunkline_logistics::operations::tracking::tracks_settle_due;
use trunkline_model::{Clock as _, Timestamp};

use crate::harness::{Answer, Hub};

/// Metres of one degree of latitude.
const DEGREE_M: f64 = 111_195.0;
const POSITIONS: &str = "/api/v1/drivers/dana/positions";
const NEWEST: &str = "/api/v1/drivers/dana/position";

/// A place so many metres to the north of the first clinic.
fn lat(along_m: f64) -> f64 {
    52.0 + along_m / DEGREE_M
}

fn clinic(id: &str, along_m: f64) -> Value {
    let day = json!([{ "from": "00:00", "until": "24:00" }]);
    json!({
        "id": id, "name": id, "address": "1 High Street", "position": { "lat": lat(along_m), "lon": 13.0 },
        "time_zone": "Europe/Berlin", "holidays": [],
        "hours": { "monday": day, "tuesday": day, "wednesday": day, "thursday": day, "friday": day, "saturday": day,
            "sunday": day },
    })
}

fn at(hub: &Hub, second: i64) -> String {
    Timestamp::from_secs(hub.clock.now().as_secs() + second).to_rfc3339()
}

fn position(along_m: f64, at: &str) -> Value {
    json!({ "lat": lat(along_m), "lon": 13.0, "at": at, "accuracy_m": 10, "speed_mps": 8 })
}

/// A hub with a route to the clinics `a` and `b`, 2 km apart, and a third clinic. Gives the route's path.
async fn planned() -> (Hub, String) {
    let hub = Hub::start().await;
    for (id, along_m) in [("a", 0.0), ("b", 2_000.0), ("c", 9_000.0)] {
        let made = hub.post("/api/v1/clinics", &clinic(id, along_m)).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    }
    for (id, user) in [("dana", "dana"), ("eve", "eve")] {
        hub.post("/api/v1/drivers", &json!({ "id": id, "name": id, "user": user })).await;
    }
    let mut task_ids = Vec::new();
    let day = at(&hub, 0)[..10].to_owned();
    for (case_id, clinic_id) in [("c1", "a"), ("c2", "b")] {
        let task = json!({ "case_id": case_id, "clinic_id": clinic_id, "deliver_on": day });
        let made = hub.post("/api/v1/logistics/tasks", &task).await;
        task_ids.push(made.body["id"].clone());
    }
    let route = json!({ "driver_id": "dana", "day": day, "task_ids": task_ids });
    let made = hub.post("/api/v1/routes", &route).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let path = format!("/api/v1/routes/{}", made.body["id"].as_str().unwrap());
    (hub, path)
}

async fn on_the_way() -> (Hub, String) {
    let (hub, route) = planned().await;
    let started = hub.post(&format!("{route}/start"), &json!({})).await;
    assert!(started.body["started_at"].is_string(), "{}", started.text);
    hub.clock.advance(Duration::from_mins(10));
    (hub, route)
}

async fn token(hub: &Hub, body: Value) -> String {
    let made = hub.post("/api/v1/tokens", &body).await;
    made.body["token"].as_str().unwrap_or_else(|| panic!("{}", made.text)).to_owned()
}

async fn member(hub: &Hub, user: &str, rooms: &[&str]) -> String {
    token(hub, json!({ "name": "phone", "role": "member", "user": user, "rooms": rooms })).await
}

async fn read(hub: &Hub, path: &str, token: &str) -> Answer {
    hub.call(Method::GET, path).token(token).send().await
}

async fn send(hub: &Hub, path: &str, token: &str, body: &Value) -> Answer {
    hub.call(Method::POST, path).token(token).json(body).send().await
}

fn statuses(answer: &Answer) -> Vec<&str> {
    let items = answer.body["items"].as_array().unwrap_or_else(|| panic!("{}", answer.text));
    items.iter().map(|item| item["status"].as_str().unwrap()).collect()
}

async fn told(hub: &Hub, event_type: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut path = format!("/api/v1/events?limit=100&type={event_type}");
    loop {
        let page = hub.get(&path).await;
        all.extend(page.body["items"].as_array().unwrap().iter().map(|event| event["data"].clone()));
        let Some(token) = page.body["next_page_token"].as_str() else { break };
        path = format!("/api/v1/events?limit=100&type={event_type}&page_token={token}");
    }
    all.reverse();
    all
}

#[tokio::test]
async fn one_bad_position_of_a_batch_stands_alone() {
    let (hub, _) = on_the_way().await;
    let mut batch = vec![
        position(-500.0, &at(&hub, -60)),
        json!({ "lat": 91, "lon": 13.0, "at": at(&hub, -50), "colour": "red" }),
        json!({ "lat": 0, "lon": 0, "at": at(&hub, -50) }),
        position(-500.0, &at(&hub, -60)),
        position(-500.0, &at(&hub, -900)),
        position(-480.0, &at(&hub, 7_200)),
        json!("here"),
    ];
    let answer = hub.post(POSITIONS, &json!(batch)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let expected = ["accepted", "refused", "refused", "known", "off_shift", "accepted", "refused"];
    assert_eq!(statuses(&answer), expected);
    let items = &answer.body["items"];
    let faults = items[1]["errors"].as_array().unwrap();
    let mut pointers: Vec<_> = faults.iter().map(|fault| fault["pointer"].as_str().unwrap()).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/colour", "/lat"]);
    assert_eq!(items[2]["errors"][0]["code"], "impossible_coordinates");
    assert_eq!(items[5]["marks"], json!(["future_clock"]));

    batch = vec![position(0.0, &at(&hub, 0)); 501];
    for wrong in
        [json!([]), json!(batch), json!({}), json!({ "lat": 91, "lon": 13 }), json!({ "lat": 0, "lon": 0 })]
    {
        let answer = hub.post(POSITIONS, &wrong).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::BAD_REQUEST, "request.invalid"),
            "{}",
            answer.text
        );
    }
    let one = hub.post(POSITIONS, &position(-400.0, &at(&hub, 0))).await;
    assert_eq!(statuses(&one), ["accepted"]);
    assert_eq!(
        hub.post("/api/v1/drivers/nobody/positions", &json!({ "lat": 1, "lon": 2 })).await.code(),
        "driver.not_found"
    );
}

#[tokio::test]
async fn where_a_driver_was_is_read_in_pages_and_where_they_are_at_once() {
    let (hub, _) = on_the_way().await;
    assert_eq!(hub.get(NEWEST).await.code(), "position.not_found");
    let times: Vec<String> = (0..5).map(|n| at(&hub, n * 30 - 300)).collect();
    for (n, time) in times.iter().enumerate() {
        hub.post(POSITIONS, &position(-500.0 + n as f64 * 100.0, time)).await;
    }
    hub.clock.advance(Duration::from_secs(20));
    let newest = hub.get(NEWEST).await;
    assert_eq!(
        (&newest.body["at"], &newest.body["age_s"]),
        (&json!(times[4]), &json!(200)),
        "{}",
        newest.text
    );
    assert_eq!((&newest.body["accuracy_m"], &newest.body["speed_mps"]), (&json!(10.0), &json!(8.0)));
    assert!((newest.body["lat"].as_f64().unwrap() - lat(-100.0)).abs() < 1e-6);

    let first = hub.get(&format!("{POSITIONS}?limit=2&since={}", times[1])).await;
    let shown: Vec<_> =
        first.body["items"].as_array().unwrap().iter().map(|item| item["at"].clone()).collect();
    assert_eq!(shown, [times[4].as_str(), times[3].as_str()]);
    let token = first.body["next_page_token"].as_str().unwrap();
    let rest = hub.get(&format!("{POSITIONS}?limit=2&since={}&page_token={token}", times[1])).await;
    let shown: Vec<_> =
        rest.body["items"].as_array().unwrap().iter().map(|item| item["at"].clone()).collect();
    assert_eq!(shown, [times[2].as_str(), times[1].as_str()]);
    assert_eq!(rest.body["next_page_token"], Value::Null);
    let others = hub.get(&format!("/api/v1/drivers/eve/positions?limit=2&page_token={token}")).await;
    assert_eq!(others.code(), "request.invalid", "a token of another driver's list");
}

#[tokio::test]
async fn a_token_sends_for_its_own_driver_and_reads_what_concerns_it() {
    let (hub, route) = on_the_way().await;
    let here = position(-500.0, &at(&hub, 0));
    let phone = member(&hub, "somebody", &["driver:dana"]).await;
    let person = member(&hub, "dana", &[]).await;
    let clinic_b = member(&hub, "reception", &["clinic:b"]).await;
    let clinic_c = member(&hub, "desk", &["clinic:c"]).await;
    let eve = member(&hub, "eve", &["driver:eve"]).await;
    for (token, expected) in [
        (phone.as_str(), StatusCode::OK),
        (&person, StatusCode::OK),
        (hub.token("operator"), StatusCode::OK),
        (&clinic_b, StatusCode::NOT_FOUND),
        (&eve, StatusCode::NOT_FOUND),
        (hub.token("member"), StatusCode::NOT_FOUND),
        (hub.token("viewer"), StatusCode::FORBIDDEN),
        (hub.token("emitter"), StatusCode::FORBIDDEN),
        (hub.stranger(), StatusCode::NOT_FOUND),
    ] {
        let answer = send(&hub, POSITIONS, token, &here).await;
        assert_eq!(answer.status, expected, "{}", answer.text);
    }
    let statistics = "/api/v1/drivers/dana/statistics";
    for (token, may_see_newest, may_see_all) in [
        (phone.as_str(), true, true),
        (&person, true, true),
        (hub.token("viewer"), true, true),
        (&clinic_b, true, false),
        (&clinic_c, false, false),
        (&eve, false, false),
        (hub.token("member"), false, false),
        (hub.stranger(), false, false),
    ] {
        assert_eq!(read(&hub, NEWEST, token).await.status == StatusCode::OK, may_see_newest);
        for path in [POSITIONS, statistics] {
            assert_eq!(read(&hub, path, token).await.status == StatusCode::OK, may_see_all, "{path}");
        }
    }
    // The clinic looks as long as the driver is on the way to it.
    hub.post(&format!("{route}/finish"), &json!({})).await;
    hub.clock.advance(Duration::from_secs(1));
    assert_eq!(read(&hub, NEWEST, &clinic_b).await.code(), "driver.not_found");
    assert_eq!(read(&hub, NEWEST, &phone).await.status, StatusCode::OK);
    let switched_off = json!({ "name": "dana", "active": false });
    hub.call(Method::PUT, "/api/v1/drivers/dana").token(hub.token("admin")).json(&switched_off).send().await;
    assert_eq!(send(&hub, POSITIONS, &phone, &here).await.code(), "driver.not_found");
}

#[tokio::test]
async fn off_shift_nothing_is_known() {
    let (hub, route) = planned().await;
    hub.clock.advance(Duration::from_mins(10));
    let off = hub.post(POSITIONS, &position(0.0, &at(&hub, -5))).await;
    assert_eq!(statuses(&off), ["off_shift"]);
    hub.post(&format!("{route}/start"), &json!({})).await;
    hub.clock.advance(Duration::from_mins(1));
    let both = json!([position(0.0, &at(&hub, -61)), position(0.0, &at(&hub, -59))]);
    assert_eq!(statuses(&hub.post(POSITIONS, &both).await), ["off_shift", "accepted"]);
    hub.post(&format!("{route}/finish"), &json!({})).await;
    hub.clock.advance(Duration::from_mins(1));
    assert_eq!(statuses(&hub.post(POSITIONS, &position(0.0, &at(&hub, 0))).await), ["off_shift"]);
    let kept = hub.get(POSITIONS).await;
    assert_eq!(kept.body["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(told(&hub, "driver.location").await.len(), 1);
}

/// Chance that is the same each time.
fn chance(seed: &mut u64, below: u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % below
}

/// A drive to both clinics with a stay at each, and on: metres at each second.
fn drive() -> Vec<f64> {
    let mut path: Vec<f64> = (0..150).map(|second| -1_500.0 + f64::from(second) * 10.0).collect();
    path.extend(std::iter::repeat_n(0.0, 420));
    path.extend((0..200).map(|second| f64::from(second) * 10.0));
    path.extend(std::iter::repeat_n(2_000.0, 360));
    path.extend((0..150).map(|second| 2_000.0 + f64::from(second) * 10.0));
    path
}

#[tokio::test]
async fn a_track_that_trembles_stutters_and_is_mixed_up_is_one_arrival_a_visit() {
    let (hub, route) = on_the_way().await;
    let start = hub.clock.now();
    let phone = member(&hub, "dana", &[]).await;
    let mut seed = 42;
    // When it comes, and what: jittered by up to 25 m, delayed by up to 80 s, every third one twice, every ninth one lost.
    let mut sent: Vec<(u64, Value)> = Vec::new();
    for (n, (second, along_m)) in drive().into_iter().enumerate().step_by(20).enumerate() {
        let jitter = chance(&mut seed, 50) as f64 - 25.0;
        let device_at = start.plus(Duration::from_secs(second as u64)).to_rfc3339();
        let body = position(along_m + jitter, &device_at);
        let comes = second as u64 + chance(&mut seed, 80);
        if n % 9 != 4 {
            sent.push((comes, body.clone()));
        }
        if n % 3 == 0 {
            sent.push((comes + chance(&mut seed, 60), body));
        }
    }
    sent.sort_by_key(|(comes, _)| *comes);
    let mut now = 0;
    for (comes, body) in sent {
        hub.clock.advance(Duration::from_secs(comes - now));
        now = comes;
        let answer = send(&hub, POSITIONS, &phone, &body).await;
        assert!(["accepted", "known"].contains(&statuses(&answer)[0]), "{}", answer.text);
    }
    hub.clock.advance(Duration::from_mins(10));
    tracks_settle_due(&hub.store, hub.clock.now(), 10).await.unwrap();

    let arrived = told(&hub, "driver.arrived").await;
    let clinics: Vec<_> = arrived.iter().map(|data| data["clinic_id"].clone()).collect();
    assert_eq!(clinics, ["a", "b"], "{arrived:?}");
    assert_eq!(told(&hub, "driver.departed").await.len(), 2);
    let stops = hub.get(&route).await.body["stops"].clone();
    for (stop, expected) in [(&stops[0], 150), (&stops[1], 770)] {
        let came = Timestamp::parse_rfc3339(stop["arrived_at"].as_str().unwrap()).unwrap();
        assert!((came.as_secs() - start.as_secs() - expected).abs() <= 60, "{stop}");
        assert!(stop["departed_at"].is_string(), "{stop}");
    }
    let figures = hub.get("/api/v1/drivers/dana/statistics").await.body;
    assert_eq!((&figures["n_stops"], &figures["on_time_rate"]), (&json!(2), &json!(1.0)), "{figures}");
    assert!((4_000.0..6_000.0).contains(&figures["distance_m"].as_f64().unwrap()), "{figures}");
    assert!((280.0..450.0).contains(&figures["average_dwell_s"].as_f64().unwrap()), "{figures}");
    assert!((4.0..15.0).contains(&figures["average_speed_mps"].as_f64().unwrap()), "{figures}");
    let past = hub.get("/api/v1/drivers/dana/statistics?since=2020-01-01&until=2020-02-01").await.body;
    assert_eq!((&past["n_stops"], &past["on_time_rate"]), (&json!(0), &Value::Null));
    for bad in ["since=2021-01-01&until=2020-01-01", "since=2020-01-01&until=2021-06-01", "since=soon"] {
        let answer = hub.get(&format!("/api/v1/drivers/dana/statistics?{bad}")).await;
        assert_eq!((answer.code(), answer.pointers()), ("request.invalid", vec!["query:since".to_owned()]));
    }
    // Where the driver is goes to the clinics that are still to come, never to the third one.
    for data in told(&hub, "driver.location").await {
        assert!(data["clinic_id"].as_array().unwrap().iter().all(|clinic| clinic != "c"), "{data}");
    }
}

fn basic(token: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("dana:{token}")))
}

#[tokio::test]
async fn stock_apps_on_phones_are_understood() {
    let (hub, _) = on_the_way().await;
    let phone = member(&hub, "dana", &[]).await;
    let (owntracks, traccar) = ("/api/v1/drivers/dana/owntracks", "/api/v1/drivers/dana/traccar");
    let call = |method: Method, path: &str| hub.call(method, path).header("authorization", &basic(&phone));
    let secs = hub.clock.now().as_secs();

    let location = json!({ "_type": "location", "lat": lat(-900.0), "lon": 13.0, "tst": secs - 120, "acc": 5, "vel": 36,
        "cog": 90, "batt": 41, "tid": "DA" });
    let answer = call(Method::POST, owntracks).json(&location).send().await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, "[]"));
    for other in [
        json!({ "_type": "lwt", "tst": 1 }),
        json!({ "_type": "location", "lat": 91, "lon": 13, "tst": secs }),
        json!({ "_type": "location" }),
        json!([]),
    ] {
        let answer = call(Method::POST, owntracks).json(&other).send().await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, "[]"), "{other}");
    }
    assert_eq!(
        call(Method::POST, owntracks).bytes("text/plain", b"{").send().await.code(),
        "request.malformed"
    );

    let query = format!(
        "{traccar}?id=48241179&lat={}&lon=13.0&timestamp={}&speed=10&bearing=45&batt=40",
        lat(-800.0),
        secs - 90
    );
    for method in [Method::GET, Method::POST] {
        let answer = call(method.clone(), &query).send().await;
        let expected = if method == Method::GET { "accepted" } else { "known" };
        assert_eq!(statuses(&answer), [expected]);
    }
    let form =
        format!("id=48241179&lat={}&lon=13.0&timestamp={}&accuracy=7", lat(-700.0), (secs - 60) * 1000);
    let answer =
        call(Method::POST, traccar).bytes("application/x-www-form-urlencoded", form.as_bytes()).send().await;
    assert_eq!(statuses(&answer), ["accepted"]);
    let newer = json!({ "device_id": "48241179", "location": { "timestamp": at(&hub, -30),
        "coords": { "latitude": lat(-600.0), "longitude": 13.0, "accuracy": 8, "speed": 12.5, "heading": -1 },
        "battery": { "level": 0.5 } } });
    assert_eq!(statuses(&call(Method::POST, traccar).json(&newer).send().await), ["accepted"]);
    let odd = call(Method::GET, &format!("{traccar}?lat=91&lon=13&colour=red")).send().await;
    assert_eq!(
        (statuses(&odd), &odd.body["items"][0]["errors"][0]["pointer"]),
        (vec!["refused"], &json!("/lat"))
    );
    let odd = call(Method::GET, &format!("{traccar}?lat=north")).send().await;
    assert_eq!(odd.body["items"][0]["errors"].as_array().map(Vec::len), Some(2));
    let quiet = call(Method::GET, &format!("{traccar}?id=1&batt=50")).send().await;
    assert_eq!((quiet.status, quiet.body), (StatusCode::OK, json!({ "items": [] })));

    let kept = hub.get(POSITIONS).await;
    let shown: Vec<_> = kept.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            [&item["speed_mps"], &item["course_deg"], &item["battery_pct"], &item["accuracy_m"]]
                .map(Value::clone)
        })
        .collect();
    let expected = [
        [json!(12.5), Value::Null, json!(50), json!(8.0)],
        [Value::Null, Value::Null, Value::Null, json!(7.0)],
        [json!(5.144), json!(45.0), json!(40), Value::Null],
        [json!(10.0), json!(90.0), json!(41), json!(5.0)],
    ];
    assert_eq!(shown, expected);

    // Who does not own the driver, or has no token, is told so.
    let eve = member(&hub, "eve", &[]).await;
    for path in [owntracks, traccar] {
        let answer =
            hub.call(Method::POST, path).header("authorization", &basic(&eve)).json(&location).send().await;
        assert_eq!(answer.code(), "driver.not_found");
        for wrong in ["Basic", "Basic !", "Basic ZGFuYQ==", &basic("tlk_short")] {
            let answer =
                hub.call(Method::POST, path).header("authorization", wrong).json(&location).send().await;
            assert_eq!(answer.code(), "auth.invalid", "{wrong}");
        }
    }
    // A password is for apps alone.
    let elsewhere = hub.call(Method::GET, POSITIONS).header("authorization", &basic(&phone)).send().await;
    assert_eq!(elsewhere.code(), "auth.invalid");
    hub.draining.cancel();
    assert_eq!(call(Method::GET, &query).send().await.code(), "hub.draining");
}

#[tokio::test]
async fn another_tenant_has_drivers_of_its_own() {
    let (hub, _) = on_the_way().await;
    hub.post(POSITIONS, &position(0.0, &at(&hub, 0))).await;
    let made = hub
        .call(Method::POST, "/api/v1/drivers")
        .token(hub.stranger())
        .json(&json!({ "id": "dana", "name": "D" }));
    assert_eq!(made.send().await.status, StatusCode::CREATED);
    let theirs = read(&hub, POSITIONS, hub.stranger()).await;
    assert_eq!((theirs.status, &theirs.body["items"]), (StatusCode::OK, &json!([])));
    assert_eq!(read(&hub, NEWEST, hub.stranger()).await.code(), "position.not_found");
    assert_eq!(
        statuses(&send(&hub, POSITIONS, hub.stranger(), &position(0.0, &at(&hub, 0))).await),
        ["off_shift"]
    );
}

#[tokio::test]
async fn when_the_driver_will_be_there_is_estimated_and_its_source_named() {
    let (hub, route) = planned().await;
    let path = format!("{route}/eta");
    assert_eq!(hub.get(&path).await.code(), "logistics.state_conflict");
    hub.post(&format!("{route}/start"), &json!({})).await;
    hub.clock.advance(Duration::from_mins(1));
    assert_eq!(hub.get(&path).await.code(), "position.not_found");
    hub.post(POSITIONS, &position(-1_000.0, &at(&hub, 0))).await;
    let eta = hub.get(&path).await;
    let items = eta.body["items"].as_array().unwrap();
    assert_eq!(
        (items.len(), &items[0]["source"], &items[0]["fallback"]),
        (2, &json!("straight_line"), &json!(false))
    );
    let time = |item: &Value| Timestamp::parse_rfc3339(item["at"].as_str().unwrap()).unwrap().as_secs();
    let now = hub.clock.now().as_secs();
    assert!((120..400).contains(&(time(&items[0]) - now)), "{}", eta.text);
    assert!((time(&items[1]) - time(&items[0])) > 300, "the stop takes time, too: {}", eta.text);

    let clinic_b = member(&hub, "reception", &["clinic:b"]).await;
    let theirs = read(&hub, &path, &clinic_b).await;
    let shown: Vec<_> =
        theirs.body["items"].as_array().unwrap().iter().map(|item| item["number"].clone()).collect();
    assert_eq!(shown, [json!(2)]);
    for token in [&member(&hub, "desk", &["clinic:c"]).await, &member(&hub, "eve", &[]).await, hub.stranger()]
    {
        assert_eq!(read(&hub, &path, token).await.code(), "route.not_found");
    }
    assert_eq!(
        read(&hub, &path, &member(&hub, "dana", &[]).await).await.body["items"].as_array().map(Vec::len),
        Some(2)
    );
}
