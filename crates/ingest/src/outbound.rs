//! What ingest fetches: certificates that calls are verified with, and the URL that confirms a subscription. Both for `sns`.
//!
//! Everything leaves through the guarded client, to hosts that the scheme has pinned. Each is bounded in time and size; a
//! certificate is fetched by one call at a time and remembered, and a source may fetch a few only, however many calls name
//! one. What cannot be fetched is answered with 503: the provider sends again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use trunkline_connect::{EgressPolicy, OutboundRequest, OutboundResponse, Target, Transport};
use trunkline_model::{PerTenant, Tenant};

use crate::problem::Problem;
use crate::schemes::Call;
use crate::schemes::sns::is_amazons;
use crate::source::Source;

/// For one fetch; SNS waits 15 s for its answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The largest answer that is read: a certificate has two kilobytes.
const MAX_ANSWER_BYTES: usize = 16 * 1024;

/// The way out.
#[derive(Clone)]
pub struct Outbound {
    /// Who sends.
    pub transport: PerTenant<Arc<dyn Transport>>,
    /// Where to.
    pub policy: PerTenant<EgressPolicy>,
}

impl Outbound {
    async fn get(&self, tenant: &Tenant, url: &str) -> Option<OutboundResponse> {
        let target = Target::parse(url, self.policy.of(tenant)).ok()?;
        // The host was pinned in the text; what the client makes of the text must be pinned too.
        if !is_amazons(&format!("https://{}/", target.host())) || target.port() != 443 {
            return None;
        }
        let request = OutboundRequest {
            method: Method::GET,
            target,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout: TIMEOUT,
            response_limit_bytes: MAX_ANSWER_BYTES,
        };
        self.transport
            .of(tenant)
            .send(request)
            .await
            .inspect_err(|error| tracing::warn!(%error, "provider not reached"))
            .ok()
    }

    /// Makes sure that the certificate of a call is known, if it is worth knowing.
    pub(crate) async fn fetch_certificate(&self, source: &Source, call: &Call<'_>) -> Result<(), Problem> {
        let wanted = || source.scheme.certificates().zip(source.scheme.wanted(call));
        if wanted().is_none() {
            return Ok(());
        }
        let turn = tokio::time::timeout(TIMEOUT, source.fetching.lock());
        let _turn = turn.await.map_err(|_| Problem::NotFetched)?;
        // Somebody else may have fetched it meanwhile.
        let Some((certificates, url)) = wanted() else { return Ok(()) };
        if !source.may_fetch() {
            return Err(Problem::NotFetched);
        }
        let answer = self.get(source.origin.tenant(), &url).await.ok_or(Problem::NotFetched)?;
        if answer.status.is_server_error() || answer.truncated {
            return Err(Problem::NotFetched);
        }
        let is_usable = answer.status.is_success() && certificates.learn(&url, &answer.body_head, call.now);
        if !is_usable {
            tracing::warn!(source = source.name, "signing certificate is not usable");
        }
        Ok(())
    }

    /// Fetches the URL by which a handshake is completed.
    pub(crate) async fn visit(&self, source: &Source, url: &str) -> Result<(), Problem> {
        let answer = self.get(source.origin.tenant(), url).await.ok_or(Problem::NotFetched)?;
        if !answer.status.is_success() {
            tracing::warn!(
                source = source.name,
                status = answer.status.as_u16(),
                "subscription not confirmed"
            );
            return Err(Problem::NotFetched);
        }
        tracing::info!(source = source.name, "subscription confirmed");
        Ok(())
    }
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbound").field("policy", &self.policy).finish_non_exhaustive()
    }
}
