//! Records of collections, and where documents are.

use trunkline_model::{Timestamp, WorkflowId};
use trunkline_store::tables::document::{self, DocumentRow, Holder};
use trunkline_store::tables::stored_record::{self, StoredRecord};
use trunkline_store::{Commit, CommitError};
use trunkline_testkit::event::tenant;
use trunkline_testkit::for_each_store;

fn record(id: &str, version: i64) -> StoredRecord {
    StoredRecord {
        tenant: tenant(),
        collection: "patients".to_owned(),
        id: id.to_owned(),
        data: format!("{{\"n\":{version}}}"),
        version,
        updated_at: Timestamp::from_secs(version),
    }
}

#[test]
fn a_record_is_written_over_the_version_that_was_read() {
    for_each_store(async |home| {
        let store = &home.store;
        let put = async |record: &StoredRecord| {
            store.commit(Commit::statements(vec![stored_record::stored_record_put(record)])).await
        };
        put(&record("a", 1)).await.unwrap();
        assert!(matches!(put(&record("a", 1)).await, Err(CommitError::Guard { .. })));
        assert!(matches!(put(&record("a", 3)).await, Err(CommitError::Guard { .. })));
        put(&record("a", 2)).await.unwrap();
        put(&record("b", 1)).await.unwrap();
        let found = stored_record::stored_record_get(store, &tenant(), "patients", "a").await.unwrap();
        assert_eq!(found, Some(record("a", 2)));
        let list = async |after: Option<&str>| {
            stored_record::stored_record_list(store, &tenant(), "patients", after, 10).await.unwrap()
        };
        assert_eq!(list(None).await, [record("a", 2), record("b", 1)]);
        assert_eq!(list(Some("a")).await, [record("b", 1)]);
        let delete = async |record: &StoredRecord| {
            store.commit(Commit::statements(vec![stored_record::stored_record_delete(record)])).await
        };
        assert!(matches!(delete(&record("a", 1)).await, Err(CommitError::Guard { .. })));
        delete(&record("a", 2)).await.unwrap();
        assert_eq!(list(None).await, [record("b", 1)]);
    });
}

#[test]
fn a_document_is_at_one_holder_and_its_history_is_kept() {
    for_each_store(async |home| {
        let store = &home.store;
        let at = |holder: Holder, holder_id: &str, secs: i64| DocumentRow {
            tenant: tenant(),
            id: "doc-1".to_owned(),
            status: "in_review".to_owned(),
            holder,
            holder_id: holder_id.to_owned(),
            note: (secs > 1).then(|| "urgent".to_owned()),
            instance_id: WorkflowId::from_text("wf_1"),
            at: Timestamp::from_secs(secs),
        };
        let (first, second) = (at(Holder::Group, "doctors", 2), at(Holder::User, "ann", 2));
        // At the same time, and the keys say nothing about the order.
        for (row, key) in [(&first, "k2"), (&second, "k1")] {
            store.commit(Commit::statements(document::document_route(row, key).into())).await.unwrap();
        }
        let found = document::document_get(store, &tenant(), "doc-1").await.unwrap();
        assert_eq!(found.as_ref(), Some(&second));
        let history = document::document_history(store, &tenant(), "doc-1", 10).await.unwrap();
        assert_eq!(history, [first, second.clone()]);
        let held = async |holder| document::document_list(store, &tenant(), holder, None, 10).await.unwrap();
        assert_eq!(held(Some((Holder::User, "ann"))).await, [second]);
        assert_eq!(held(Some((Holder::Group, "doctors"))).await, []);
        assert_eq!(held(None).await.len(), 1);
    });
}
