//! Completed deliveries and their invoices.

use std::collections::BTreeMap;
use std::sync::Mutex;

use trunkline_model::{InvoiceId, Timestamp};
use trunkline_store::Store;
use trunkline_store::tables::logistics::billing::billing_get;
use trunkline_store::tables::logistics::invoice::{InvoiceStatus, invoice_get};
use trunkline_store::tables::logistics::proof::{blob_get, proof_get};
use trunkline_testkit::event::tenant;
use trunkline_testkit::for_each_store;

use super::super::OperationError;
use super::super::billing::{
    MAX_ATTEMPTS, NewInvoice, invoice_add, invoice_retry, settle_delivery, settle_due,
};
use super::super::case_ready::case_ready;
use super::super::complete::{Picture, Proof, task_complete};
use super::{Cause, cause, event_types, events, now, populate, ready};
use crate::ledger::{InvoiceDelivered, Ledger, LedgerError, LedgerFuture, OwnLedger};
use crate::{Position, Priority};

/// Answers what it is told to, and notes who asked.
#[derive(Default)]
struct Books {
    answers: Mutex<BTreeMap<String, LedgerError>>,
    asked: Mutex<Vec<String>>,
}

impl Books {
    fn fail(&self, invoice: &str, error: LedgerError) {
        self.answers.lock().unwrap().insert(invoice.to_owned(), error);
    }

    fn asked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.sort();
        asked
    }
}

impl Ledger for Books {
    fn note_delivered<'a>(&'a self, change: &'a InvoiceDelivered) -> LedgerFuture<'a> {
        let invoice = change.invoice_id.as_str();
        assert_eq!(change.key, format!("{}/{invoice}", change.task_id));
        self.asked.lock().unwrap().push(invoice.to_owned());
        let answer = self.answers.lock().unwrap().get(invoice).cloned();
        Box::pin(std::future::ready(answer.map_or(Ok(()), Err)))
    }
}

async fn add(store: &Store, id: &str, case_id: &str) {
    let new = NewInvoice {
        id: InvoiceId::from_text(id),
        case_id: case_id.to_owned(),
        amount_minor: Some(12_500),
        currency: Some("EUR".to_owned()),
    };
    invoice_add(store, &cause(), &new).await.unwrap();
}

async fn status(store: &Store, id: &str) -> InvoiceStatus {
    invoice_get(store, &tenant(), id).await.unwrap().unwrap().status
}

/// A delivery of two cases with three invoices; gives its id.
async fn delivery(store: &Store) -> trunkline_model::LogisticsTaskId {
    populate(store).await;
    let made = case_ready(store, &cause(), &ready("c1", "a", Priority::Standard)).await.unwrap();
    case_ready(store, &cause(), &ready("c2", "a", Priority::Standard)).await.unwrap();
    for (id, case_id) in [("i1", "c1"), ("i2", "c1"), ("i3", "c2"), ("other", "c9")] {
        add(store, id, case_id).await;
    }
    made.task_id
}

fn proof() -> Proof {
    let picture = |text: &'static str| Picture { media_type: "image/png".to_owned(), bytes: text.into() };
    Proof {
        recipient: Some("Reception".to_owned()),
        signature: Some(picture("signature")),
        photo: Some(picture("photo")),
        position: Some(Position::from_degrees(52.52, 13.405).unwrap()),
        note: Some("left at the desk".to_owned()),
        taken_at: None,
    }
}

#[test]
fn a_delivery_settles_every_invoice_and_triggers_billing() {
    for_each_store(async |test| {
        let store = &test.store;
        let id = delivery(store).await;
        let done = task_complete(store, &cause(), id.as_str(), &proof(), None).await.unwrap();
        assert_eq!((done.is_repeat, done.n_invoices), (false, 3));
        let again = task_complete(store, &cause(), id.as_str(), &Proof::default(), None).await.unwrap();
        assert_eq!((again.is_repeat, again.n_invoices), (true, 0));
        assert_eq!(status(store, "i1").await, InvoiceStatus::Open);
        let kept = proof_get(store, &id).await.unwrap().unwrap();
        assert_eq!(kept.geohash.as_deref(), Some("u33dc0cpp"));
        let photo = blob_get(store, &tenant(), kept.photo_hash.as_deref().unwrap()).await.unwrap().unwrap();
        assert_eq!((&*photo.bytes, photo.media_type.as_str()), (b"photo".as_slice(), "image/png"));

        assert_eq!(settle_delivery(store, &OwnLedger, &id, now()).await.unwrap(), 3);
        for invoice in ["i1", "i2", "i3"] {
            assert_eq!(status(store, invoice).await, InvoiceStatus::Delivered, "{invoice}");
        }
        assert_eq!(status(store, "other").await, InvoiceStatus::Open);
        let all = events(store).await;
        let of = |event_type: &str| -> Vec<_> {
            all.iter().filter(|(known, _)| known == event_type).map(|(_, data)| data).collect()
        };
        assert_eq!(of("invoice.delivered").len(), 3);
        let completed = of("delivery_task.completed");
        assert_eq!(completed[0]["case_ids"], serde_json::json!(["c1", "c2"]));
        assert_eq!(completed[0]["invoice_ids"], serde_json::json!(["i1", "i2", "i3"]));
        assert!(!completed[0].to_string().contains("Reception"), "no names in events");
        let billing = of("billing.triggered");
        assert_eq!((billing.len(), &billing[0]["invoice_ids"]), (1, &serde_json::json!(["i1", "i2", "i3"])));
        assert_eq!(settle_due(store, &OwnLedger, now(), 10).await.unwrap(), 0);
    });
}

