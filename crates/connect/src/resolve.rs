//! From a host to addresses that passed the policy. Called by the dialer for every new connection and by
//! `HttpClient::vet` when an endpoint is saved; never for a request that finds a pooled connection.
//!
//! A name often has several addresses. Blocked ones are left out and the call goes on with the rest: a host with a
//! public and a private address is common, and leaving the private one unused is as safe as refusing. A host without
//! any permitted address is refused with the rule that blocked its first one.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::egress::{EgressPolicy, canonical};
use crate::{BoxFuture, SendError};

/// Resolves host names. Tests inject their own answers.
pub trait Resolver: Send + Sync {
    /// All addresses of a name, in order of preference.
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// Asks the operating system.
///
/// A lookup occupies a thread of the runtime's blocking pool until the system gives up, even if nobody waits any
/// more; the number running at once is bounded so that dead name servers cannot take all of them.
#[derive(Debug, Clone)]
pub struct SystemResolver {
    permits: Arc<Semaphore>,
}

impl SystemResolver {
    /// Lookups that may run at once.
    pub const MAX_LOOKUPS: usize = 128;

    /// A resolver with its own bound.
    pub fn new() -> Self {
        Self { permits: Arc::new(Semaphore::new(Self::MAX_LOOKUPS)) }
    }
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self::new()
    }
}

impl Resolver for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(io::Error::other)?;
            let host = host.to_owned();
            let lookup = tokio::spawn(async move {
                let answers = tokio::net::lookup_host((host.as_str(), 0)).await;
                drop(permit);
                answers.map(|found| found.map(|address| address.ip()).collect())
            });
            lookup.await.map_err(io::Error::other)?
        })
    }
}

/// Resolver and policy together: the only source of addresses to connect to.
pub(crate) struct Gate {
    pub(crate) policy: EgressPolicy,
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) timeout: Duration,
}

impl Gate {
    /// The permitted addresses of a host, never empty.
    pub(crate) async fn vetted(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, SendError> {
        let answers = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => self.lookup(host).await?,
        };
        let mut refusal = SendError::DnsEmpty;
        let mut vetted = Vec::with_capacity(answers.len());
        for address in answers {
            match self.policy.check(address) {
                Ok(()) => vetted.push(SocketAddr::new(canonical(address), port)),
                Err(blocked) if matches!(refusal, SendError::DnsEmpty) => {
                    refusal = SendError::Blocked(blocked);
                }
                Err(_) => {}
            }
        }
        if vetted.is_empty() { Err(refusal) } else { Ok(vetted) }
    }

    async fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, SendError> {
        match tokio::time::timeout(self.timeout, self.resolver.resolve(host)).await {
            Ok(Ok(answers)) => Ok(answers),
            Ok(Err(error)) => Err(SendError::Dns(Arc::new(error))),
            Err(_) => Err(SendError::DnsTimeout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Answers(Vec<&'static str>);

    impl Resolver for Answers {
        fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
            Box::pin(async { Ok(self.0.iter().map(|text| text.parse().unwrap()).collect()) })
        }
    }

    struct Silent;

    impl Resolver for Silent {
        fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
            Box::pin(std::future::pending())
        }
    }

    fn gate(resolver: impl Resolver + 'static) -> Gate {
        let timeout = Duration::from_secs(5);
        Gate { policy: EgressPolicy::default(), resolver: Arc::new(resolver), timeout }
    }

    #[tokio::test]
    async fn blocked_answers_are_left_out() {
        let gate = gate(Answers(vec!["10.0.0.1", "8.8.8.8", "::1", "::ffff:9.9.9.9"]));
        let vetted = gate.vetted("mixed.test", 443).await.unwrap();
        assert_eq!(vetted, ["8.8.8.8:443".parse().unwrap(), "9.9.9.9:443".parse().unwrap()]);
    }

    #[tokio::test]
    async fn a_host_without_a_permitted_address_names_the_first_rule() {
        let error =
            gate(Answers(vec!["169.254.169.254", "10.0.0.1"])).vetted("inner.test", 80).await.unwrap_err();
        assert!(error.to_string().contains("egress rule metadata"), "{error}");
        let error = gate(Answers(vec![])).vetted("empty.test", 80).await.unwrap_err();
        assert!(matches!(error, SendError::DnsEmpty));
    }

    #[tokio::test]
    async fn literals_skip_the_resolver() {
        assert!(gate(Silent).vetted("8.8.8.8", 80).await.is_ok());
        assert!(matches!(gate(Silent).vetted("::1", 80).await, Err(SendError::Blocked(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_resolver_times_out() {
        assert!(matches!(gate(Silent).vetted("slow.test", 80).await, Err(SendError::DnsTimeout)));
    }

    #[tokio::test]
    async fn the_system_resolves_localhost() {
        let answers = SystemResolver::new().resolve("localhost").await.unwrap();
        assert!(answers.iter().all(IpAddr::is_loopback) && !answers.is_empty());
    }
}
