//! Clinics, drivers, deliveries, pickups, routes and invoices over the API.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use trunkline_model::Clock as _;

use crate::harness::{Answer, Hub};

fn clinic() -> Value {
    let day = json!([{ "from": "08:00", "until": "12:00" }, { "from": "13:00", "until": "17:00" }]);
    json!({
        "id": "smile", "name": "Smile", "address": "1 High Street", "position": { "lat": 52.52, "lon": 13.405 },
        "time_zone": "Europe/Berlin", "holidays": [],
        "hours": { "monday": day, "tuesday": day, "wednesday": day, "thursday": day, "friday": day,
            "saturday": day, "sunday": day },
    })
}

/// The date in Berlin this many days from now.
fn day(hub: &Hub, days: u64) -> String {
    hub.clock.now().plus(Duration::from_hours(24 * days)).to_rfc3339()[..10].to_owned()
}

async fn put(hub: &Hub, path: &str, tag: &str, body: &Value) -> Answer {
    hub.call(Method::PUT, path).token(hub.token("operator")).header("if-match", tag).json(body).send().await
}

async fn deliver(hub: &Hub, case_id: &str, priority: &str) -> Answer {
    let body = json!({
        "case_id": case_id, "clinic_id": "smile", "deliver_on": day(hub, 1), "priority": priority,
        "package": { "count": 2, "weight_g": 300, "handling": ["fragile"],
            "dimensions_mm": { "length": 100, "width": 80, "height": 50 } },
    });
    hub.post("/api/v1/logistics/tasks", &body).await
}

