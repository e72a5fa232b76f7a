//! Deliveries, pickups and what belongs to them.

use trunkline_model::{
    ClinicId, DriverId, InvoiceId, LogisticsTaskId, RecurrenceId, RouteId, Tenant, Timestamp,
};
use trunkline_store::tables::logistics::billing::{self, BillingRow, InvoiceUpdateRow, UpdateStatus};
use trunkline_store::tables::logistics::case::{self, CaseRow, CaseStatus};
use trunkline_store::tables::logistics::clinic::{self, ClinicRow};
use trunkline_store::tables::logistics::driver::{self, DriverRow};
use trunkline_store::tables::logistics::invoice::{self, InvoiceFilter, InvoiceRow, InvoiceStatus};
use trunkline_store::tables::logistics::proof::{self, BlobRow, ProofRow};
use trunkline_store::tables::logistics::recurrence::{self, RecurrenceRow};
use trunkline_store::tables::logistics::route::{self, RouteFilter, RouteRow, RouteStatus, StopRow};
use trunkline_store::tables::logistics::task::{
    self, LogisticsTaskFilter, LogisticsTaskKind, LogisticsTaskRow, LogisticsTaskStatus,
};
use trunkline_store::{Commit, CommitError, Statement, Store};
use trunkline_testkit::event::tenant;
use trunkline_testkit::for_each_store;

pub(crate) fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

pub(crate) async fn run(store: &Store, statements: Vec<Statement>) -> Result<(), CommitError> {
    store.commit(Commit::statements(statements)).await.map(drop)
}

fn task(clinic: &str, day: &str) -> LogisticsTaskRow {
    LogisticsTaskRow {
        id: LogisticsTaskId::fresh(),
        tenant: tenant(),
        kind: LogisticsTaskKind::Delivery,
        clinic_id: ClinicId::from_text(clinic),
        day: day.to_owned(),
        status: LogisticsTaskStatus::Pending,
        priority: 1,
        package: "{}".to_owned(),
        n_cases: 1,
        is_collecting: true,
        window: None,
        recurrence_id: None,
        request_key: None,
        driver_id: None,
        route_id: None,
        note: Some("ring twice".to_owned()),
        version: 1,
        created_at: at(1),
        updated_at: at(1),
        closed_at: None,
    }
}

pub(crate) fn clinic(id: &str) -> ClinicRow {
    ClinicRow {
        tenant: tenant(),
        id: ClinicId::from_text(id),
        name: "Smile".to_owned(),
        address: "1 High Street".to_owned(),
        position_e7: Some((525_200_000, -134_050_000)),
        zone: "Europe/Berlin".to_owned(),
        hours: "{}".to_owned(),
        holidays: "[]".to_owned(),
        is_active: true,
        version: 1,
        created_at: at(1),
        updated_at: at(1),
    }
}

fn driver(id: &str) -> DriverRow {
    DriverRow {
        tenant: tenant(),
        id: DriverId::from_text(id),
        name: "Dana".to_owned(),
        phone: None,
        person: Some("dana".to_owned()),
        is_active: true,
        version: 1,
        created_at: at(1),
        updated_at: at(1),
    }
}

fn case_of(case_id: &str, task: &LogisticsTaskRow) -> CaseRow {
    CaseRow {
        tenant: tenant(),
        case_id: case_id.to_owned(),
        task_id: task.id.clone(),
        status: CaseStatus::Ready,
        priority: 0,
        package: "{}".to_owned(),
        created_at: at(1),
        updated_at: at(1),
    }
}

fn invoice(id: &str, case_id: &str) -> InvoiceRow {
    InvoiceRow {
        tenant: tenant(),
        id: InvoiceId::from_text(id),
        case_id: case_id.to_owned(),
        amount_minor: Some(12_500),
        currency: Some("EUR".to_owned()),
        status: InvoiceStatus::Open,
        task_id: None,
        version: 1,
        created_at: at(1),
        updated_at: at(1),
    }
}

