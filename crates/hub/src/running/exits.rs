//! The ways out: where calls may go, the client that makes them, and connections to brokers. Used when the engines start.
//!
//! A tenant with networks of its own has a client and connections of its own. A pool that tenants shared would hand a
//! connection that one of them may open to another that may not.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use trunkline_config::Settings;
use trunkline_connect::{Authorities, ClientConfig, EgressPolicy, HttpClient, Transport};
use trunkline_model::{PerTenant, Tenant};
use trunkline_sinks::{SinkContext, SinkFactory};

use crate::exit::{Exit, Fault};

/// The ways out of each tenant.
pub(super) struct Exits {
    /// Where calls may go.
    pub(super) egress: PerTenant<EgressPolicy>,
    /// Makes them, with the guard built in.
    pub(super) transport: PerTenant<Arc<dyn Transport>>,
    /// Opens brokers and object stores, under the same guard.
    pub(super) sinks: PerTenant<Arc<SinkFactory>>,
}

/// The way out of one tenant, or of all that have none of their own.
struct WayOut {
    transport: Arc<dyn Transport>,
    sinks: Arc<SinkFactory>,
}

/// Prepares the ways out. Opens nothing.
///
/// # Errors
/// Files of authorities that cannot be used.
pub(super) fn prepare(settings: &Settings) -> anyhow::Result<Exits> {
    let egress = policies(settings);
    let config = client_config(&settings.egress.ca_files)?;
    let refused = "the HTTP client cannot start";
    let plain = HttpClient::new(&config, EgressPolicy::default()).context(refused)?;
    let ways = egress.try_map(|policy| {
        let transport: Arc<dyn Transport> = Arc::new(plain.with_policy(policy.clone()).context(refused)?);
        let context = SinkContext {
            extra_roots: config.extra_roots.clone(),
            ..SinkContext::new(policy.clone(), Arc::clone(&transport))
        };
        let sinks = SinkFactory::new(context).context("connections to brokers cannot be prepared")?;
        anyhow::Ok(WayOut { transport, sinks: Arc::new(sinks) })
    })?;
    Ok(Exits {
        egress,
        transport: ways.map(|way| Arc::clone(&way.transport)),
        sinks: ways.map(|way| Arc::clone(&way.sinks)),
    })
}

/// Where outbound calls may go: what is open for all, and what is open for one tenant besides.
fn policies(settings: &Settings) -> PerTenant<EgressPolicy> {
    let policy = EgressPolicy::new(settings.egress.allow.clone());
    let policy = if settings.dispatch.https_only { policy.with_https_only() } else { policy };
    let with_more = settings.tenants.iter().filter(|tenant| !tenant.egress_allow.is_empty());
    let own: Vec<_> = with_more
        .map(|tenant| (Tenant::from_stored(&tenant.name), policy.clone().with_allowed(&tenant.egress_allow)))
        .collect();
    PerTenant::new(policy, own)
}

/// The HTTP client's settings, with the authorities that are trusted besides the public ones.
fn client_config(files: &[PathBuf]) -> anyhow::Result<ClientConfig> {
    let mut config = ClientConfig::default();
    for file in files {
        let fault = |what: &str| {
            Fault::new(Exit::Failed, format!("{} {what}", file.display()), "correct [egress] ca_files")
        };
        let text = std::fs::read_to_string(file).with_context(|| fault("cannot be read"))?;
        let read = Authorities::from_pem(&text);
        let read =
            read.ok_or_else(|| fault("holds no certificates of authorities in PEM, or more than ten"))?;
        config.extra_roots.extend_from_slice(read.certificates());
    }
    Ok(config)
}
