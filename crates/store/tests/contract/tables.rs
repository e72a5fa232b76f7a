//! Every resource: stored, read back, changed, listed, removed.

use trunkline_model::{
    AttemptId, DeliveryId, EndpointId, EventId, EventType, InboundId, Tenant, Timestamp, TokenId,
};
use trunkline_store::tables::dead_letter::{self, DeadLetterRow};
use trunkline_store::tables::delivery::{self, AttemptOutcome, DeliveryFilter, DeliveryRow, DeliveryState};
use trunkline_store::tables::endpoint::{self, EndpointFilter, EndpointRow};
use trunkline_store::tables::idempotency::{self, StoredAnswer};
use trunkline_store::tables::inbound::{self, InboundFilter, InboundRow, Verdict};
use trunkline_store::tables::live_ticket;
use trunkline_store::tables::token::{self, TokenRow};
use trunkline_store::{Commit, CommitError, Statement, Store};
use trunkline_testkit::event::tenant;
use trunkline_testkit::for_each_store;

async fn run(store: &Store, statements: impl Into<Vec<Statement>>) -> Result<(), CommitError> {
    store.commit(Commit::statements(statements.into())).await.map(drop)
}

async fn store<'a>(
    store: &Store,
    rows: impl IntoIterator<Item = &'a DeliveryRow>,
) -> Result<(), CommitError> {
    store.commit(Commit::deliveries(rows.into_iter().cloned().collect())).await.map(drop)
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

pub(crate) fn attempt(secs: i64, status: Option<i64>) -> AttemptOutcome {
    AttemptOutcome {
        id: AttemptId::fresh(),
        started_at: at(secs),
        duration_us: 1_500,
        status,
        error_class: status.is_none().then(|| "timeout".to_owned()),
        error: status.is_none().then(|| "no answer".to_owned()),
        response_head: status.map(|status| format!("HTTP/1.1 {status}\r\n")),
        first_byte_us: status.map(|_| 900),
        connection: status.map(|_| r#"{"dns_us":1,"connect_us":2,"peer":"192.0.2.1:443"}"#.to_owned()),
    }
}

pub(crate) fn pending(endpoint_id: &EndpointId, seq: i64) -> DeliveryRow {
    DeliveryRow {
        id: DeliveryId::fresh(),
        tenant: tenant(),
        endpoint_id: endpoint_id.clone(),
        shard: 0,
        seq,
        event_id: EventId::from_text(format!("evt-{seq}")),
        event_type: EventType::from_stored("test.made"),
        state: DeliveryState::Pending,
        reason: None,
        created_at: at(seq),
        next_attempt_at: Some(at(seq + 5)),
        finished_at: None,
        n_attempts: 0,
        latest: None,
        order_key: None,
    }
}

#[test]
fn a_delivery_that_succeeds_at_once_is_one_row() {
    for_each_store(async |test| {
        let mut row = pending(&EndpointId::fresh(), 1);
        row.state = DeliveryState::Succeeded;
        row.next_attempt_at = None;
        row.finished_at = Some(at(2));
        row.n_attempts = 1;
        row.latest = Some(attempt(1, Some(204)));
        store(&test.store, [&row]).await.unwrap();
        let found = delivery::delivery_get(&test.store, &tenant(), row.id.as_str()).await.unwrap();
        assert_eq!(found.as_ref(), Some(&row));
        let other = Tenant::from_stored("clinic-2");
        assert_eq!(delivery::delivery_get(&test.store, &other, row.id.as_str()).await.unwrap(), None);
        let attempts = delivery::attempt_list(&test.store, &row).await.unwrap();
        assert_eq!((attempts.len(), attempts[0].number), (1, 1));
        assert!(store(&test.store, [&row]).await.is_err());
    });
}

#[test]
fn the_history_of_a_delivery_is_complete() {
    for_each_store(async |test| {
        let mut row = pending(&EndpointId::fresh(), 1);
        store(&test.store, [&row]).await.unwrap();
        let mut made = Vec::new();
        for number in 1..=4 {
            let outcome = attempt(number * 10, (number % 2 == 0).then_some(500));
            made.push(outcome.clone());
            row.n_attempts = number;
            row.latest = Some(outcome);
            row.next_attempt_at = (number < 4).then(|| at(number * 10 + 5));
            if number == 4 {
                row.state = DeliveryState::Exhausted;
                row.finished_at = Some(at(41));
            }
            run(&test.store, delivery::delivery_record_attempt(&row)).await.unwrap();
            let found = delivery::delivery_get(&test.store, &tenant(), row.id.as_str()).await.unwrap();
            assert_eq!(found.as_ref(), Some(&row));
            let listed = delivery::attempt_list(&test.store, &row).await.unwrap();
            let outcomes: Vec<_> = listed.iter().map(|attempt| attempt.outcome.clone()).collect();
            assert_eq!(outcomes, made);
            assert!(listed.iter().map(|attempt| attempt.number).eq(1..=number));
        }
        // A finished delivery takes no further attempt.
        row.n_attempts = 5;
        row.latest = Some(attempt(50, Some(200)));
        run(&test.store, delivery::delivery_record_attempt(&row)).await.unwrap();
        let found = delivery::delivery_get(&test.store, &tenant(), row.id.as_str()).await.unwrap().unwrap();
        assert_eq!((found.n_attempts, found.state), (4, DeliveryState::Exhausted));
        assert_eq!(delivery::attempt_list(&test.store, &found).await.unwrap().len(), 4);
    });
}

#[test]
fn due_deliveries_are_found_by_endpoint() {
    for_each_store(async |test| {
        let endpoints = [EndpointId::fresh(), EndpointId::fresh()];
        let rows: Vec<_> = (1..=6).map(|seq| pending(&endpoints[seq as usize % 2], seq)).collect();
        store(&test.store, &rows).await.unwrap();
        let mut due = delivery::delivery_list_due_endpoints(&test.store, 0).await.unwrap();
        due.sort_by_key(|(_, next_attempt_at)| *next_attempt_at);
        assert_eq!(due, [(endpoints[1].clone(), at(6)), (endpoints[0].clone(), at(7))]);
        assert!(delivery::delivery_list_due_endpoints(&test.store, 1).await.unwrap().is_empty());
        let list = async |now| {
            let rows = delivery::delivery_list_due(&test.store, 0, &endpoints[1], at(now), 10).await.unwrap();
            rows.iter().map(|row| row.seq).collect::<Vec<_>>()
        };
        assert_eq!(list(5).await, [0; 0]);
        assert_eq!(list(8).await, [1, 3]);
        assert_eq!(delivery::delivery_count_stuck(&test.store, at(8)).await.unwrap(), 2);
        run(&test.store, [delivery::delivery_cancel(&rows[0].tenant, &rows[0].id, "disabled", at(9))])
            .await
            .unwrap();
        assert_eq!(list(8).await, [3]);
        let all = delivery::delivery_cancel_endpoint(&endpoints[1], "removed", at(9));
        run(&test.store, [all]).await.unwrap();
        assert_eq!(list(99).await, [0; 0]);
    });
}

#[test]
fn deliveries_are_listed_newest_first() {
    for_each_store(async |test| {
        let endpoints = [EndpointId::fresh(), EndpointId::fresh()];
        let mut ids = Vec::new();
        for seq in 1..=5 {
            let mut row = pending(&endpoints[seq as usize % 2], seq);
            if seq == 5 {
                row.state = DeliveryState::Succeeded;
                row.event_type = EventType::from_stored("other.made");
            }
            store(&test.store, [&row]).await.unwrap();
            ids.push(row.id.into_string());
        }
        let all = DeliveryFilter { limit: 10, ..DeliveryFilter::default() };
        let cases = [
            (all.clone(), vec![5, 4, 3, 2, 1]),
            (DeliveryFilter { endpoint_id: Some(endpoints[0].to_string()), ..all.clone() }, vec![4, 2]),
            (DeliveryFilter { state: Some(DeliveryState::Succeeded), ..all.clone() }, vec![5]),
            (DeliveryFilter { event_type: Some("test.made".to_owned()), ..all.clone() }, vec![4, 3, 2, 1]),
            (DeliveryFilter { event_id: Some("evt-3".to_owned()), ..all.clone() }, vec![3]),
            (DeliveryFilter { before: Some(ids[2].clone()), ..all.clone() }, vec![2, 1]),
            (DeliveryFilter { limit: 2, ..all.clone() }, vec![5, 4]),
        ];
        for (filter, expected) in cases {
            let found = delivery::delivery_list(&test.store, &tenant(), &filter).await.unwrap();
            assert_eq!(found.iter().map(|row| row.seq).collect::<Vec<_>>(), expected, "{filter:?}");
        }
    });
}

#[test]
fn endpoints_change_by_version() {
    for_each_store(async |test| {
        let mut row = EndpointRow {
            id: EndpointId::fresh(),
            tenant: tenant(),
            url: "https://Example.org/100%".to_owned(),
            description: "Front desk".to_owned(),
            events: "[\"**\"]".to_owned(),
            active: true,
            secrets: "[\"whsec_x\"]".to_owned(),
            settings: "{}".to_owned(),
            version: 1,
            created_at: at(1),
            updated_at: at(1),
        };
        run(&test.store, [endpoint::endpoint_insert(&row)]).await.unwrap();
        let before = endpoint::endpoint_fingerprint(&test.store).await.unwrap();
        row.version = 2;
        row.active = false;
        run(&test.store, [endpoint::endpoint_update(&row)]).await.unwrap();
        let stale = run(&test.store, [endpoint::endpoint_update(&row)]).await;
        assert!(matches!(stale, Err(CommitError::Guard { .. })), "{stale:?}");
        assert_ne!(endpoint::endpoint_fingerprint(&test.store).await.unwrap(), before);
        let get = async || endpoint::endpoint_get(&test.store, &tenant(), row.id.as_str()).await.unwrap();
        assert_eq!(get().await.as_ref(), Some(&row));
        let second =
            EndpointRow { id: EndpointId::fresh(), active: true, url: "https://b".to_owned(), ..row.clone() };
        run(&test.store, [endpoint::endpoint_insert(&second)]).await.unwrap();
        let list = async |filter: EndpointFilter| {
            let filter = EndpointFilter { limit: 10, ..filter };
            endpoint::endpoint_list(&test.store, &tenant(), &filter).await.unwrap().len()
        };
        assert_eq!(list(EndpointFilter::default()).await, 2);
        assert_eq!(list(EndpointFilter { active: Some(false), ..EndpointFilter::default() }).await, 1);
        let before = EndpointFilter { before: Some(second.id.to_string()), ..EndpointFilter::default() };
        assert_eq!(list(before).await, 1);
        assert_eq!(endpoint::endpoint_list_all(&test.store).await.unwrap().len(), 2);
        run(&test.store, [endpoint::endpoint_delete(&tenant(), &row.id)]).await.unwrap();
        assert!(run(&test.store, [endpoint::endpoint_delete(&tenant(), &row.id)]).await.is_err());
        assert_eq!(get().await, None);
    });
}

#[test]
fn tokens_are_found_by_hash() {
    for_each_store(async |test| {
        let row = |name: &str, hash: &str| TokenRow {
            id: TokenId::fresh(),
            tenant: tenant(),
            name: name.to_owned(),
            role: "admin".to_owned(),
            person: None,
            groups: Vec::new(),
            rooms: Vec::new(),
            hash: hash.to_owned(),
            created_at: at(1),
            expires_at: None,
            revoked_at: None,
        };
        // Ids grow in the order in which they are made, and lists go by them.
        let first = row("a", "h1");
        let person = TokenRow {
            person: Some("ann".to_owned()),
            groups: vec!["doctors".to_owned(), "heads".to_owned()],
            rooms: vec!["clinic:42".to_owned()],
            expires_at: Some(at(50)),
            ..row("b", "h2")
        };
        let rows = [first, person];
        run(&test.store, rows.iter().map(token::token_insert).collect::<Vec<_>>()).await.unwrap();
        assert!(run(&test.store, [token::token_insert(&row("c", "h1"))]).await.is_err());
        assert_eq!(token::token_find(&test.store, "h2").await.unwrap().as_ref(), Some(&rows[1]));
        assert_eq!(token::token_find(&test.store, "h3").await.unwrap(), None);
        assert_eq!(
            token::token_get(&test.store, rows[0].id.as_str()).await.unwrap().as_ref(),
            Some(&rows[0])
        );
        let count = async |now| token::token_count_admins(&test.store, at(now)).await.unwrap();
        assert_eq!((count(10).await, count(60).await), (2, 1));
        let revoke = || [token::token_revoke(&tenant(), rows[0].id.as_str(), at(20))];
        run(&test.store, revoke()).await.unwrap();
        assert!(run(&test.store, revoke()).await.is_err());
        assert_eq!(count(10).await, 1);
        let revoked = async |since| token::token_list_revoked(&test.store, at(since)).await.unwrap();
        assert_eq!((revoked(20).await, revoked(21).await), (vec![rows[0].id.clone()], vec![]));
        let list = async |before: Option<&str>| {
            let rows = token::token_list(&test.store, &tenant(), before, 10).await.unwrap();
            rows.into_iter().map(|row| row.name).collect::<Vec<_>>()
        };
        assert_eq!(list(None).await, ["b", "a"]);
        assert_eq!(list(Some(rows[1].id.as_str())).await, ["a"]);
        let changed = TokenRow { name: "renamed".to_owned(), revoked_at: None, ..rows[0].clone() };
        run(&test.store, [token::token_put(&changed)]).await.unwrap();
        assert_eq!(token::token_get(&test.store, changed.id.as_str()).await.unwrap(), Some(changed));
    });
}

#[test]
fn a_ticket_is_good_once() {
    for_each_store(async |test| {
        let token_id = TokenId::fresh();
        let insert = live_ticket::live_ticket_insert("t1", &token_id, at(30));
        run(&test.store, [insert]).await.unwrap();
        let find = async |hash, now| live_ticket::live_ticket_find(&test.store, hash, at(now)).await.unwrap();
        assert_eq!(find("t1", 29).await, Some(token_id.clone()));
        assert_eq!((find("t1", 30).await, find("t2", 29).await), (None, None));
        run(&test.store, [live_ticket::live_ticket_use("t1")]).await.unwrap();
        assert!(run(&test.store, [live_ticket::live_ticket_use("t1")]).await.is_err());
        assert_eq!(find("t1", 29).await, None);
        run(&test.store, [live_ticket::live_ticket_insert("t3", &token_id, at(30))]).await.unwrap();
        run(&test.store, [live_ticket::live_ticket_delete_before(at(31))]).await.unwrap();
        assert_eq!(find("t3", 1).await, None);
    });
}

#[test]
fn idempotency_keys_keep_the_first_answer() {
    for_each_store(async |test| {
        let get = async || idempotency::idempotency_get(&test.store, &tenant(), "k").await.unwrap();
        let claim = |secs| [idempotency::idempotency_claim(&tenant(), "k", "print", at(secs))];
        assert_eq!(get().await, None);
        run(&test.store, claim(1)).await.unwrap();
        assert!(matches!(run(&test.store, claim(2)).await, Err(CommitError::Guard { .. })));
        assert_eq!(get().await.unwrap().answer, None);
        run(&test.store, [idempotency::idempotency_release(&tenant(), "k")]).await.unwrap();
        run(&test.store, claim(3)).await.unwrap();
        let take = |from| [idempotency::idempotency_take_over(&tenant(), "k", at(from), at(4))];
        run(&test.store, take(3)).await.unwrap();
        assert!(run(&test.store, take(3)).await.is_err());
        let answer = StoredAnswer { status: 201, headers: "{}".to_owned(), body: "made".into() };
        run(&test.store, [idempotency::idempotency_finish(&tenant(), "k", &answer)]).await.unwrap();
        run(&test.store, [idempotency::idempotency_release(&tenant(), "k")]).await.unwrap();
        let row = get().await.unwrap();
        assert_eq!((row.fingerprint.as_str(), row.created_at, row.answer), ("print", at(4), Some(answer)));
        run(&test.store, [idempotency::idempotency_delete_before(at(4))]).await.unwrap();
        assert!(get().await.is_some());
        run(&test.store, [idempotency::idempotency_delete_before(at(5))]).await.unwrap();
        assert_eq!(get().await, None);
    });
}

#[test]
fn dead_letters_are_one_per_place() {
    for_each_store(async |test| {
        let row = |id: &str, seq, error: &str| DeadLetterRow {
            id: id.to_owned(),
            consumer: "dispatch".to_owned(),
            shard: 0,
            seq,
            tenant: tenant(),
            event_id: format!("evt-{seq}"),
            error: error.to_owned(),
            n_attempts: 3,
            failed_at: at(seq),
        };
        let letters = [row("ddl_1", 1, "first"), row("ddl_2", 2, "x"), row("ddl_3", 1, "renewed")];
        for letter in &letters {
            run(&test.store, [dead_letter::dead_letter_insert(letter)]).await.unwrap();
        }
        let list = async |before| {
            let rows = dead_letter::dead_letter_list(&test.store, &tenant(), before, 10).await.unwrap();
            rows.into_iter().map(|row| (row.id, row.error)).collect::<Vec<_>>()
        };
        let pair = |id: &str, error: &str| (id.to_owned(), error.to_owned());
        assert_eq!(list(None).await, [pair("ddl_2", "x"), pair("ddl_1", "renewed")]);
        assert_eq!(list(Some("ddl_2")).await, [pair("ddl_1", "renewed")]);
        let get = async |id| dead_letter::dead_letter_get(&test.store, &tenant(), id).await.unwrap();
        assert_eq!(get("ddl_2").await.as_ref(), Some(&letters[1]));
        run(&test.store, [dead_letter::dead_letter_delete(&tenant(), "ddl_2")]).await.unwrap();
        assert!(run(&test.store, [dead_letter::dead_letter_delete(&tenant(), "ddl_2")]).await.is_err());
        assert_eq!(get("ddl_2").await, None);
    });
}

#[test]
fn inbound_requests_are_judged_again() {
    for_each_store(async |test| {
        let row = |verdict| InboundRow {
            id: InboundId::fresh(),
            tenant: tenant(),
            source: "portal".to_owned(),
            received_at: at(1),
            verdict,
            reason: "why".to_owned(),
            head: "POST / HTTP/1.1".to_owned(),
            body: Some(vec![0, 1, 255].into()),
            event_id: None,
        };
        let quarantined = row(Verdict::Quarantined);
        let rejected: Vec<_> = (0..4).map(|_| row(Verdict::Rejected)).collect();
        let inserts = rejected.iter().chain([&quarantined]).map(inbound::inbound_insert).collect::<Vec<_>>();
        run(&test.store, inserts).await.unwrap();
        let get =
            async |id: &InboundId| inbound::inbound_get(&test.store, &tenant(), id.as_str()).await.unwrap();
        assert_eq!(get(&quarantined.id).await.as_ref(), Some(&quarantined));
        let list = async |filter: InboundFilter| {
            let filter = InboundFilter { limit: 10, ..filter };
            inbound::inbound_list(&test.store, &tenant(), &filter).await.unwrap().len()
        };
        let none = InboundFilter::default;
        assert_eq!(list(none()).await, 5);
        assert_eq!(list(InboundFilter { verdict: Some(Verdict::Rejected), ..none() }).await, 4);
        assert_eq!(list(InboundFilter { source: Some("other".to_owned()), ..none() }).await, 0);
        assert_eq!(list(InboundFilter { before: Some(rejected[2].id.to_string()), ..none() }).await, 3);
        run(&test.store, [inbound::inbound_trim_rejected("portal", 9)]).await.unwrap();
        run(&test.store, [inbound::inbound_trim_rejected("portal", 2)]).await.unwrap();
        assert_eq!(list(InboundFilter { verdict: Some(Verdict::Rejected), ..none() }).await, 2);
        assert_eq!(get(&rejected[0].id).await, None);
        let id = &quarantined.id;
        let reason = inbound::inbound_set_reason(&tenant(), id, Verdict::Quarantined, "still");
        run(&test.store, [reason]).await.unwrap();
        assert_eq!(get(id).await.unwrap().reason, "still");
        run(&test.store, [inbound::inbound_accept(&tenant(), id, "evt-1")]).await.unwrap();
        assert!(run(&test.store, [inbound::inbound_accept(&tenant(), id, "evt-2")]).await.is_err());
        let accepted = get(id).await.unwrap();
        assert_eq!((accepted.verdict, accepted.event_id.as_deref()), (Verdict::Accepted, Some("evt-1")));
    });
}

#[test]
fn remembered_keys_are_swept_in_slices() {
    for_each_store(async |test| {
        for key in ["c", "a", "B", "d"] {
            let commit = Commit { seen: Some(crate::seen(key, "inb")), ..Commit::default() };
            test.store.commit(commit).await.unwrap();
        }
        let slice = async |after: &str| {
            let after = ("portal".to_owned(), after.to_owned());
            let rows = inbound::seen_list_after(&test.store, &after, 2).await.unwrap();
            rows.into_iter().map(|row| row.key).collect::<Vec<_>>()
        };
        // Byte order, whatever the server's locale.
        assert_eq!(slice("").await, ["B", "a"]);
        assert_eq!(slice("a").await, ["c", "d"]);
        run(&test.store, [inbound::seen_delete("portal", "c")]).await.unwrap();
        assert_eq!(slice("a").await, ["d"]);
    });
}