#[test]
fn what_fails_is_tried_again_alone() {
    for_each_store(async |test| {
        let store = &test.store;
        let books = Books::default();
        let id = delivery(store).await;
        task_complete(store, &cause(), id.as_str(), &Proof::default(), None).await.unwrap();
        books.fail("i2", LedgerError::Later("no answer".to_owned()));
        settle_due(store, &books, now(), 10).await.unwrap();
        assert_eq!(books.asked(), ["i1", "i2", "i3"]);
        assert_eq!(status(store, "i1").await, InvoiceStatus::Delivered, "the rest stands");
        assert_eq!(status(store, "i2").await, InvoiceStatus::Open);
        let billing = billing_get(store, &id).await.unwrap().unwrap();
        assert_eq!((billing.n_pending, billing.n_failed, billing.triggered_at), (1, 0, None));

        assert_eq!(settle_due(store, &books, now(), 10).await.unwrap(), 0, "it waits");
        let at = |seconds: u64| now().plus(std::time::Duration::from_secs(seconds));
        settle_due(store, &books, at(5), 10).await.unwrap();
        assert_eq!(books.asked(), ["i2"], "it alone");
        books.answers.lock().unwrap().clear();
        assert_eq!(settle_due(store, &books, at(14), 10).await.unwrap(), 0, "the wait has doubled");
        settle_due(store, &books, at(15), 10).await.unwrap();
        assert_eq!(status(store, "i2").await, InvoiceStatus::Delivered);
        let types = event_types(store).await;
        assert_eq!(types.iter().filter(|text| *text == "billing.triggered").count(), 1);
    });
}

#[test]
fn what_is_given_up_does_not_hold_the_others_and_can_be_retried() {
    for_each_store(async |test| {
        let store = &test.store;
        let books = Books::default();
        let id = delivery(store).await;
        task_complete(store, &cause(), id.as_str(), &Proof::default(), None).await.unwrap();
        books.fail("i1", LedgerError::Refused("no such customer".to_owned()));
        books.fail("i3", LedgerError::Later("no answer".to_owned()));
        let mut time = now();
        for _ in 0..MAX_ATTEMPTS {
            settle_due(store, &books, time, 10).await.unwrap();
            time = time.plus(std::time::Duration::from_mins(10));
        }
        assert_eq!(books.asked().iter().filter(|id| *id == "i3").count() as i64, MAX_ATTEMPTS);
        let all = events(store).await;
        let (last, data) = all.last().unwrap();
        assert_eq!(last, "billing.triggered");
        assert_eq!(data["invoice_ids"], serde_json::json!(["i2"]));
        assert_eq!(data["failed_invoice_ids"], serde_json::json!(["i1", "i3"]));

        let later = |time: Timestamp| Cause::call(tenant(), time);
        let nothing = invoice_retry(store, &later(time), "i2").await;
        assert!(matches!(nothing, Err(OperationError::State(_))));
        books.answers.lock().unwrap().clear();
        assert_eq!(invoice_retry(store, &later(time), "i1").await.unwrap(), 1);
        settle_due(store, &books, time, 10).await.unwrap();
        assert_eq!(status(store, "i1").await, InvoiceStatus::Delivered);
        let all = events(store).await;
        assert_eq!(all.last().unwrap().1["is_repeat"], true);
        assert_eq!(all.last().unwrap().1["invoice_ids"], serde_json::json!(["i1", "i2"]));

        // An invoice that comes after the delivery is settled too.
        add(store, "late", "c2").await;
        settle_due(store, &books, now(), 10).await.unwrap();
        assert_eq!(status(store, "late").await, InvoiceStatus::Delivered);
    });
}

#[test]
fn two_hubs_that_settle_at_once_settle_once() {
    for_each_store(async |test| {
        let store = &test.store;
        let id = delivery(store).await;
        task_complete(store, &cause(), id.as_str(), &Proof::default(), None).await.unwrap();
        let mut hubs = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let store = store.clone();
            hubs.spawn(async move { settle_due(&store, &OwnLedger, now(), 10).await.unwrap() });
        }
        hubs.join_all().await;
        let types = event_types(store).await;
        let count = |event_type: &str| types.iter().filter(|text| *text == event_type).count();
        assert_eq!((count("invoice.delivered"), count("billing.triggered")), (3, 1));
        let billing = billing_get(store, &id).await.unwrap().unwrap();
        assert_eq!((billing.n_pending, billing.n_failed), (0, 0));
    });
}

#[test]
fn a_delivery_without_invoices_is_billed_all_the_same() {
    for_each_store(async |test| {
        let store = &test.store;
        populate(store).await;
        let made = case_ready(store, &cause(), &ready("c1", "a", Priority::Standard)).await.unwrap();
        let bad = Proof {
            signature: Some(Picture { media_type: "text/html".to_owned(), bytes: "".into() }),
            recipient: Some("x".repeat(300)),
            ..Proof::default()
        };
        let refused = task_complete(store, &cause(), made.task_id.as_str(), &bad, None).await;
        let Err(OperationError::Invalid(faults)) = refused else { panic!() };
        let pointers: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, ["/signature/data", "/signature/media_type", "/recipient"]);
        task_complete(store, &cause(), made.task_id.as_str(), &Proof::default(), None).await.unwrap();
        assert_eq!(event_types(store).await[1..], ["delivery_task.completed", "billing.triggered"]);
    });
}
