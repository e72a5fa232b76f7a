//! One test on each store.

/// Makes of each `async fn name(site: Site)` a test on SQLite and one on PostgreSQL, which is left out where there is no
/// server and none is required.
macro_rules! on_each_store {
    ($($test:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(crate::hub::Site::sqlite()).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let Some(site) = crate::hub::Site::postgres().await else { return };
                super::$test(site).await;
            })+
        }
    };
}

pub(crate) use on_each_store;
