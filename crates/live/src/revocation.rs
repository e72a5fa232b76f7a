//! Ends the connections of tokens that were revoked, on whichever hub, within about a second.
//!
//! One query for all connections: the tokens revoked lately, by an index. How late another hub's clock may be is allowed for by
//! looking back further than necessary.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use trunkline_store::tables::token::token_list_revoked;

use crate::ending::Ending;
use crate::fanout::Fanout;

const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_BACK: Duration = Duration::from_mins(2);

/// Looks while somebody is connected, until stopped.
pub(crate) async fn watch(fanout: Arc<Fanout>, stop: CancellationToken) {
    let work = async {
        loop {
            fanout.wait_for_somebody().await;
            tokio::time::sleep(LOOK_EVERY).await;
            let journal = fanout.journal();
            match token_list_revoked(journal.store(), journal.now().minus(LOOK_BACK)).await {
                Ok(ids) if ids.is_empty() => {}
                Ok(ids) => {
                    let ids: HashSet<_> = ids.iter().map(|id| id.as_str().to_owned()).collect();
                    fanout.end_those(|token_id| ids.contains(token_id), Ending::Revoked);
                }
                // The reader meets the same fault and tells of it.
                Err(error) => tracing::debug!(error = ?error, "revoked tokens cannot be read"),
            }
        }
    };
    stop.run_until_cancelled(work).await;
}