fn recurrence() -> RecurrenceRow {
    RecurrenceRow {
        id: RecurrenceId::fresh(),
        tenant: tenant(),
        clinic_id: ClinicId::from_text("a"),
        frequency: "WEEKLY".to_owned(),
        starts_on: "2026-02-01".to_owned(),
        ends_on: None,
        minutes: (540, 600),
        priority: 0,
        package: "{}".to_owned(),
        note: None,
        is_active: true,
        through: None,
        look_at: Some(at(5)),
        skipped: "[]".to_owned(),
        version: 1,
        created_at: at(1),
        updated_at: at(1),
    }
}

pub(crate) fn route_row() -> RouteRow {
    RouteRow {
        id: RouteId::fresh(),
        tenant: tenant(),
        driver_id: DriverId::from_text("dana"),
        day: "2026-02-01".to_owned(),
        status: RouteStatus::Planned,
        version: 1,
        created_at: at(1),
        updated_at: at(1),
        started_at: None,
        ended_at: None,
    }
}

fn update(task: &LogisticsTaskId, invoice: &str) -> InvoiceUpdateRow {
    InvoiceUpdateRow {
        task_id: task.clone(),
        invoice_id: InvoiceId::from_text(invoice),
        tenant: tenant(),
        status: UpdateStatus::Pending,
        n_attempts: 0,
        next_at: Some(at(5)),
        error: None,
        updated_at: at(1),
    }
}

fn billing_row(task: &LogisticsTaskId) -> BillingRow {
    BillingRow {
        task_id: task.clone(),
        tenant: tenant(),
        n_pending: 2,
        n_failed: 0,
        triggered_at: None,
        version: 1,
        created_at: at(1),
        updated_at: at(1),
    }
}

fn proof_row(task: &LogisticsTaskId) -> ProofRow {
    ProofRow {
        task_id: task.clone(),
        tenant: tenant(),
        recipient: Some("Reception".to_owned()),
        signature_hash: Some("aa".to_owned()),
        photo_hash: None,
        geohash: Some("u33dc".to_owned()),
        position_e7: Some((1, -2)),
        note: None,
        taken_at: at(2),
        created_at: at(3),
    }
}

fn blob() -> BlobRow {
    BlobRow {
        tenant: tenant(),
        hash: "aa".to_owned(),
        media_type: "image/png".to_owned(),
        bytes: vec![0, 255, 1].into(),
        created_at: at(1),
    }
}

pub(crate) fn is_refused(result: &Result<(), CommitError>) -> bool {
    matches!(result, Err(CommitError::Guard { .. } | CommitError::Constraint(_)))
}

#[test]
fn one_delivery_collects_for_a_clinic_and_day() {
    for_each_store(async |test| {
        let store = &test.store;
        let mut first = task("a", "2026-02-01");
        run(store, vec![task::logistics_task_insert(&first)]).await.unwrap();
        let second = task("a", "2026-02-01");
        assert!(is_refused(&run(store, vec![task::logistics_task_insert(&second)]).await));
        run(store, vec![task::logistics_task_insert(&task("a", "2026-02-02"))]).await.unwrap();
        let found = task::logistics_task_collecting(store, &tenant(), "a", "2026-02-01").await.unwrap();
        assert_eq!(found.as_ref(), Some(&first));
        let stranger = Tenant::from_stored("clinic-2");
        assert_eq!(task::logistics_task_collecting(store, &stranger, "a", "2026-02-01").await.unwrap(), None);
        assert_eq!(task::logistics_task_get(store, &stranger, first.id.as_str()).await.unwrap(), None);

        (first.is_collecting, first.status, first.version) = (false, LogisticsTaskStatus::UnderWay, 2);
        first.driver_id = Some(DriverId::from_text("dana"));
        run(store, vec![task::logistics_task_update(&first)]).await.unwrap();
        assert!(is_refused(&run(store, vec![task::logistics_task_update(&first)]).await), "by version");
        let read = task::logistics_task_get(store, &tenant(), first.id.as_str()).await.unwrap();
        assert_eq!(read.as_ref(), Some(&first));
        run(store, vec![task::logistics_task_insert(&second)]).await.unwrap();
        let found = task::logistics_task_collecting(store, &tenant(), "a", "2026-02-01").await.unwrap();
        assert_eq!(found.map(|row| row.id), Some(second.id));
    });
}

