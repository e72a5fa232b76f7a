//! A source as the router needs it: its prepared scheme, its limits, its counters.
//!
//! Built once, at start, from the configuration; a key that cannot be used is a fault of the configuration with file and
//! line, not a refusal of every call later.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use governor::clock::Clock as _;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use ipnet::IpNet;
use trunkline_config::{ConfigError, Env, Secret, SourceSettings};
use trunkline_model::Tenant;

use crate::client_address::contains;
use crate::judge::Origin;
use crate::schemes::{self, Call, InvalidScheme, Refusal, Scheme, Verified};

/// How many refused calls of one source are recorded per second; the rest is only counted.
const RECORDED_PER_SECOND: NonZeroU32 = NonZeroU32::new(5).expect("invariant: five is not zero");

/// A configured origin of webhook calls, ready to verify them.
pub struct Source {
    pub(crate) name: String,
    pub(crate) origin: Origin,
    pub(crate) scheme: Box<dyn Scheme>,
    pub(crate) counters: Counters,
    allow_ips: Vec<IpNet>,
    limiter: Option<DefaultDirectRateLimiter>,
    record_limiter: DefaultDirectRateLimiter,
}

impl Source {
    /// Prepares a source with its resolved secrets.
    ///
    /// # Errors
    /// A key of the configuration that does not fit its scheme.
    pub fn new(settings: &SourceSettings, secrets: &[Secret]) -> Result<Self, ConfigError> {
        let tenant = Tenant::parse(&settings.tenant)
            .map_err(|error| settings.fault("tenant", error.to_string(), "choose another name"))?;
        let origin = Origin::new(tenant, &settings.name, settings.subject.clone()).ok_or_else(|| {
            settings.fault("name", "cannot begin an event type", "use only a-z, 0-9, - and _")
        })?;
        let scheme = schemes::prepare(&settings.scheme, secrets, settings.tolerance)
            .map_err(|error| settings.fault("secret", error.to_string(), fix_of(&error)))?;
        let limiter = settings
            .rate_limit
            .map(|limit| RateLimiter::direct(Quota::per_second(limit.per_second).allow_burst(limit.burst)));
        Ok(Self {
            name: settings.name.clone(),
            origin,
            scheme,
            counters: Counters::default(),
            allow_ips: settings.allow_ips.clone(),
            limiter,
            record_limiter: RateLimiter::direct(Quota::per_second(RECORDED_PER_SECOND)),
        })
    }

    /// Prepares every enabled source, looking up its secrets.
    ///
    /// # Errors
    /// All faults of all sources.
    pub fn prepare_all(settings: &[SourceSettings], env: &Env) -> Result<Vec<Self>, Vec<ConfigError>> {
        let (mut sources, mut faults) = (Vec::new(), Vec::new());
        for source in settings.iter().filter(|source| source.enabled) {
            let prepared = source
                .resolve_secrets(env)
                .map_err(|error| source.fault("secret", error.to_string(), error.fix()))
                .and_then(|secrets| Self::new(source, &secrets));
            match prepared {
                Ok(source) => sources.push(source),
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok(sources) } else { Err(faults) }
    }

    /// Tells whether a call comes from where and whom it should. An unknown address is on no list.
    pub(crate) fn verify(&self, call: &Call<'_>, address: Option<IpAddr>) -> Result<Verified, Refusal> {
        if !self.allow_ips.is_empty() && !address.is_some_and(|address| contains(&self.allow_ips, address)) {
            return Err(Refusal::AddressRefused);
        }
        self.scheme.verify(call)
    }

    /// Tells whether [`Source::verify`] looks at the address.
    pub(crate) fn needs_address(&self) -> bool {
        !self.allow_ips.is_empty()
    }

    /// Takes one call out of the rate limit, or says in how many seconds there is room again.
    pub(crate) fn admit(&self) -> Result<(), u64> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.check().map_err(|not_until| {
            let wait = not_until.wait_time_from(limiter.clock().now());
            wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
        })
    }

    /// Tells whether one more refused call may be recorded now.
    pub(crate) fn may_record(&self) -> bool {
        self.record_limiter.check().is_ok()
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Source({})", self.name)
    }
}

fn fix_of(error: &InvalidScheme) -> &'static str {
    match error {
        InvalidScheme::Missing => "add secret = \"env:NAME\" or \"file:PATH\"",
        InvalidScheme::NotBase64 | InvalidScheme::Length { .. } => {
            "copy the secret again from the sender, whole and with its prefix"
        }
        InvalidScheme::NotHex => "copy the secret again, or choose another key_encoding",
        InvalidScheme::HeaderName => "use letters, digits and hyphens",
        InvalidScheme::PrivateKey => "ask the sender for the public key, and treat the private one as leaked",
    }
}

/// What became of the calls of one source since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) accepted: AtomicU64,
    pub(crate) repeated: AtomicU64,
    pub(crate) quarantined: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) refused_unrecorded: AtomicU64,
    pub(crate) rate_limited: AtomicU64,
    pub(crate) unreadable: AtomicU64,
    pub(crate) failed: AtomicU64,
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The figures of one source, counted since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStats {
    /// The source's name.
    pub name: String,
    /// Who owns it.
    pub tenant: Tenant,
    /// Calls that became events.
    pub accepted: u64,
    /// Calls that were repeats of earlier ones.
    pub repeated: u64,
    /// Verified calls that could not become events.
    pub quarantined: u64,
    /// Calls that were not verified.
    pub refused: u64,
    /// Those of them that were not recorded, because too many came.
    pub refused_unrecorded: u64,
    /// Calls over the rate limit.
    pub rate_limited: u64,
    /// Calls whose body was too large, too slow or broken off.
    pub unreadable: u64,
    /// Calls that could not be stored.
    pub failed: u64,
}

impl Source {
    /// Reads the counters.
    pub(crate) fn stats(&self) -> SourceStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let c = &self.counters;
        SourceStats {
            name: self.name.clone(),
            tenant: self.origin.tenant().clone(),
            accepted: read(&c.accepted),
            repeated: read(&c.repeated),
            quarantined: read(&c.quarantined),
            refused: read(&c.refused),
            refused_unrecorded: read(&c.refused_unrecorded),
            rate_limited: read(&c.rate_limited),
            unreadable: read(&c.unreadable),
            failed: read(&c.failed),
        }
    }
}
