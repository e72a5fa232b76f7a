//! The environment variables of one load: passed in by the caller, laid over the file's tree. Knows
//! which `TRUNKLINE_` variables are settings (`TRUNKLINE_SECTION__KEY`) and which belong to others.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::{ConfigError, Origin};
use crate::settings::SECTIONS;
use crate::suggest;
use crate::tree::{Node, Table, Value};

const PREFIX: &str = "TRUNKLINE_";

/// Variables with the prefix that are read elsewhere: by the command line, tests and benchmarks.
const NOT_SETTINGS: &[&str] =
    &["TRUNKLINE_ADMIN_TOKEN", "TRUNKLINE_CONFIG", "TRUNKLINE_TOKEN", "TRUNKLINE_URL"];

/// Prefixes of variables that are not ours to judge. Kubernetes sets the last three forms in every
/// container beside a Service named `trunkline`.
const NOT_SETTINGS_PREFIXES: &[&str] =
    &["TRUNKLINE_TEST_", "TRUNKLINE_BENCH_", "TRUNKLINE_SERVICE_", "TRUNKLINE_PORT_"];

/// Holds the environment variables a load may see. Its `Debug` text shows no values.
#[derive(Clone, Default)]
pub struct Env(BTreeMap<String, String>);

impl Env {
    /// Takes the variables of this process; those that are not UTF-8 count as not set.
    pub fn from_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// Returns the value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Env {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Env({} variables)", self.0.len())
    }
}

/// Lays every `TRUNKLINE_SECTION__KEY` over the tree; the section's reader later judges key and value.
pub(crate) fn overlay(env: &Env, root: &mut Table, errors: &mut Vec<ConfigError>) {
    for (name, value) in &env.0 {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        if is_not_a_setting(name) {
            continue;
        }
        match section_and_key(rest) {
            Ok((section, key)) => {
                let origin = Origin::Variable(name.clone());
                let node = Node { value: Value::Text(value.clone()), origin: origin.clone() };
                root.section(section, &origin).insert(key, node);
            }
            Err(fix) => errors.push(ConfigError {
                origin: Origin::Variable(name.clone()),
                key: String::new(),
                problem: "is not a setting".to_owned(),
                fix,
            }),
        }
    }
}

fn is_not_a_setting(name: &str) -> bool {
    name == "TRUNKLINE_PORT"
        || NOT_SETTINGS.contains(&name)
        || NOT_SETTINGS_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Splits `SERVER__LISTEN` into section and key, or says what to write instead.
fn section_and_key(rest: &str) -> Result<(&'static str, String), String> {
    let rest = rest.to_ascii_lowercase();
    let Some((section, key)) = rest.split_once("__") else {
        return Err(
            "name it TRUNKLINE_SECTION__KEY with two underscores, such as TRUNKLINE_SERVER__LISTEN, or \
                    unset it"
                .to_owned(),
        );
    };
    if section == "sources" {
        return Err("declare sources in trunkline.toml, where a secret may be `env:NAME`".to_owned());
    }
    match SECTIONS.iter().find(|known| **known == section) {
        Some(known) => Ok((known, key.to_owned())),
        None => Err(match suggest::nearest(section, SECTIONS.iter().copied()) {
            Some(near) => format!("write TRUNKLINE_{}__… or unset it", near.to_ascii_uppercase()),
            None => format!("use one of the sections {}, or unset it", SECTIONS.join(", ")),
        }),
    }
}
