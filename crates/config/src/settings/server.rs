//! `[server]`: the HTTP listener, its limits, and the process around it. Used by the binary and the API.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use crate::reader::{Section, bounds};
use crate::syntax;

/// Chooses how log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `text`: one readable line per record.
    Text,
    /// `json`: one JSON object per record.
    Json,
}

/// Holds `[server]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// `listen`: address and port of the listener; port 0 lets the system choose. Default 127.0.0.1:8080.
    pub listen: SocketAddr,
    /// `trusted_proxies`: networks whose forwarding headers are believed when the client's address is
    /// determined. Default none.
    pub trusted_proxies: Vec<IpNet>,
    /// `body_limit_bytes`: largest request body, 1 KiB to 64 MiB. Default 1 MiB.
    pub body_limit_bytes: usize,
    /// `drain_timeout_s`: how long requests and deliveries in flight may take after SIGTERM, 0 to 300 s.
    /// Default 8 s.
    pub drain_timeout: Duration,
    /// `threads`: worker threads of the runtime, 0 (automatic) to 1024. Default 0.
    pub threads: usize,
    /// `log_format`: `text` or `json`. Default `text`.
    pub log_format: LogFormat,
    /// `log_level`: a level, or a filter such as `info,trunkline_dispatch=debug`. Default `info`.
    pub log_level: String,
    /// `request_timeout_s`: how long one request may take, 1 to 3600 s. Default 30 s.
    pub request_timeout: Duration,
    /// `max_connections`: how many connections may be open at once, 1 to 1000000; more wait to be accepted. Default
    /// 10000.
    pub max_connections: usize,
    /// `body_memory_bytes`: memory for webhook bodies on their way in, not verified yet, 1 MiB to 64 GiB. Default
    /// 256 MiB.
    pub body_memory_bytes: usize,
    /// `api_rate_limit_per_s`: API requests of one token a second, twice as many at once, 0 (no limit) to 1000000.
    /// Default 5000.
    pub api_rate_limit_per_s: u32,
    /// `cors_origins`: origins of pages whose scripts may call the API and read its answers. Default none.
    pub cors_origins: Vec<String>,
    /// `allow_unauthenticated_sources`: lets sources use scheme `none` although the listener is reachable
    /// from other machines. Default false.
    pub allow_unauthenticated_sources: bool,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            trusted_proxies: Vec::new(),
            body_limit_bytes: 1024 * 1024,
            drain_timeout: Duration::from_secs(8),
            threads: 0,
            log_format: LogFormat::Text,
            log_level: "info".to_owned(),
            request_timeout: Duration::from_secs(30),
            max_connections: 10_000,
            body_memory_bytes: 256 * 1024 * 1024,
            api_rate_limit_per_s: 5_000,
            cors_origins: Vec::new(),
            allow_unauthenticated_sources: false,
        }
    }
}

impl ServerSettings {
    /// Tells whether only this machine can reach the listener.
    pub fn is_loopback(&self) -> bool {
        match self.listen.ip() {
            IpAddr::V6(ip) => ip.to_ipv4_mapped().map_or(ip.is_loopback(), |ip| ip.is_loopback()),
            IpAddr::V4(ip) => ip.is_loopback(),
        }
    }

    pub(crate) fn read(mut section: Section<'_>) -> Self {
        let s = &mut section;
        let d = Self::default();
        let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        let read = Self {
            listen: s.parsed("listen", syntax::socket_address).unwrap_or(d.listen),
            trusted_proxies: s.list("trusted_proxies", syntax::network).unwrap_or_default(),
            body_limit_bytes: s.number(
                "body_limit_bytes",
                bounds(1024, 64 * 1024 * 1024, "bytes"),
                d.body_limit_bytes as u64,
            ) as usize,
            drain_timeout: s.seconds("drain_timeout_s", 0, 300, d.drain_timeout),
            threads: s.number("threads", bounds(0, 1024, "threads (0 = automatic)"), d.threads as u64)
                as usize,
            log_format: s.choice("log_format", &formats, d.log_format),
            log_level: s.parsed("log_level", syntax::log_filter).unwrap_or(d.log_level),
            request_timeout: s.seconds("request_timeout_s", 1, 3600, d.request_timeout),
            max_connections: s.number(
                "max_connections",
                bounds(1, 1_000_000, "connections"),
                d.max_connections as u64,
            ) as usize,
            body_memory_bytes: s.number(
                "body_memory_bytes",
                bounds(1024 * 1024, 64 * 1024 * 1024 * 1024, "bytes"),
                d.body_memory_bytes as u64,
            ) as usize,
            api_rate_limit_per_s: s.number(
                "api_rate_limit_per_s",
                bounds(0, 1_000_000, "requests a second (0 = no limit)"),
                d.api_rate_limit_per_s.into(),
            ) as u32,
            cors_origins: s.list("cors_origins", syntax::origin).unwrap_or_default(),
            allow_unauthenticated_sources: s
                .flag("allow_unauthenticated_sources", d.allow_unauthenticated_sources),
        };
        section.finish(|_| None);
        read
    }
}
