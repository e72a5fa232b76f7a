//! The shape of the tree.

use proptest::prelude::*;
use trunkline_model::{
    AttemptId, DeliveryId, EndpointId, Event, EventId, EventType, InboundId, Tenant, WorkflowId,
};
use trunkline_store::tables::delivery::{AttemptOutcome, DeliveryState};
use trunkline_store::tables::inbound::Verdict;
use trunkline_store::tables::workflow::instance::InstancePhase;

use super::*;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_micros(1_000_000_000 + ms * 1000)
}

fn event(id: &str, seq: i64, cause: Option<&str>) -> EventRecord {
    let mut event = Event::new(Tenant::default(), "/in/clinic", EventType::from_stored("a.b"), at(seq));
    event.id = EventId::from_text(id);
    event.causationid = cause.map(str::to_owned);
    EventRecord { shard: 0, seq, recorded_at: at(seq), event, request_head: None }
}

fn delivery(seq: i64, statuses: &[i64]) -> (DeliveryRow, Vec<AttemptRow>) {
    let id = DeliveryId::from_text(format!("dlv_{seq}"));
    let attempts: Vec<AttemptRow> = (1..)
        .zip(statuses)
        .map(|(number, status)| AttemptRow {
            delivery_id: id.clone(),
            number,
            outcome: AttemptOutcome {
                id: AttemptId::from_text(format!("att_{number}")),
                started_at: at(seq + number * 10),
                duration_us: 2500,
                status: Some(*status),
                error_class: (*status >= 300).then(|| "status".to_owned()),
                error: None,
                response_head: None,
                first_byte_us: (number == 1).then_some(2000),
                connection: (*status >= 300)
                    .then(|| r#"{"dns_us":100,"connect_us":200,"tls_us":600}"#.to_owned()),
            },
        })
        .collect();
    let row = DeliveryRow {
        id,
        tenant: Tenant::default(),
        endpoint_id: EndpointId::from_text("ep_1"),
        shard: 0,
        seq,
        event_id: EventId::from_text(""),
        event_type: EventType::from_stored("a.b"),
        state: DeliveryState::Succeeded,
        reason: None,
        created_at: at(seq + 5),
        next_attempt_at: None,
        finished_at: Some(at(seq + 45)),
        n_attempts: statuses.len() as i64,
        latest: attempts.last().map(|attempt| attempt.outcome.clone()),
        order_key: None,
    };
    (row, attempts)
}

#[test]
fn a_webhook_is_followed_to_its_last_attempt() {
    let mut first = event("evt_1", 1, None);
    first.request_head = Some("webhook-id: 1\r\n".to_owned());
    let facts = Facts {
        correlation_id: "evt_1".to_owned(),
        events: vec![first, event("evt_2", 2, Some("evt_1"))],
        deliveries: vec![delivery(1, &[500, 200]), delivery(2, &[204])],
        ..Facts::default()
    };
    let drawn = plain(&build(&facts));
    let expect = "\
journey evt_1  started 1970-01-01T00:16:40.001Z, took 46.0 ms
└─ request inb_1 accepted  webhook call to /in/clinic  +0 µs
   └─ event evt_1 stored  a.b from /in/clinic  +0 µs
      ├─ event evt_2 stored  a.b from /in/clinic  +1.0 ms
      │  └─ delivery dlv_2 succeeded  a.b to ep_1, 1 attempt  +6.0 ms, took 40.0 ms
      │     └─ attempt att_1 succeeded  attempt 1, status 204, first byte 2.0 ms  +11.0 ms, took 2.5 ms
      └─ delivery dlv_1 succeeded  a.b to ep_1, 2 attempts  +5.0 ms, took 40.0 ms
         ├─ attempt att_1 failed  attempt 1, status 500, status, dns 0.1 ms, connect 0.2 ms, tls 0.6 ms, first byte 2.0 ms  +10.0 ms, took 2.5 ms
         └─ attempt att_2 succeeded  attempt 2, status 200  +20.0 ms, took 2.5 ms
";
    assert_eq!(drawn, expect);
}

fn workflow(id: &str, created: i64, cause: Option<&str>) -> InstanceRow {
    InstanceRow {
        id: WorkflowId::from_text(id),
        tenant: Tenant::default(),
        shard: 0,
        namespace: "clinic".to_owned(),
        name: "rooms".to_owned(),
        version: "1.0.0".to_owned(),
        hash: String::new(),
        document_id: None,
        phase: InstancePhase::Completed,
        current_step: 1,
        total_steps: 1,
        priority: 0,
        parent_id: None,
        parent_key: None,
        correlation_id: "evt_1".to_owned(),
        causation_id: cause.map(str::to_owned),
        start_key: None,
        started_by: None,
        sla: None,
        sla_due_at: None,
        compensation: None,
        n_records: 1,
        n_crashes: 0,
        input: "{}".to_owned(),
        output: None,
        error: None,
        created_at: at(created),
        started_at: Some(at(created)),
        updated_at: at(created + 4),
        finished_at: Some(at(created + 4)),
    }
}

#[test]
fn what_a_workflow_emits_stands_below_it() {
    let mut failed = workflow("wfi_3", 7, Some("wfi_2"));
    (failed.phase, failed.finished_at) = (InstancePhase::Faulted, None);
    let facts = Facts {
        correlation_id: "evt_1".to_owned(),
        events: vec![
            event("evt_1", 1, None),
            event("evt_2", 3, Some("wfi_2")),
            event("evt_3", 8, Some("wfi_3")),
        ],
        workflows: vec![failed, workflow("wfi_2", 2, Some("evt_1"))],
        ..Facts::default()
    };
    let drawn = plain(&build(&facts));
    let expect = "\
journey evt_1  started 1970-01-01T00:16:40.001Z, took 7.0 ms
└─ event evt_1 stored  a.b from /in/clinic  +0 µs
   └─ workflow wfi_2 completed  clinic/rooms 1.0.0  +1.0 ms, took 4.0 ms
      ├─ event evt_2 stored  a.b from /in/clinic  +2.0 ms
      └─ workflow wfi_3 failed  clinic/rooms 1.0.0  +6.0 ms
         └─ event evt_3 stored  a.b from /in/clinic  +7.0 ms
";
    assert_eq!(drawn, expect);
}

#[test]
fn a_call_judged_again_is_the_cause_of_its_event() {
    let request = InboundRow {
        id: InboundId::from_text("inb_9"),
        tenant: Tenant::default(),
        source: "clinic".to_owned(),
        received_at: at(0),
        verdict: Verdict::Accepted,
        reason: String::new(),
        head: String::new(),
        body: None,
        event_id: Some("evt_9".to_owned()),
    };
    let alone = build(&Facts { requests: vec![request.clone()], ..Facts::default() });
    assert_eq!((alone.nodes.len(), alone.nodes[0].kind), (1, NodeKind::Request));
    let facts = Facts {
        requests: vec![request],
        events: vec![event("evt_9", 60_000, Some("inb_9"))],
        ..Facts::default()
    };
    let journey = build(&facts);
    assert_eq!(journey.nodes.len(), 1);
    assert_eq!(journey.nodes[0].id, "inb_9");
    assert_eq!(journey.nodes[0].children[0].id, "evt_9");
    assert!((journey.duration_ms - 60_000.0).abs() < 0.001);
}

#[test]
fn texts_cannot_drive_the_terminal() {
    let facts = Facts { events: vec![event("evt_\u{1b}[2J", 1, None)], ..Facts::default() };
    assert!(!plain(&build(&facts)).contains('\u{1b}'));
}

fn count(nodes: &[Node]) -> usize {
    nodes.iter().map(|node| 1 + count(&node.children)).sum()
}

fn height(nodes: &[Node]) -> usize {
    nodes.iter().map(|node| 1 + height(&node.children)).max().unwrap_or(0)
}

proptest! {
    /// Causes may point anywhere: every event is shown exactly once, and the tree stays shallow.
    #[test]
    fn any_causes_make_a_tree(causes in proptest::collection::vec(0..120_usize, 0..120)) {
        let events: Vec<_> = causes
            .iter()
            .enumerate()
            .map(|(index, cause)| event(&format!("e{index}"), index as i64, Some(&format!("e{cause}"))))
            .collect();
        let n_events = events.len();
        let journey = build(&Facts { events, ..Facts::default() });
        prop_assert_eq!(count(&journey.nodes), n_events);
        prop_assert!(height(&journey.nodes) <= 41);
    }
}

#[test]
fn a_long_chain_stays_readable() {
    let chain = |order: Vec<i64>| {
        let events =
            order.iter().map(|n| event(&format!("e{n}"), *n, Some(&format!("e{}", n - 1)))).collect();
        build(&Facts { events, ..Facts::default() })
    };
    for journey in [chain((0..400).collect()), chain((0..400).rev().collect())] {
        assert_eq!(count(&journey.nodes), 400);
        assert!(height(&journey.nodes) <= 41, "{}", height(&journey.nodes));
        let text = serde_json::to_string(&journey).unwrap();
        assert_eq!(serde_json::from_str::<Journey>(&text).unwrap(), journey);
    }
}