#[test]
fn a_rule_and_a_request_make_a_task_once() {
    for_each_store(async |test| {
        let store = &test.store;
        let rule = RecurrenceId::fresh();
        let pickup = |day: &str, rule: Option<&RecurrenceId>, key: Option<&str>| LogisticsTaskRow {
            kind: LogisticsTaskKind::Pickup,
            is_collecting: false,
            recurrence_id: rule.cloned(),
            request_key: key.map(str::to_owned),
            window: Some((at(10), at(20))),
            ..task("a", day)
        };
        let made = [pickup("2026-02-01", Some(&rule), None), pickup("2026-02-08", Some(&rule), None)];
        run(store, made.iter().map(task::logistics_task_insert).collect()).await.unwrap();
        let again = pickup("2026-02-08", Some(&rule), None);
        assert!(is_refused(&run(store, vec![task::logistics_task_insert(&again)]).await));
        let asked = pickup("2026-02-08", None, Some("req-7"));
        run(store, vec![task::logistics_task_insert(&asked)]).await.unwrap();
        let again = pickup("2026-02-09", None, Some("req-7"));
        assert!(is_refused(&run(store, vec![task::logistics_task_insert(&again)]).await));
        let found = task::logistics_task_requested(store, &tenant(), "req-7").await.unwrap();
        assert_eq!(found, Some(asked));

        let cancel = task::logistics_task_cancel_recurrence(&tenant(), &rule, "2026-02-02", at(9));
        run(store, vec![cancel]).await.unwrap();
        let listed = task::logistics_task_list_recurrence(store, &rule, "2026-01-01", 10).await.unwrap();
        let shown: Vec<_> = listed.iter().map(|row| (row.day.as_str(), row.status, row.version)).collect();
        assert_eq!(
            shown,
            [
                ("2026-02-01", LogisticsTaskStatus::Pending, 1),
                ("2026-02-08", LogisticsTaskStatus::Cancelled, 2)
            ]
        );
    });
}

#[test]
fn tasks_are_listed_by_what_they_are() {
    for_each_store(async |test| {
        let store = &test.store;
        let mut rows = [task("a", "2026-02-01"), task("b", "2026-02-01"), task("b", "2026-02-02")];
        (rows[1].priority, rows[1].driver_id) = (2, Some(DriverId::from_text("dana")));
        run(store, rows.iter().map(task::logistics_task_insert).collect()).await.unwrap();
        let list = async |filter: LogisticsTaskFilter| -> Vec<usize> {
            let filter = LogisticsTaskFilter { limit: 10, ..filter };
            let listed = task::logistics_task_list(store, &tenant(), &filter).await.unwrap();
            listed.iter().map(|row| rows.iter().position(|known| known.id == row.id).unwrap()).collect()
        };
        let text = |text: &str| Some(text.to_owned());
        let none = LogisticsTaskFilter::default;
        assert_eq!(list(none()).await, [2, 1, 0]);
        assert_eq!(list(LogisticsTaskFilter { clinic_id: text("b"), ..none() }).await, [2, 1]);
        assert_eq!(list(LogisticsTaskFilter { day: text("2026-02-01"), ..none() }).await, [1, 0]);
        assert_eq!(list(LogisticsTaskFilter { driver_id: text("dana"), ..none() }).await, [1]);
        assert_eq!(list(LogisticsTaskFilter { min_priority: Some(2), ..none() }).await, [1]);
        let pickups = LogisticsTaskFilter { kind: Some(LogisticsTaskKind::Pickup), ..none() };
        assert!(list(pickups).await.is_empty());
        let before = Some(rows[1].id.as_str().to_owned());
        assert_eq!(list(LogisticsTaskFilter { before, ..none() }).await, [0]);
    });
}

