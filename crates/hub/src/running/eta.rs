//! Makes the chain of those who know how long ways take, as the configuration names them.

use std::sync::Arc;

use trunkline_config::{Env, LogisticsSettings};
use trunkline_connect::{EgressPolicy, Transport};
use trunkline_logistics::tracking::eta::{EtaChain, EtaProvider, Guarded, Remote, Service, StraightLine};
use trunkline_model::{PerTenant, Secret};

/// Google first, then OSRM, as far as they are configured.
///
/// # Errors
/// When the key cannot be had.
pub(super) fn chain(
    settings: &LogisticsSettings,
    env: &Env,
    transport: &PerTenant<Arc<dyn Transport>>,
    policy: &PerTenant<EgressPolicy>,
) -> anyhow::Result<Arc<EtaChain>> {
    let mut services = Vec::new();
    if let Some(key) = &settings.google_routes_key {
        services.push(Service::Google { key: Secret::new(key.resolve(env)?.expose()) });
    }
    if let Some(table_url) = &settings.osrm_table_url {
        services.push(Service::Osrm { table_url: table_url.clone() });
    }
    let provider = |service| {
        let (transport, policy) = (Arc::clone(transport.shared()), policy.shared().clone());
        let remote = Arc::new(Remote { service, transport, policy });
        Arc::new(Guarded::new(remote, settings.eta_requests_per_hour)) as Arc<dyn EtaProvider>
    };
    let providers = services.into_iter().map(provider).collect();
    Ok(Arc::new(EtaChain::new(providers, StraightLine::default())))
}