async fn populated() -> Hub {
    let hub = Hub::start().await;
    let made = hub.post("/api/v1/clinics", &clinic()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let made = hub.post("/api/v1/drivers", &json!({ "id": "dana", "name": "Dana", "phone": "1" })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    hub
}

fn id(answer: &Answer) -> String {
    answer.body["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn clinics_are_kept_with_hours_that_make_sense() {
    let hub = populated().await;
    let again = hub.post("/api/v1/clinics", &clinic()).await;
    assert_eq!((again.status, again.code()), (StatusCode::CONFLICT, "logistics.exists"));
    let mut bad = clinic();
    (bad["time_zone"], bad["position"]["lat"]) = (json!("Mars/Olympus"), json!(91));
    bad["hours"]["monday"][0]["from"] = json!("8");
    bad["holidays"] = json!([{ "date": "2026-02-30", "name": "x" }]);
    let mut pointers = hub.post("/api/v1/clinics", &bad).await.pointers();
    pointers.sort();
    assert_eq!(pointers, ["/holidays/0/date", "/hours/monday/0/from", "/position/lat", "/time_zone"]);
    let mut overlapping = clinic();
    overlapping["hours"]["friday"][1]["from"] = json!("11:00");
    assert_eq!(hub.post("/api/v1/clinics", &overlapping).await.pointers(), ["/hours/friday"]);

    let read = hub.get("/api/v1/clinics/smile").await;
    assert_eq!((read.header("etag"), &read.body["position"]["lon"]), ("\"1\"", &json!(13.405)));
    let mut changed = clinic();
    changed.as_object_mut().unwrap().remove("id");
    changed["active"] = json!(false);
    assert_eq!(
        put(&hub, "/api/v1/clinics/smile", "\"7\"", &changed).await.code(),
        "logistics.version_conflict"
    );
    let done = put(&hub, "/api/v1/clinics/smile", "\"1\"", &changed).await;
    assert_eq!((done.status, done.header("etag")), (StatusCode::OK, "\"2\""), "{}", done.text);
    assert_eq!(deliver(&hub, "c1", "STANDARD").await.code(), "clinic.not_found", "switched off");
    assert_eq!(hub.get("/api/v1/clinics?active=true").await.body["items"], json!([]));
}

#[tokio::test]
async fn cases_become_a_delivery_that_is_driven_and_billed() {
    let hub = populated().await;
    let first = deliver(&hub, "c1", "STANDARD").await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text);
    let second = deliver(&hub, "c2", "RUSH").await;
    assert_eq!((second.status, id(&second)), (StatusCode::OK, id(&first)));
    assert_eq!(
        (&second.body["priority"], &second.body["n_cases"], &second.body["package"]["count"]),
        (&json!("RUSH"), &json!(2), &json!(4))
    );
    let path = format!("/api/v1/logistics/tasks/{}", id(&first));
    let told = hub.get("/api/v1/events?type=dispatcher.notification").await;
    assert_eq!(told.body["items"][0]["data"]["case_id"], "c2", "{}", told.text);
    for (invoice, case) in [("i1", "c1"), ("i2", "c2")] {
        let body = json!({ "id": invoice, "case_id": case, "amount_minor": 12500, "currency": "EUR" });
        assert_eq!(hub.post("/api/v1/invoices", &body).await.status, StatusCode::CREATED);
    }
    let early = hub.post(&format!("{path}/start"), &json!({})).await;
    assert_eq!(
        (early.status, early.code()),
        (StatusCode::CONFLICT, "logistics.state_conflict"),
        "{}",
        early.text
    );
    let nobody = hub.post(&format!("{path}/assign"), &json!({ "driver_id": "nobody" })).await;
    assert_eq!(nobody.code(), "driver.not_found");

    let route = json!({ "driver_id": "dana", "day": day(&hub, 1), "task_ids": [id(&first)] });
    let route = hub.post("/api/v1/routes", &route).await;
    assert_eq!((route.status, &route.body["stops"][0]["number"]), (StatusCode::CREATED, &json!(1)));
    let route_path = format!("/api/v1/routes/{}", id(&route));
    let started = hub.post(&format!("{route_path}/start"), &json!({})).await;
    assert_eq!(started.body["status"], "under_way", "{}", started.text);
    let stale = hub.call(Method::POST, &format!("{path}/complete")).token(hub.token("operator"));
    assert_eq!(stale.header("if-match", "\"1\"").send().await.status, StatusCode::PRECONDITION_FAILED);

    let bad = json!({ "photo": { "media_type": "image/png", "data": "AAAA=A" } });
    assert_eq!(hub.post(&format!("{path}/complete"), &bad).await.pointers(), ["/photo/data"]);
    let proof = json!({
        "recipient": "Reception", "position": { "lat": 52.52, "lon": 13.405 },
        "photo": { "media_type": "image/png", "data": STANDARD.encode("a photo") },
    });
    let done = hub.post(&format!("{path}/complete"), &proof).await;
    assert_eq!((done.status, &done.body["status"]), (StatusCode::OK, &json!("completed")), "{}", done.text);
    assert_eq!(hub.get(&route_path).await.body["status"], "completed", "it was the last stop");
    let read = hub.get(&format!("{path}/proof")).await;
    assert_eq!((&read.body["recipient"], &read.body["geohash"]), (&json!("Reception"), &json!("u33dc0cpp")));
    let photo = hub.get(&format!("{path}/proof/photo")).await;
    assert_eq!((photo.status, photo.header("content-type")), (StatusCode::OK, "image/png"));
    assert_eq!(photo.header("x-content-type-options"), "nosniff");
    assert_eq!(hub.get(&format!("{path}/proof/signature")).await.status, StatusCode::NOT_FOUND);
    let billing = billed(&hub, &path).await;
    assert_eq!((&billing["n_failed"], billing["items"].as_array().map(Vec::len)), (&json!(0), Some(2)));
    let invoice = hub.get("/api/v1/invoices/i1").await;
    assert_eq!(
        (&invoice.body["status"], &invoice.body["updates"][0]["status"]),
        (&json!("delivered"), &json!("done"))
    );
    assert_eq!(hub.post("/api/v1/invoices/i1/retry", &json!({})).await.code(), "logistics.state_conflict");
    let delivered = hub.get("/api/v1/invoices?status=delivered").await;
    assert_eq!(delivered.body["items"].as_array().map(Vec::len), Some(2));
}

/// The billing of a delivery once it was triggered.
async fn billed(hub: &Hub, path: &str) -> Value {
    let mut tick = tokio::time::interval(Duration::from_millis(3));
    for _ in 0..5_000 {
        let billing = hub.get(&format!("{path}/billing")).await;
        if billing.body["triggered_at"].is_string() {
            return billing.body;
        }
        tick.tick().await;
    }
    panic!("nobody bills");
}

#[tokio::test]
async fn pickups_are_refused_outside_opening_hours_with_the_hours() {
    let hub = populated().await;
    let ask = |window: Value| json!({ "clinic_id": "smile", "window": window, "priority": "EMERGENCY" });
    let outside = ask(json!({ "date": day(&hub, 2), "from": "16:00", "until": "18:00" }));
    let refused = hub.post("/api/v1/pickups", &outside).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::UNPROCESSABLE_ENTITY, "pickup.window_refused"));
    assert_eq!(refused.body["errors"][0]["code"], "outside_hours");
    let open = refused.body["open_hours"].as_array().unwrap();
    assert_eq!(open.len(), 2, "{}", refused.text);
    assert!(open[0]["from"].as_str().unwrap().starts_with(&format!("{}T08:00:00+0", day(&hub, 2))));
    let malformed = ask(json!({ "date": day(&hub, 2), "from": "soonish", "until": "later" }));
    assert_eq!(hub.post("/api/v1/pickups", &malformed).await.pointers(), ["/window/from", "/window/until"]);

    let mut good = ask(json!({ "date": day(&hub, 2), "from": "09:00", "until": "11:00" }));
    good["request_key"] = json!("portal-7");
    good["recurrence"] = json!({ "frequency": "WEEKLY" });
    let made = hub.post("/api/v1/pickups", &good).await;
    assert_eq!((made.status, &made.body["n_tasks"]), (StatusCode::CREATED, &json!(13)), "{}", made.text);
    assert_eq!(hub.post("/api/v1/pickups", &good).await.status, StatusCode::OK);
    let page = hub.get("/api/v1/pickups?limit=10&clinic_id=smile").await;
    let token = page.body["next_page_token"].as_str().unwrap();
    let rest = hub.get(&format!("/api/v1/pickups?limit=10&clinic_id=smile&page_token={token}")).await;
    assert_eq!(
        (rest.body["items"].as_array().unwrap().len(), &rest.body["next_page_token"]),
        (3, &Value::Null)
    );
    let rules = hub.get("/api/v1/pickups/recurrences?clinic_id=smile").await;
    let rule = &rules.body["items"][0];
    assert_eq!((&rule["frequency"], &rule["from"]), (&json!("WEEKLY"), &json!("09:00")));
    let path = format!("/api/v1/pickups/recurrences/{}", rule["id"].as_str().unwrap());
    assert_eq!(hub.get(&path).await.body["active"], true);
    let end = hub.call(Method::DELETE, &path).token(hub.token("operator")).send().await;
    assert_eq!(end.status, StatusCode::NO_CONTENT);
    let open = hub.get("/api/v1/logistics/tasks?kind=pickup&status=pending").await;
    assert_eq!(open.body["items"], json!([]));
}

