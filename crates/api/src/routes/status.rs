//! `/api/v1/status`: how the hub stands, for operators and the console.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use trunkline_store::Dialect;
use trunkline_store::tables::consumer::cursor_list;
use trunkline_store::tables::event::head_list;
use trunkline_store::tables::lease::lease_list;
use trunkline_store::tables::usage::usage_list;
use utoipa::ToSchema;

use super::answers::json;
use crate::auth::{Permit, grants};
use crate::openapi::{Answer, Operation};
use crate::problem::Problem;
use crate::state::ApiState;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/api/v1/status", "getStatus", get)
            .about("hub", "Tells how the hub stands")
            .permit::<grants::StatusRead>()
            .answer(Answer::json::<Status>(200, "The state of this node and of the journal.")),
    ]
}

/// The state of the node that answers, and of the journal.
#[derive(Debug, Serialize, ToSchema)]
struct Status {
    node_id: String,
    version: String,
    /// `sqlite` or `postgres`.
    store: String,
    /// Whether the hub is stopping.
    draining: bool,
    #[schema(format = DateTime)]
    now: String,
    #[schema(minimum = 1)]
    n_shards: i64,
    /// The shards that this node works on.
    shards_owned: Vec<i64>,
    /// The engines and how far they are behind, over all shards.
    consumers: Vec<ConsumerStatus>,
    usage: TenantUsage,
}

/// How far an engine is behind.
#[derive(Debug, Serialize, ToSchema)]
struct ConsumerStatus {
    consumer: String,
    /// Events appended but not handled yet.
    #[schema(minimum = 0)]
    lag: i64,
}

/// What the caller's tenant holds in the journal.
#[derive(Debug, Default, Serialize, ToSchema)]
struct TenantUsage {
    n_events: i64,
    n_bytes: i64,
}

async fn get(permit: Permit<grants::StatusRead>, State(state): State<ApiState>) -> Result<Response, Problem> {
    let store = state.store();
    let now = state.now();
    // Cursors are read before heads, so that a lag is never below nought by more than what was handled in between.
    let cursors = cursor_list(store).await?;
    let heads: BTreeMap<i64, i64> = head_list(store).await?.into_iter().collect();
    let mut lags: BTreeMap<String, i64> = BTreeMap::new();
    for cursor in &cursors {
        lags.entry(cursor.consumer.clone()).or_insert_with(|| heads.values().sum());
    }
    for cursor in cursors {
        if let Some(lag) = lags.get_mut(&cursor.consumer) {
            *lag -= cursor.seq;
        }
    }
    let leases = lease_list(store).await?;
    let owned = leases.iter().filter(|lease| lease.owner == state.node_id && now < lease.expires_at);
    let usage = usage_list(store).await?.into_iter().find(|usage| usage.tenant == permit.tenant);
    let status = Status {
        node_id: state.node_id.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        store: match store.dialect() {
            Dialect::Sqlite => "sqlite".to_owned(),
            Dialect::Postgres => "postgres".to_owned(),
        },
        draining: state.is_draining(),
        now: now.to_rfc3339(),
        n_shards: store.n_shards(),
        shards_owned: owned.map(|lease| lease.shard).collect(),
        consumers: lags
            .into_iter()
            .map(|(consumer, lag)| ConsumerStatus { consumer, lag: lag.max(0) })
            .collect(),
        usage: usage.map_or_else(TenantUsage::default, |usage| TenantUsage {
            n_events: usage.n_events,
            n_bytes: usage.n_bytes,
        }),
    };
    Ok(json(StatusCode::OK, &status))
}
