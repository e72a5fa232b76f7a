//! `[live]`: live connections, their bounds, which rooms events go to and who may send what. Used by the live edge.

use std::time::Duration;

use crate::error::Problem;
use crate::reader::{Located, Scope, Section, bounds};
use crate::tree::Table;

/// Holds `[live]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveSettings {
    /// `max_connections`: live connections of this hub, 1 to 1000000. Default 10000.
    pub max_connections: usize,
    /// `max_connections_per_tenant`: of one tenant, 1 to 1000000. Default 5000.
    pub max_connections_per_tenant: usize,
    /// `max_rooms`: rooms that one connection may have joined, 1 to 10000. Default 100.
    pub max_rooms: usize,
    /// `frame_bytes`: largest frame that a client may send, 1 KiB to 16 MiB. Default 64 KiB.
    pub frame_bytes: usize,
    /// `frames_per_s`: frames that a client may send a second, 1 to 100000; more are read later. Default 50.
    pub frames_per_s: u32,
    /// `auth_timeout_s`: how long a client may take to say who it is, 1 to 300 s. Default 10 s.
    pub auth_timeout: Duration,
    /// `heartbeat_s`: how often a connection is tried, 1 to 3600 s. Default 25 s.
    pub heartbeat: Duration,
    /// `queue_events`: events that may wait for one connection, 16 to 100000. Default 1024.
    pub queue_events: usize,
    /// `queue_bytes`: bytes that may wait for one connection, 64 KiB to 1 GiB. Default 1 MiB.
    pub queue_bytes: usize,
    /// `resume_events`: events, of all tenants, that are read again for a client that comes back, 0 to 10000000. Default
    /// 10000.
    pub resume_events: i64,
    /// `[[live.rules]]`: more rooms.
    pub rules: Vec<LiveRuleSettings>,
    /// `[[live.publish]]`: who may send what.
    pub publish: Vec<LivePublishSettings>,
}

/// Holds one table `[[live.rules]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveRuleSettings {
    /// `events`: a pattern of event types.
    pub events: String,
    /// `room`: where they go, such as `route:{route.id}`.
    pub room: String,
    /// `roles`: roles and groups that may join such rooms. Default none.
    pub roles: Vec<String>,
}

/// Holds one table `[[live.publish]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LivePublishSettings {
    /// `events`: a pattern of event types.
    pub events: String,
    /// `roles`: roles and groups that may send them.
    pub roles: Vec<String>,
}

impl Default for LiveSettings {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_connections_per_tenant: 5_000,
            max_rooms: 100,
            frame_bytes: 64 * 1024,
            frames_per_s: 50,
            auth_timeout: Duration::from_secs(10),
            heartbeat: Duration::from_secs(25),
            queue_events: 1024,
            queue_bytes: 1024 * 1024,
            resume_events: 10_000,
            rules: Vec::new(),
            publish: Vec::new(),
        }
    }
}

impl LiveSettings {
    /// Reads the section and the tables below it.
    pub(crate) fn read(mut section: Section<'_>) -> Self {
        let s = &mut section;
        let d = Self::default();
        let connections = bounds(1, 1_000_000, "connections");
        let mut read = Self {
            max_connections: s.number("max_connections", connections, d.max_connections as u64) as usize,
            max_connections_per_tenant: s.number(
                "max_connections_per_tenant",
                connections,
                d.max_connections_per_tenant as u64,
            ) as usize,
            max_rooms: s.number("max_rooms", bounds(1, 10_000, "rooms"), d.max_rooms as u64) as usize,
            frame_bytes: s.number("frame_bytes", bounds(1024, 16 << 20, "bytes"), d.frame_bytes as u64)
                as usize,
            frames_per_s: s.number(
                "frames_per_s",
                bounds(1, 100_000, "frames a second"),
                u64::from(d.frames_per_s),
            ) as u32,
            auth_timeout: s.seconds("auth_timeout_s", 1, 300, d.auth_timeout),
            heartbeat: s.seconds("heartbeat_s", 1, 3600, d.heartbeat),
            queue_events: s.number("queue_events", bounds(16, 100_000, "events"), d.queue_events as u64)
                as usize,
            queue_bytes: s.number("queue_bytes", bounds(64 << 10, 1 << 30, "bytes"), d.queue_bytes as u64)
                as usize,
            resume_events: s.number(
                "resume_events",
                bounds(0, 10_000_000, "events"),
                d.resume_events.unsigned_abs(),
            ) as i64,
            rules: Vec::new(),
            publish: Vec::new(),
        };
        let (rules, publish) = (s.tables("rules"), s.tables("publish"));
        read.rules = rules
            .into_iter()
            .enumerate()
            .filter_map(|(i, table)| read_rule(&format!("live.rules[{i}]"), table, s.scope))
            .collect();
        read.publish = publish
            .into_iter()
            .enumerate()
            .filter_map(|(i, table)| read_publish(&format!("live.publish[{i}]"), table, s.scope))
            .collect();
        section.finish(|_| None);
        read
    }
}

/// Reads one table `[[live.rules]]`.
pub(crate) fn read_rule(path: &str, table: Located<Table>, scope: &mut Scope) -> Option<LiveRuleSettings> {
    let mut section = Section::new(path.to_owned(), "live.rules", table, scope);
    let events = required(&mut section, "events");
    let room = required(&mut section, "room");
    let roles = section.list("roles", word).unwrap_or_default();
    section.finish(|_| None);
    Some(LiveRuleSettings { events: events?, room: room?, roles })
}

/// Reads one table `[[live.publish]]`.
pub(crate) fn read_publish(
    path: &str,
    table: Located<Table>,
    scope: &mut Scope,
) -> Option<LivePublishSettings> {
    let mut section = Section::new(path.to_owned(), "live.publish", table, scope);
    let events = required(&mut section, "events");
    let roles = section.list("roles", word).unwrap_or_default();
    section.finish(|_| None);
    Some(LivePublishSettings { events: events?, roles })
}

fn required(section: &mut Section<'_>, key: &'static str) -> Option<String> {
    if section.is_absent(key) {
        let origin = section.origin();
        section.fault(key, origin, Problem::new("is missing", format!("write {key} = \"…\"")));
    }
    section.parsed(key, word)
}

fn word(text: &str) -> Result<String, Problem> {
    if (1..=256).contains(&text.len()) && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(Problem::new("must be 1 to 256 bytes without control characters", "shorten it"))
}