#[test]
fn clinics_drivers_and_routes_are_kept() {
    for_each_store(async |test| {
        let store = &test.store;
        run(store, vec![clinic::clinic_insert(&clinic("a")), driver::driver_insert(&driver("dana"))])
            .await
            .unwrap();
        assert!(is_refused(&run(store, vec![clinic::clinic_insert(&clinic("a"))]).await));
        assert!(is_refused(&run(store, vec![driver::driver_insert(&driver("dana"))]).await));
        let other = ClinicRow { tenant: Tenant::from_stored("clinic-2"), ..clinic("a") };
        run(store, vec![clinic::clinic_insert(&other)]).await.unwrap();

        let changed = ClinicRow { position_e7: None, is_active: false, version: 2, ..clinic("a") };
        let named = DriverRow { phone: Some("1".to_owned()), version: 2, ..driver("dana") };
        run(store, vec![clinic::clinic_update(&changed), driver::driver_update(&named)]).await.unwrap();
        assert!(is_refused(&run(store, vec![clinic::clinic_update(&changed)]).await));
        assert_eq!(clinic::clinic_get(store, &tenant(), "a").await.unwrap(), Some(changed.clone()));
        assert_eq!(clinic::clinic_list(store, &tenant(), Some(true), None, 9).await.unwrap(), []);
        assert_eq!(clinic::clinic_list(store, &tenant(), None, None, 9).await.unwrap(), [changed]);
        assert_eq!(driver::driver_list(store, &tenant(), None, Some("a"), 9).await.unwrap(), [named]);

        let mut route = route_row();
        let stop = |number| StopRow {
            route_id: route.id.clone(),
            number,
            task_id: LogisticsTaskId::fresh(),
            clinic_id: ClinicId::from_text("a"),
            arrived_at: None,
            departed_at: None,
        };
        let stops = [stop(1), stop(2)];
        let mut statements = vec![route::route_insert(&route)];
        statements.extend(stops.iter().map(route::stop_insert));
        run(store, statements).await.unwrap();
        (route.status, route.version) = (RouteStatus::UnderWay, 2);
        let came = StopRow { arrived_at: Some(at(7)), ..stops[0].clone() };
        let left = StopRow { arrived_at: Some(at(8)), departed_at: Some(at(9)), ..stops[0].clone() };
        run(store, vec![route::route_update(&route), route::stop_note(&came), route::stop_note(&left)])
            .await
            .unwrap();
        assert_eq!(route::route_get(store, &tenant(), route.id.as_str()).await.unwrap(), Some(route.clone()));
        let listed = route::stop_list(store, &route.id).await.unwrap();
        assert_eq!(listed, [StopRow { departed_at: Some(at(9)), ..came }, stops[1].clone()]);
        let filter = RouteFilter { driver_id: Some("dana".to_owned()), limit: 5, ..RouteFilter::default() };
        assert_eq!(route::route_list(store, &tenant(), &filter).await.unwrap(), [route]);
    });
}