#[tokio::test]
async fn another_tenant_has_clinics_and_tasks_of_its_own() {
    let hub = populated().await;
    let task = id(&deliver(&hub, "c1", "STANDARD").await);
    let route = json!({ "driver_id": "dana", "day": day(&hub, 1), "task_ids": [task] });
    let route = id(&hub.post("/api/v1/routes", &route).await);
    hub.post("/api/v1/invoices", &json!({ "id": "i1", "case_id": "c1" })).await;
    let window = json!({ "date": day(&hub, 2), "from": "09:00", "until": "11:00" });
    let rule = json!({ "clinic_id": "smile", "window": window, "recurrence": { "frequency": "DAILY" } });
    let rule = hub.post("/api/v1/pickups", &rule).await.body["recurrence_id"].as_str().unwrap().to_owned();
    hub.post(&format!("/api/v1/logistics/tasks/{task}/complete"), &json!({})).await;

    let foreign = async |method: Method, path: &str, body: &Value| {
        let call = hub.call(method.clone(), path).token(hub.stranger());
        let call = if method == Method::GET { call } else { call.json(body) };
        call.send().await.status
    };
    let mut paths = vec![
        (Method::GET, "/api/v1/clinics/smile".to_owned()),
        (Method::PUT, "/api/v1/clinics/smile".to_owned()),
        (Method::GET, "/api/v1/drivers/dana".to_owned()),
        (Method::PUT, "/api/v1/drivers/dana".to_owned()),
        (Method::GET, "/api/v1/invoices/i1".to_owned()),
        (Method::POST, "/api/v1/invoices/i1/retry".to_owned()),
        (Method::GET, format!("/api/v1/routes/{route}")),
        (Method::GET, format!("/api/v1/pickups/recurrences/{rule}")),
        (Method::DELETE, format!("/api/v1/pickups/recurrences/{rule}")),
    ];
    for what in ["", "/cases", "/billing", "/proof", "/proof/photo", "/proof/signature"] {
        paths.push((Method::GET, format!("/api/v1/logistics/tasks/{task}{what}")));
    }
    for verb in ["assign", "unassign", "start", "cancel", "complete"] {
        paths.push((Method::POST, format!("/api/v1/logistics/tasks/{task}/{verb}")));
    }
    for verb in ["start", "finish", "cancel"] {
        paths.push((Method::POST, format!("/api/v1/routes/{route}/{verb}")));
    }
    for (method, path) in paths {
        let body = match path.as_str() {
            path if path.contains("clinics") => {
                let mut clinic = clinic();
                clinic.as_object_mut().unwrap().remove("id");
                clinic
            }
            path if path.contains("drivers") => json!({ "name": "Eve" }),
            path if path.ends_with("assign") && !path.ends_with("unassign") => json!({ "driver_id": "dana" }),
            _ => json!({}),
        };
        assert_eq!(foreign(method.clone(), &path, &body).await, StatusCode::NOT_FOUND, "{method} {path}");
    }
    for list in
        ["clinics", "drivers", "logistics/tasks", "pickups", "pickups/recurrences", "routes", "invoices"]
    {
        let theirs = hub.call(Method::GET, &format!("/api/v1/{list}")).token(hub.stranger()).send().await;
        assert_eq!(theirs.body["items"], json!([]), "{list}");
        let ours = hub.get(&format!("/api/v1/{list}")).await;
        assert!(!ours.body["items"].as_array().unwrap().is_empty(), "{list}");
    }
    // The same ids are free there.
    let own = hub.call(Method::POST, "/api/v1/clinics").token(hub.stranger()).json(&clinic()).send().await;
    assert_eq!(own.status, StatusCode::CREATED);
    assert_eq!(hub.get("/api/v1/drivers/dana").await.body["name"], "Dana");
}
