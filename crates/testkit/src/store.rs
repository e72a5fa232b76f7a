//! One store for one test, on either database.

use tempfile::TempDir;
use trunkline_store::{Dialect, Store, StoreOptions};

use crate::TestDatabase;

/// An open store with whatever it lives in.
#[derive(Debug)]
pub struct TestStore {
    /// The store.
    pub store: Store,
    options: StoreOptions,
    home: Home,
}

#[derive(Debug)]
enum Home {
    Folder(TempDir),
    Database(TestDatabase),
}

impl TestStore {
    /// Opens a SQLite store in a temporary folder.
    pub async fn sqlite() -> Self {
        Self::sqlite_with(|_| {}).await
    }

    /// The same with other options.
    pub async fn sqlite_with(change: impl FnOnce(&mut StoreOptions)) -> Self {
        let folder = TempDir::new().expect("invariant: temporary folders can be made");
        let path = folder.path().join("trunkline.db");
        let mut options = StoreOptions::new(format!("sqlite://{}", path.display()));
        change(&mut options);
        Self::open(options, Home::Folder(folder)).await
    }

    /// Opens a store on a fresh PostgreSQL database; `None` when no server answers and none is required.
    pub async fn postgres() -> Option<Self> {
        let database = TestDatabase::create().await?;
        Some(Self::open(StoreOptions::new(database.url()), Home::Database(database)).await)
    }

    async fn open(options: StoreOptions, home: Home) -> Self {
        let store = Store::open(options.clone()).await.expect("invariant: a fresh store opens");
        Self { store, options, home }
    }

    /// How the store was opened; open another one with it, as a second hub would.
    pub fn options(&self) -> StoreOptions {
        self.options.clone()
    }

    /// Closes the store and opens it again.
    pub async fn reopen(&mut self) {
        self.store.close().await;
        self.store = Store::open(self.options()).await.expect("invariant: a closed store opens again");
    }

    /// Everything that is kept, for tests that look for what must not be: the rows of every table, or the files with
    /// whatever is left of former rows. Not-text bytes are replaced.
    pub async fn contents(&self) -> String {
        match &self.home {
            Home::Database(database) => database.contents().await,
            Home::Folder(folder) => {
                let files = std::fs::read_dir(folder.path()).expect("invariant: the folder is there");
                let files = files.filter_map(|file| std::fs::read(file.ok()?.path()).ok());
                files.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
            }
        }
    }

    /// The PostgreSQL database below.
    pub fn database(&self) -> Option<&TestDatabase> {
        match &self.home {
            Home::Database(database) => Some(database),
            Home::Folder(_) => None,
        }
    }

    /// The folder of a SQLite store.
    pub fn folder(&self) -> Option<&std::path::Path> {
        match &self.home {
            Home::Folder(folder) => Some(folder.path()),
            Home::Database(_) => None,
        }
    }
}

/// Runs one test body on a SQLite store and then on a PostgreSQL one, each on a runtime of its own.
///
/// A panic says on the error output which database it was by the line printed before it.
#[allow(clippy::needless_pass_by_value)] // reads better at the call: `for_each_store(async |store| …)`
pub fn for_each_store(test: impl AsyncFn(&mut TestStore)) {
    for dialect in [Dialect::Sqlite, Dialect::Postgres] {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("invariant: a runtime can be made");
        runtime.block_on(async {
            let store = match dialect {
                Dialect::Sqlite => Some(TestStore::sqlite().await),
                Dialect::Postgres => TestStore::postgres().await,
            };
            if let Some(mut store) = store {
                let _named = OnPanic(dialect);
                test(&mut store).await;
                store.store.close().await;
            }
        });
    }
}

/// Says on which database a test failed.
struct OnPanic(Dialect);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            use std::io::Write as _;
            drop(writeln!(std::io::stderr(), "the test failed on {:?}", self.0));
        }
    }
}
