//! What only a file can do: be in use, be damaged, be full.

use trunkline_store::tables::event;
use trunkline_store::{Commit, CommitError, OpenError, Store, StoreOptions};
use trunkline_testkit::TestStore;
use trunkline_testkit::event::{new_event, tenant};

use crate::{append, append_some, assert_gapless, read_all};

fn sized(subject: &str, n_bytes: usize) -> trunkline_store::NewEvent {
    let mut new = new_event("test.made", subject, 0);
    new.event.data = trunkline_model::Data::Binary(vec![7; n_bytes].into());
    new
}

#[tokio::test]
async fn a_file_in_use_is_refused() {
    let test = TestStore::sqlite().await;
    let second = Store::open(test.options()).await;
    assert!(matches!(second, Err(OpenError::InUse { .. })), "{second:?}");
    test.store.close().await;
    Store::open(test.options()).await.unwrap().close().await;
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let test = TestStore::sqlite().await;
    append_some(&test.store, 1).await;
    test.store.close().await;
    let path = test.folder().unwrap().join("trunkline.db");
    let file = rusqlite::Connection::open(&path).unwrap();
    file.execute("INSERT INTO schema_migrations VALUES (9999, 'later', 0)", []).unwrap();
    drop(file);
    let opened = Store::open(test.options()).await;
    assert!(matches!(opened, Err(OpenError::Newer { found: 9999, .. })), "{opened:?}");
}

#[tokio::test]
async fn pending_migrations_are_left_alone_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("t.db").display());
    let opened = Store::open(StoreOptions { migrate: false, ..StoreOptions::new(url.clone()) }).await;
    assert!(matches!(opened, Err(OpenError::Migration { version: 1, .. })), "{opened:?}");
    Store::open(StoreOptions::new(url)).await.unwrap().close().await;
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    let options = StoreOptions::new(format!("sqlite://{}", path.display()));
    std::fs::write(&path, b"this is a text file, however long it may be. ".repeat(500)).unwrap();
    let opened = Store::open(options.clone()).await;
    assert!(matches!(opened, Err(OpenError::Corrupt { .. })), "{opened:?}");
    // A true database whose first page was overwritten behind the header.
    std::fs::remove_file(&path).unwrap();
    let store = Store::open(options.clone()).await.unwrap();
    append_some(&store, 10).await;
    store.close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100..4_000].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    let opened = Store::open(options).await;
    assert!(matches!(opened, Err(OpenError::Corrupt { .. })), "{opened:?}");
}

#[tokio::test]
async fn a_folder_in_the_way_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let opened = Store::open(StoreOptions::new(format!("sqlite://{}", folder.path().display()))).await;
    assert!(matches!(opened, Err(OpenError::File { .. })), "{opened:?}");
    let opened = Store::open(StoreOptions::new("mysql://localhost")).await;
    assert!(matches!(opened, Err(OpenError::Url)), "{opened:?}");
}

#[tokio::test]
async fn a_full_store_says_so_and_recovers() {
    let test = TestStore::sqlite_with(|options| options.max_bytes = Some(2 << 20)).await;
    let mut n_taken: usize = 0;
    let error = loop {
        match test.store.commit(Commit::append(vec![sized(&format!("s{n_taken}"), 20_000)])).await {
            Ok(_) => n_taken += 1,
            Err(error) => break error,
        }
        assert!(n_taken < 1_000, "the ceiling is not kept");
    };
    assert!(matches!(error, CommitError::Full) && error.is_transient(), "{error:?}");
    assert_eq!(read_all(&test.store).await.len(), n_taken);
    let oldest = event::event_list_oldest(&test.store, &tenant(), 20).await.unwrap();
    let deletes = oldest.iter().map(|stub| event::event_delete(stub.place.shard, stub.place.seq));
    test.store.commit(Commit::statements(deletes.collect())).await.unwrap();
    let place = append(&test.store, sized("after", 20_000)).await;
    assert_eq!(place.seq, n_taken as i64 + 1);
    test.store.close().await;
}

#[tokio::test]
async fn a_full_group_takes_nobody_down() {
    let test = TestStore::sqlite_with(|options| options.max_bytes = Some(2 << 20)).await;
    let mut tasks = Vec::new();
    for index in 0..200 {
        let store = test.store.clone();
        let commit = Commit::append(vec![sized(&format!("s{index}"), 20_000)]);
        tasks.push(tokio::spawn(async move { store.commit(commit).await }));
    }
    let mut n_taken = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => n_taken += 1,
            Err(error) => assert!(matches!(error, CommitError::Full), "{error:?}"),
        }
    }
    assert_eq!(read_all(&test.store).await.len(), n_taken);
    assert_gapless(&test.store).await;
    test.store.close().await;
}

#[tokio::test]
async fn a_full_queue_is_refused() {
    let test = TestStore::sqlite_with(|options| options.queue_limit = 0).await;
    let refused = test.store.commit(Commit::append(vec![new_event("a.b", "c", 0)])).await;
    assert!(matches!(refused, Err(CommitError::Busy)), "{refused:?}");
    test.store.close().await;
}
