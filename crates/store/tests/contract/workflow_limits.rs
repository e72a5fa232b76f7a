//! Tickets and lanes of limits, and counts of promises about time.

use trunkline_model::WorkflowId;
use trunkline_store::tables::workflow::promise::{self, PromiseChange, PromiseScope, Standing};
use trunkline_store::tables::workflow::ticket::{
    self, LaneRow, LimitPolicy, TicketRow, TicketState, TicketsOf,
};
use trunkline_testkit::event::tenant;
use trunkline_testkit::for_each_store;

use crate::workflows::{at, row, run};

pub(crate) fn ticket(lane: &str, secs: i64) -> TicketRow {
    TicketRow {
        instance_id: WorkflowId::fresh(),
        ticket_id: 1,
        lane: lane.to_owned(),
        shard: 0,
        tenant: tenant(),
        about: "clinic/referral at once: k".to_owned(),
        state: TicketState::New,
        policy: LimitPolicy::Queue,
        n_most: 1,
        per_us: None,
        priority: 5,
        asked_at: at(secs),
    }
}

pub(crate) fn lane(lane: &str) -> LaneRow {
    LaneRow { lane: lane.to_owned(), shard: 0, n_admitted: 3, recent: "[]".to_owned(), wake_at: Some(at(5)) }
}

#[test]
fn tickets_stand_in_the_order_of_their_lane() {
    for_each_store(async |home| {
        let store = &home.store;
        let mut rows: Vec<TicketRow> = (0..4).map(|n| ticket("lane", n)).collect();
        rows[2].priority = 8;
        rows.push(ticket("other", 9));
        run(store, rows.iter().map(ticket::ticket_insert)).await.unwrap();
        let list = async |which: TicketsOf| -> Vec<usize> {
            let found = ticket::ticket_list(store, (0, "lane"), which, 9).await.unwrap();
            found
                .iter()
                .map(|it| rows.iter().position(|row| row.instance_id == it.instance_id).unwrap())
                .collect()
        };
        assert_eq!(
            (list(TicketsOf::Urgent).await, list(TicketsOf::Oldest).await),
            (vec![2, 0, 1, 3], vec![0, 1, 2, 3])
        );
        let stirred = ticket::lane_list_stirred(store, (0, ""), 9).await.unwrap();
        assert_eq!(stirred, [(0, "lane".to_owned()), (0, "other".to_owned())]);
        assert_eq!(ticket::lane_list_stirred(store, (0, "lane"), 9).await.unwrap(), stirred[1..]);

        run(store, [ticket::ticket_move(&rows[0], TicketState::Held)]).await.unwrap();
        assert!(
            run(store, [ticket::ticket_move(&rows[0], TicketState::Held)]).await.is_err(),
            "it was moved before"
        );
        assert!(run(store, [ticket::ticket_delete(&rows[0])]).await.is_err());
        run(store, [ticket::ticket_give_back(&rows[1].instance_id, 1)]).await.unwrap();
        assert_eq!((list(TicketsOf::Held).await, list(TicketsOf::Oldest).await), (vec![0], vec![2, 3]));
        assert_eq!(list(TicketsOf::Stirred).await.len(), 3);
        assert_eq!(ticket::ticket_count_held(store, "lane").await.unwrap(), (1, 0));
        let held = TicketRow { state: TicketState::Held, ..rows[0].clone() };
        run(store, [ticket::ticket_move(&held, TicketState::Leaving)]).await.unwrap();
        assert_eq!(ticket::ticket_count_held(store, "lane").await.unwrap(), (1, 1));
        // What is not there any more can be given back, too.
        run(store, [ticket::ticket_give_back(&WorkflowId::fresh(), 1)]).await.unwrap();

        let mut known = lane("lane");
        run(store, [ticket::lane_put(&known)]).await.unwrap();
        known.n_admitted = 4;
        run(store, [ticket::lane_put(&known)]).await.unwrap();
        assert_eq!(ticket::lane_get(store, "lane").await.unwrap().as_ref(), Some(&known));
        assert_eq!(ticket::lane_list_due(store, at(4), None, 9).await.unwrap(), []);
        assert_eq!(ticket::lane_list_due(store, at(5), None, 9).await.unwrap(), [known.clone()]);
        assert_eq!(ticket::lane_list_due(store, at(5), Some(&known), 9).await.unwrap(), []);
        run(store, [ticket::lane_delete("lane")]).await.unwrap();
        assert_eq!(ticket::lane_get(store, "lane").await.unwrap(), None);
    });
}

#[test]
fn promises_are_counted_as_they_change() {
    for_each_store(async |home| {
        let store = &home.store;
        let instance = row(0);
        let moves = [
            (None, Some(Standing::Within)),
            (None, Some(Standing::Within)),
            (Some(Standing::Within), Some(Standing::Breached)),
            (Some(Standing::Breached), Some(Standing::Missed)),
        ];
        for (from, to) in moves {
            let change = PromiseChange { scope: PromiseScope::Workflow, from, to };
            run(store, promise::promise_move(&instance, change)).await.unwrap();
        }
        let counts = promise::promise_count(store, &tenant()).await.unwrap();
        let counts: Vec<_> = counts.iter().filter(|it| it.n != 0).map(|it| (it.standing, it.n)).collect();
        assert_eq!(counts, [(Standing::Missed, 1), (Standing::Within, 1)]);
    });
}