#[test]
fn deliveries_settle_invoices_one_by_one() {
    for_each_store(async |test| {
        let store = &test.store;
        let delivery = task("a", "2026-02-01");
        let mut statements = vec![task::logistics_task_insert(&delivery)];
        statements.extend(["c1", "c2"].map(|id| case::case_insert(&case_of(id, &delivery))));
        let paid = InvoiceRow { status: InvoiceStatus::Paid, ..invoice("i3", "c2") };
        for row in [invoice("i1", "c1"), invoice("i2", "c1"), paid, invoice("i4", "other")] {
            statements.push(invoice::invoice_insert(&row));
        }
        run(store, statements).await.unwrap();
        assert!(is_refused(&run(store, vec![case::case_insert(&case_of("c1", &delivery))]).await));
        let mut open = invoice::invoice_list_open_of(store, &delivery.id, 10).await.unwrap();
        open.sort_by(|a, b| a.id.cmp(&b.id));
        assert_eq!(open, [invoice("i1", "c1"), invoice("i2", "c1")]);

        let items = [update(&delivery.id, "i1"), update(&delivery.id, "i2")];
        let mut statements: Vec<_> = items.iter().map(billing::invoice_update_insert).collect();
        statements.push(billing::billing_insert(&billing_row(&delivery.id)));
        statements.push(case::case_deliver_all(&delivery.id, at(4)));
        statements.push(proof::proof_insert(&proof_row(&delivery.id)));
        statements.extend([proof::blob_put(&blob()), proof::blob_put(&blob())]);
        run(store, statements).await.unwrap();
        assert!(is_refused(&run(store, vec![proof::proof_insert(&proof_row(&delivery.id))]).await));
        assert_eq!(proof::proof_get(store, &delivery.id).await.unwrap(), Some(proof_row(&delivery.id)));
        assert_eq!(proof::blob_get(store, &tenant(), "aa").await.unwrap(), Some(blob()));
        assert_eq!(proof::blob_get(store, &Tenant::from_stored("clinic-2"), "aa").await.unwrap(), None);
        let case = case::case_get(store, &tenant(), "c1").await.unwrap().unwrap();
        assert_eq!((case.status, case.updated_at), (CaseStatus::Delivered, at(4)));

        assert!(billing::invoice_update_list_due(store, at(4), 9).await.unwrap().is_empty());
        assert_eq!(billing::invoice_update_list_due(store, at(5), 9).await.unwrap(), items);
        let second = InvoiceId::from_text("i2");
        let found = billing::invoice_update_get(store, &delivery.id, &second).await.unwrap();
        assert_eq!(found.as_ref(), Some(&items[1]));
        let done =
            InvoiceUpdateRow { status: UpdateStatus::Done, n_attempts: 1, next_at: None, ..items[0].clone() };
        let moved = InvoiceRow {
            status: InvoiceStatus::Delivered,
            task_id: Some(delivery.id.clone()),
            version: 2,
            ..invoice("i1", "c1")
        };
        let standing = BillingRow { n_pending: 1, version: 2, ..billing_row(&delivery.id) };
        let settle = || {
            vec![
                billing::invoice_update_move(&done, &items[0]),
                invoice::invoice_update(&moved),
                billing::billing_update(&standing),
            ]
        };
        run(store, settle()).await.unwrap();
        assert!(is_refused(&run(store, settle()).await));
        assert_eq!(billing::billing_get(store, &delivery.id).await.unwrap(), Some(standing.clone()));
        assert_eq!(billing::invoice_update_list_due(store, at(9), 9).await.unwrap(), [items[1].clone()]);
        assert_eq!(billing::invoice_update_list_of(store, &tenant(), "i1", 9).await.unwrap(), [done]);
        let filter = InvoiceFilter { case_id: Some("c1".to_owned()), limit: 9, ..InvoiceFilter::default() };
        let listed = invoice::invoice_list(store, &tenant(), &filter).await.unwrap();
        assert_eq!(listed, [moved, invoice("i2", "c1")]);
    });
}

#[test]
fn rules_are_looked_at_when_they_are_due() {
    for_each_store(async |test| {
        let store = &test.store;
        let mut row = recurrence();
        run(store, vec![recurrence::recurrence_insert(&row)]).await.unwrap();
        assert!(recurrence::recurrence_list_due(store, at(4), 9).await.unwrap().is_empty());
        assert_eq!(recurrence::recurrence_list_due(store, at(5), 9).await.unwrap(), [row.clone()]);
        (row.through, row.look_at, row.version) = (Some("2026-05-01".to_owned()), None, 2);
        run(store, vec![recurrence::recurrence_update(&row)]).await.unwrap();
        assert!(is_refused(&run(store, vec![recurrence::recurrence_update(&row)]).await));
        assert!(recurrence::recurrence_list_due(store, at(99), 9).await.unwrap().is_empty());
        let id = row.id.as_str().to_owned();
        assert_eq!(recurrence::recurrence_get(store, &tenant(), &id).await.unwrap(), Some(row.clone()));
        let listed = recurrence::recurrence_list(store, &tenant(), Some("a"), None, 9).await.unwrap();
        assert_eq!(listed, [row]);
    });
}

