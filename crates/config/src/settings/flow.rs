//! `[flow]`: what workflows may do outside, and the secrets they may use. Used by the workflow engine.

use std::time::Duration;

use crate::error::{Origin, Problem};
use crate::reader::{Section, bounds};
use crate::secret::SecretRef;
use crate::tree::Value;

/// The shortest secret, in bytes: a shorter one could not be told from chance in an answer, and hidden.
const MIN_SECRET_BYTES: usize = 4;
const DEFAULT_TENANT: &str = "default";

/// Holds `[flow]`.
#[derive(Debug, Clone)]
pub struct FlowSettings {
    /// `timeout_ms`: limit of one call, 100 ms to 10 min. Default 30 s.
    pub timeout: Duration,
    /// `secrets`: the secrets workflows may declare, each of one tenant. Default none.
    pub secrets: Vec<FlowSecret>,
    /// `processes`: whether workflows may start processes on this machine. Default false.
    pub processes: bool,
    /// `process_timeout_s`: how long a process may run, 1 s to 1 day. Default 60 s.
    pub process_timeout: Duration,
    /// `process_output_bytes`: how much of each output of a process is taken, 1 KiB to 16 MiB. Default 1 MiB.
    pub process_output_bytes: usize,
    /// `process_memory_bytes`: address space of a process, from 16 MiB. Default 2 GiB.
    pub process_memory_bytes: u64,
}

/// One entry of `[flow.secrets]`.
#[derive(Debug, Clone)]
pub struct FlowSecret {
    /// Whose it is.
    pub tenant: String,
    /// What workflows call it.
    pub name: String,
    /// Where its value is kept.
    pub value: SecretRef,
}

impl Default for FlowSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            secrets: Vec::new(),
            processes: false,
            process_timeout: Duration::from_mins(1),
            process_output_bytes: 1 << 20,
            process_memory_bytes: 2 << 30,
        }
    }
}

impl FlowSettings {
    pub(crate) fn read(mut section: Section<'_>) -> Self {
        let s = &mut section;
        let d = Self::default();
        let output = bounds(1 << 10, 16 << 20, "bytes");
        let memory = bounds(16 << 20, 1 << 40, "bytes");
        let timeout_ms =
            s.number("timeout_ms", bounds(100, 600_000, "milliseconds"), d.timeout.as_millis() as u64);
        let read = Self {
            timeout: Duration::from_millis(timeout_ms),
            processes: s.flag("processes", d.processes),
            process_timeout: s.seconds("process_timeout_s", 1, 86_400, d.process_timeout),
            process_output_bytes: s.number("process_output_bytes", output, d.process_output_bytes as u64)
                as usize,
            process_memory_bytes: s.number("process_memory_bytes", memory, d.process_memory_bytes),
            secrets: read_secrets(s),
        };
        section.finish(|_| None);
        read
    }
}

/// Reads names and references, and tries each reference.
fn read_secrets(section: &mut Section<'_>) -> Vec<FlowSecret> {
    let table = section.table("secrets");
    let mut secrets = Vec::new();
    for (name, node) in table.value.into_entries() {
        let (tenant, short) = name.split_once('/').unwrap_or((DEFAULT_TENANT, &name));
        let key = format!("secrets.{name}");
        let is_plain = |text: &str, most: usize| {
            (1..=most).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        };
        if !is_plain(tenant, 64) || !is_plain(short, 128) {
            let problem = Problem::new(
                "is no name of a secret",
                "write `name`, or \"tenant/name\", with letters, digits, `-`, `_` and `.`",
            );
            section.fault("secrets", node.origin, problem);
            continue;
        }
        let Value::String(text) = &node.value else {
            let problem = format!("must be a string, found {}", node.value.kind());
            section.fault(&key, node.origin, Problem::new(problem, "write \"env:NAME\" or \"file:PATH\""));
            continue;
        };
        match SecretRef::parse(text, &section.scope.base_dir) {
            Ok(value) => {
                check(section, &key, node.origin, &value);
                secrets.push(FlowSecret { tenant: tenant.to_owned(), name: short.to_owned(), value });
            }
            Err(problem) => section.fault(&key, node.origin, problem),
        }
    }
    secrets
}

/// Warns of a secret that stands in the file itself.
pub(super) fn warn_of_literal(section: &mut Section<'_>, key: &str, origin: Origin, value: &SecretRef) {
    if let SecretRef::Literal(_) = value {
        let problem = "is a secret written into the configuration file";
        let fix = "keep it in a variable (`env:NAME`) or a file of its own (`file:PATH`)";
        section.warn(key, origin, Problem::new(problem, fix));
    }
}

fn check(section: &mut Section<'_>, key: &str, origin: Origin, value: &SecretRef) {
    warn_of_literal(section, key, origin.clone(), value);
    match value.resolve(&section.scope.env) {
        Ok(secret) if secret.expose().len() < MIN_SECRET_BYTES => {
            let problem =
                format!("is shorter than {MIN_SECRET_BYTES} bytes, too short to be hidden in answers");
            section.fault(key, origin, Problem::new(problem, "use a longer secret"));
        }
        Ok(_) => {}
        Err(error) => section.fault(key, origin, Problem::new(error.to_string(), error.fix())),
    }
}
