//! All endpoints of all tenants in memory, matched by tenant and event type, and the directory that keeps them fresh.
//!
//! A table never changes; the [`EndpointDirectory`] swaps it whole when the store's fingerprint says that an endpoint
//! was added, changed or removed. A change made on this node counts at once (the API refreshes after its commit), one
//! made on another node within the directory's look interval, about a second.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;
use trunkline_model::{EndpointId, EventType, Tenant};
use trunkline_store::tables::endpoint::{EndpointRow, endpoint_fingerprint, endpoint_list_all};
use trunkline_store::{ReadError, Store};

use super::{DeliveryDefaults, Endpoint, Matches, Outlets};

/// Event types are chosen by producers; beyond this many the cache starts over.
const MAX_CACHED_TYPES: usize = 10_000;

/// Every endpoint at one moment.
#[derive(Debug, Default)]
pub struct EndpointTable {
    by_id: HashMap<EndpointId, Arc<Endpoint>>,
    by_tenant: HashMap<Tenant, TenantEndpoints>,
    ordered: Arc<BTreeSet<EndpointId>>,
    none: Option<Matches>,
}

#[derive(Debug, Default)]
struct TenantEndpoints {
    /// Active ones only, in the order of their ids.
    active: Vec<Arc<Endpoint>>,
    cache: RwLock<HashMap<EventType, Matches>>,
}

impl EndpointTable {
    /// Reads stored endpoints.
    pub fn new(rows: &[EndpointRow], defaults: &DeliveryDefaults, outlets: &Outlets) -> Self {
        Self::default().renewed(rows, defaults, outlets)
    }

    /// Reads stored endpoints anew. Those that are here in the same version are taken over, so that keys and expressions
    /// are prepared once for each version.
    #[must_use]
    pub fn renewed(&self, rows: &[EndpointRow], defaults: &DeliveryDefaults, outlets: &Outlets) -> Self {
        let mut table = Self::default();
        for row in rows {
            let known = self.get(&row.id).filter(|known| {
                (known.version, known.active) == (row.version, row.active)
                    && known.updated_at == row.updated_at
            });
            let endpoint = known.cloned().unwrap_or_else(|| {
                let endpoint = Arc::new(Endpoint::from_row(row, defaults, outlets));
                if let Err(fault) = &endpoint.access {
                    tracing::warn!(endpoint.id = %endpoint.id, error = %fault, "endpoint cannot be sent to");
                }
                endpoint
            });
            if endpoint.active {
                let of_tenant = table.by_tenant.entry(endpoint.tenant.clone()).or_default();
                of_tenant.active.push(Arc::clone(&endpoint));
            }
            table.by_id.insert(endpoint.id.clone(), endpoint);
        }
        let ordered = table.by_id.values().filter(|endpoint| endpoint.policy.ordered);
        table.ordered = Arc::new(ordered.map(|endpoint| endpoint.id.clone()).collect());
        table.none = Some(Arc::from([]));
        table
    }

    /// The endpoint with an id, active or not.
    pub fn get(&self, id: &EndpointId) -> Option<&Arc<Endpoint>> {
        self.by_id.get(id)
    }

    /// The endpoints that ask for order, active or not.
    pub fn ordered(&self) -> Arc<BTreeSet<EndpointId>> {
        Arc::clone(&self.ordered)
    }

    /// How many endpoints there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The active endpoints of a tenant that want events of this type.
    pub fn matching(&self, tenant: &Tenant, event_type: &EventType) -> Matches {
        let Some(of_tenant) = self.by_tenant.get(tenant) else {
            return self.none.clone().unwrap_or_default();
        };
        if let Some(matches) = of_tenant.cache.read().get(event_type) {
            return Arc::clone(matches);
        }
        let wanted = of_tenant.active.iter().filter(|endpoint| endpoint.wants(event_type));
        let matches: Matches = wanted.cloned().collect();
        let mut cache = of_tenant.cache.write();
        if cache.len() >= MAX_CACHED_TYPES {
            cache.clear();
        }
        cache.insert(event_type.clone(), Arc::clone(&matches));
        matches
    }
}

/// The newest [`EndpointTable`], read from the store when it has changed.
#[derive(Debug)]
pub struct EndpointDirectory {
    store: Store,
    defaults: DeliveryDefaults,
    outlets: Outlets,
    table: RwLock<Arc<EndpointTable>>,
    /// The fingerprint of `table`; the lock also keeps refreshes in order.
    loaded: tokio::sync::Mutex<Option<i64>>,
}

impl EndpointDirectory {
    /// An empty directory; [`refresh`](Self::refresh) fills it.
    pub fn new(store: Store, defaults: DeliveryDefaults, outlets: Outlets) -> Self {
        Self { store, defaults, outlets, table: RwLock::default(), loaded: tokio::sync::Mutex::new(None) }
    }

    /// The newest table.
    pub fn current(&self) -> Arc<EndpointTable> {
        Arc::clone(&self.table.read())
    }

    /// Reads the endpoints anew if any of them changed; tells whether they did.
    pub async fn refresh(&self) -> Result<bool, ReadError> {
        let mut loaded = self.loaded.lock().await;
        // The fingerprint is read first: a change between the two reads is found by the next refresh.
        let found = endpoint_fingerprint(&self.store).await?;
        if *loaded == Some(found) {
            return Ok(false);
        }
        let rows = endpoint_list_all(&self.store).await?;
        let table = self.current().renewed(&rows, &self.defaults, &self.outlets);
        *self.table.write() = Arc::new(table);
        *loaded = Some(found);
        Ok(true)
    }
}