/// Every query, for the plans.
pub(crate) async fn ask(store: &Store) {
    let limit = 10;
    let text = || Some("a".to_owned());
    let (task_id, rule, route_id) = (LogisticsTaskId::fresh(), RecurrenceId::fresh(), RouteId::fresh());
    clinic::clinic_get(store, &tenant(), "a").await.unwrap();
    driver::driver_get(store, &tenant(), "a").await.unwrap();
    for after in [None, Some("a")] {
        clinic::clinic_list(store, &tenant(), Some(true), after, limit).await.unwrap();
        driver::driver_list(store, &tenant(), None, after, limit).await.unwrap();
        recurrence::recurrence_list(store, &tenant(), after, after, limit).await.unwrap();
    }
    let none = || LogisticsTaskFilter { limit, ..LogisticsTaskFilter::default() };
    for filter in [
        none(),
        LogisticsTaskFilter { before: text(), min_priority: Some(1), ..none() },
        LogisticsTaskFilter { status: Some(LogisticsTaskStatus::Pending), before: text(), ..none() },
        LogisticsTaskFilter { clinic_id: text(), kind: Some(LogisticsTaskKind::Pickup), ..none() },
        LogisticsTaskFilter { day: text(), before: text(), ..none() },
        LogisticsTaskFilter { driver_id: text(), before: text(), ..none() },
        LogisticsTaskFilter {
            clinic_id: text(),
            day: text(),
            driver_id: text(),
            status: Some(LogisticsTaskStatus::Pending),
            before: text(),
            ..none()
        },
    ] {
        task::logistics_task_list(store, &tenant(), &filter).await.unwrap();
    }
    task::logistics_task_get(store, &tenant(), "a").await.unwrap();
    task::logistics_task_collecting(store, &tenant(), "a", "b").await.unwrap();
    task::logistics_task_requested(store, &tenant(), "a").await.unwrap();
    task::logistics_task_list_recurrence(store, &rule, "a", limit).await.unwrap();
    case::case_get(store, &tenant(), "a").await.unwrap();
    case::case_list(store, &task_id, limit).await.unwrap();
    recurrence::recurrence_get(store, &tenant(), "a").await.unwrap();
    recurrence::recurrence_list_due(store, at(1), limit).await.unwrap();
    route::route_get(store, &tenant(), "a").await.unwrap();
    route::stop_list(store, &route_id).await.unwrap();
    let none = || RouteFilter { limit, ..RouteFilter::default() };
    for filter in [
        none(),
        RouteFilter { driver_id: text(), before: text(), ..none() },
        RouteFilter { day: text(), status: Some(RouteStatus::Planned), ..none() },
    ] {
        route::route_list(store, &tenant(), &filter).await.unwrap();
    }
    proof::proof_get(store, &task_id).await.unwrap();
    proof::blob_get(store, &tenant(), "a").await.unwrap();
    invoice::invoice_get(store, &tenant(), "a").await.unwrap();
    invoice::invoice_list_open_of(store, &task_id, limit).await.unwrap();
    let none = || InvoiceFilter { limit, ..InvoiceFilter::default() };
    for filter in [
        none(),
        InvoiceFilter { case_id: text(), after: text(), ..none() },
        InvoiceFilter { status: Some(InvoiceStatus::Open), after: text(), ..none() },
    ] {
        invoice::invoice_list(store, &tenant(), &filter).await.unwrap();
    }
    billing::invoice_update_get(store, &task_id, &InvoiceId::from_text("a")).await.unwrap();
    billing::invoice_update_list(store, &task_id, limit).await.unwrap();
    billing::invoice_update_list_of(store, &tenant(), "a", limit).await.unwrap();
    billing::invoice_update_list_due(store, at(1), limit).await.unwrap();
    billing::billing_get(store, &task_id).await.unwrap();
}

/// Every change, for the plans.
pub(crate) fn changes() -> Vec<Statement> {
    let (row, rule, route) = (task("a", "b"), recurrence(), route_row());
    let stop = StopRow {
        route_id: route.id.clone(),
        number: 1,
        task_id: row.id.clone(),
        clinic_id: row.clinic_id.clone(),
        arrived_at: None,
        departed_at: None,
    };
    let item = update(&row.id, "a");
    vec![
        clinic::clinic_update(&clinic("a")),
        driver::driver_update(&driver("a")),
        task::logistics_task_update(&row),
        task::logistics_task_cancel_recurrence(&tenant(), &rule.id, "a", at(1)),
        case::case_update(&case_of("a", &row), &row.id),
        case::case_deliver_all(&row.id, at(1)),
        case::case_release_all(&row.id),
        recurrence::recurrence_update(&rule),
        route::route_update(&route),
        route::stop_note(&stop),
        invoice::invoice_update(&invoice("a", "b")),
        billing::invoice_update_move(&item, &item),
        billing::billing_update(&billing_row(&row.id)),
        proof::blob_put(&blob()),
    ]
}
