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
use tokio::sync::Mutex;
use trunkline_config::{ConfigError, Credentials, Env, SourceSettings};
use trunkline_model::Tenant;

use crate::client_address::contains;
use crate::judge::Origin;
use crate::schemes::digest::key_of;
use crate::schemes::one_time::OneTimeTokens;
use crate::schemes::{self, Call, InvalidScheme, Refusal, Scheme};

/// How many refused calls of one source are recorded per second; the rest is only counted.
const RECORDED_PER_SECOND: NonZeroU32 = NonZeroU32::new(5).expect("invariant: five is not zero");

/// How many certificates a source may have fetched per second, in the long run and at once.
const FETCHED_PER_SECOND: NonZeroU32 = NonZeroU32::new(1).expect("invariant: one is not zero");
const FETCHED_AT_ONCE: NonZeroU32 = NonZeroU32::new(4).expect("invariant: four is not zero");

/// What a believed call has proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proof {
    /// Repeats of the call carry the same key.
    pub(crate) dedupe_key: Option<String>,
    /// Under which name its one-time token is to be spent.
    pub(crate) one_time: Option<String>,
}

/// A configured origin of webhook calls, ready to verify them.
pub struct Source {
    pub(crate) name: String,
    pub(crate) origin: Origin,
    pub(crate) scheme: Box<dyn Scheme>,
    pub(crate) counters: Counters,
    /// Held while a certificate is fetched, so that calls that need the same one wait for it.
    pub(crate) fetching: Mutex<()>,
    allow_ips: Vec<IpNet>,
    one_time: Option<OneTimeTokens>,
    fetch_limiter: DefaultDirectRateLimiter,
    limiter: Option<DefaultDirectRateLimiter>,
    record_limiter: DefaultDirectRateLimiter,
}

impl Source {
    /// Prepares a source with its resolved secrets.
    ///
    /// # Errors
    /// A key of the configuration that does not fit its scheme.
    pub fn new(settings: &SourceSettings, credentials: &Credentials) -> Result<Self, ConfigError> {
        let tenant = Tenant::parse(&settings.tenant)
            .map_err(|error| settings.fault("tenant", error.to_string(), "choose another name"))?;
        let origin = Origin::new(tenant, &settings.name, settings.subject.clone()).ok_or_else(|| {
            settings.fault("name", "cannot begin an event type", "use only a-z, 0-9, - and _")
        })?;
        let unfit = |error: InvalidScheme| {
            let key = if let InvalidScheme::Setting { key } = error { key } else { "secret" };
            settings.fault(key, error.to_string(), fix_of(&error))
        };
        let scheme = schemes::prepare(&settings.scheme, credentials, settings.tolerance).map_err(unfit)?;
        let one_time = settings
            .one_time_tokens
            .then(|| OneTimeTokens::new(&settings.name, &credentials.secrets, settings.tolerance))
            .transpose()
            .map_err(unfit)?;
        let fetches = Quota::per_second(FETCHED_PER_SECOND).allow_burst(FETCHED_AT_ONCE);
        let limiter = settings
            .rate_limit
            .map(|limit| RateLimiter::direct(Quota::per_second(limit.per_second).allow_burst(limit.burst)));
        Ok(Self {
            name: settings.name.clone(),
            origin,
            scheme,
            counters: Counters::default(),
            fetching: Mutex::new(()),
            allow_ips: settings.allow_ips.clone(),
            one_time,
            fetch_limiter: RateLimiter::direct(fetches),
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
            match source.resolve(env).and_then(|credentials| Self::new(source, &credentials)) {
                Ok(source) => sources.push(source),
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok(sources) } else { Err(faults) }
    }

    /// Tells whether a call comes from where it should. An unknown address is on no list.
    pub(crate) fn check_address(&self, address: Option<IpAddr>) -> Result<(), Refusal> {
        if !self.allow_ips.is_empty() && !address.is_some_and(|address| contains(&self.allow_ips, address)) {
            return Err(Refusal::AddressRefused);
        }
        Ok(())
    }

    /// Tells whether a call comes from where and whom it should, and brings a one-time token where one is asked for.
    pub(crate) fn verify(&self, call: &Call<'_>, address: Option<IpAddr>) -> Result<Proof, Refusal> {
        self.check_address(address)?;
        let verified = self.scheme.verify(call)?;
        let one_time =
            self.one_time.as_ref().map(|tokens| tokens.check(call.headers, call.now)).transpose()?;
        Ok(Proof { dedupe_key: verified.dedupe_key, one_time })
    }

    /// The key of a call that has a token but no id: the same call again is a repeat, another with the token is not.
    pub(crate) fn key_of_spent(one_time: &str, body: &[u8]) -> String {
        key_of(&[one_time.as_bytes(), body])
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

    /// Tells whether one more certificate may be fetched now.
    pub(crate) fn may_fetch(&self) -> bool {
        self.fetch_limiter.check().is_ok()
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
        InvalidScheme::Setting { .. } => "add it; docs/sources.md has an example for each scheme",
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
    pub(crate) handshakes: AtomicU64,
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
    /// Calls with which a provider asked whether the URL is meant, and that were answered.
    pub handshakes: u64,
    /// Calls that were not verified.
    pub refused: u64,
    /// Those of them that were not recorded, because too many came.
    pub refused_unrecorded: u64,
    /// Calls over the rate limit.
    pub rate_limited: u64,
    /// Calls whose body was too large, too slow or broken off.
    pub unreadable: u64,
    /// Calls that could not be stored, or not be judged for want of what had to be fetched.
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
            handshakes: read(&c.handshakes),
            refused: read(&c.refused),
            refused_unrecorded: read(&c.refused_unrecorded),
            rate_limited: read(&c.rate_limited),
            unreadable: read(&c.unreadable),
            failed: read(&c.failed),
        }
    }
}
