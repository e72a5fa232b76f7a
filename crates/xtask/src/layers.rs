//! Which crate may use which: the layers of the workspace, and who owns which outside library.
//!
//! A crate uses strictly lower layers only. Engines (L2) never use each other: they meet in the journal. A pair inside one
//! layer is allowed where [`SAME_LAYER`] names it with a reason. Tests may use what they like of the workspace, so
//! only normal and build dependencies count here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::Fault;

/// Where a crate stands. Order is the direction of use: a later one may use an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// Words and settings: no I/O beyond reading the configuration.
    L0,
    /// Durable state, the log, secrets, the way out to other systems.
    L1,
    /// Engines: consumers of the journal and the two borders.
    L2,
    /// Edges: what people and programs talk to.
    L3,
    /// The program.
    L4,
    /// Tests and tools of the repository; nothing outside this layer uses them.
    Dev,
}

/// Every crate of the workspace and its layer. A new crate is added here first.
pub const LAYERS: &[(&str, Layer)] = &[
    ("model", Layer::L0),
    ("config", Layer::L0),
    ("jq", Layer::L0),
    ("store", Layer::L1),
    ("journal", Layer::L1),
    ("vault", Layer::L1),
    ("connect", Layer::L1),
    ("packs", Layer::L1),
    ("sinks", Layer::L1),
    ("ingest", Layer::L2),
    ("flow", Layer::L2),
    ("dispatch", Layer::L2),
    ("notify", Layer::L2),
    ("logistics", Layer::L2),
    ("sync", Layer::L2),
    ("quality", Layer::L2),
    ("monitor", Layer::L2),
    ("connectors", Layer::L2),
    ("api", Layer::L3),
    ("live", Layer::L3),
    ("mcp", Layer::L3),
    ("bench", Layer::L4),
    ("hub", Layer::L4),
    ("testkit", Layer::Dev),
    ("xtask", Layer::Dev),
    ("e2e", Layer::Dev),
];

/// Uses inside one layer, with the reason each is right.
pub const SAME_LAYER: &[(&str, &str, &str)] = &[
    ("journal", "store", "the journal lives in the store's tables and commits through its writer"),
    ("sinks", "connect", "the SSRF guard and the HTTP client are connect's"),
    ("hub", "bench", "the command `bench` is part of the program"),
    ("e2e", "testkit", "tests share their harness"),
];

/// Outside libraries that only some crates may use, with the reason. Tests are free, but for SQL.
pub const OWNED: &[(&str, &[&str], &str)] = &[
    ("rusqlite", &["store", "testkit"], "all SQL lives in store"),
    ("tokio-postgres", &["store", "testkit"], "all SQL lives in store"),
    (
        "axum",
        &["api", "live", "mcp", "ingest", "hub", "bench", "testkit", "e2e"],
        "only edges and ingest speak HTTP to callers",
    ),
    ("hyper", &["connect", "live", "hub", "bench", "testkit", "e2e"], "outbound calls go through connect"),
    (
        "hyper-util",
        &["connect", "live", "hub", "bench", "testkit", "e2e"],
        "outbound calls go through connect",
    ),
    (
        "lapin",
        &["sinks"],
        "brokers are reached through sinks, over connections that passed the egress policy",
    ),
    (
        "redis",
        &["sinks"],
        "brokers are reached through sinks, over connections that passed the egress policy",
    ),
    ("rusty-s3", &["sinks"], "object stores are reached through sinks, by connect's HTTP client"),
    ("anyhow", &["hub", "xtask", "bench", "testkit", "e2e"], "library crates have typed errors"),
];

/// How one crate of the workspace uses another crate.
#[derive(Debug, Clone)]
pub struct Use {
    /// The user, without `trunkline-`.
    pub user: String,
    /// The used one; without `trunkline-` when it is of the workspace.
    pub used: String,
    /// Whether the used one is of the workspace.
    pub is_member: bool,
    /// Whether only tests of the user use it.
    pub is_dev: bool,
}

impl Use {
    fn manifest(&self) -> PathBuf {
        Path::new("crates").join(&self.user).join("Cargo.toml")
    }

    fn fault(&self, root: &Path, problem: String, fix: impl Into<String>) -> Fault {
        let name = if self.is_member { format!("trunkline-{}", self.used) } else { self.used.clone() };
        let text = std::fs::read_to_string(root.join(self.manifest())).unwrap_or_default();
        let line = text
            .lines()
            .position(|line| line.strip_prefix(&name).is_some_and(|rest| rest.starts_with(['.', ' ', '='])));
        Fault::new(self.manifest(), line.map_or(0, |index| index + 1), problem, fix)
    }
}

/// Reads from cargo which crates of the workspace exist and what each declares.
pub fn read_uses(root: &Path) -> anyhow::Result<(BTreeSet<String>, Vec<Use>)> {
    let metadata =
        cargo_metadata::MetadataCommand::new().manifest_path(root.join("Cargo.toml")).no_deps().exec()?;
    let short = |name: &str| name.strip_prefix("trunkline-").map(str::to_owned);
    let mut names = BTreeSet::new();
    let mut uses = Vec::new();
    for package in &metadata.packages {
        let user = short(&package.name).unwrap_or_else(|| package.name.to_string());
        for dependency in &package.dependencies {
            uses.push(Use {
                user: user.clone(),
                used: short(&dependency.name).unwrap_or_else(|| dependency.name.clone()),
                is_member: dependency.path.is_some(),
                is_dev: dependency.kind == cargo_metadata::DependencyKind::Development,
            });
        }
        names.insert(user);
    }
    Ok((names, uses))
}

/// Holds crates and their uses against the layers.
pub fn check_layers(root: &Path, names: &BTreeSet<String>, uses: &[Use]) -> Vec<Fault> {
    let layer_of = |name: &str| LAYERS.iter().find(|(known, _)| *known == name).map(|(_, layer)| *layer);
    let mut faults = Vec::new();
    for name in names.iter().filter(|name| layer_of(name).is_none()) {
        faults.push(Fault::new(
            Path::new("crates").join(name).join("Cargo.toml"),
            0,
            format!("crate {name} has no layer"),
            "give it one in LAYERS of crates/xtask/src/layers.rs",
        ));
    }
    for one in uses.iter().filter(|one| one.is_member && !one.is_dev) {
        let (Some(user), Some(used)) = (layer_of(&one.user), layer_of(&one.used)) else { continue };
        let excepted = SAME_LAYER.iter().any(|(a, b, _)| *a == one.user && *b == one.used);
        if (used < user && used != Layer::Dev) || excepted {
            continue;
        }
        let fix = match (user, used) {
            (Layer::L2, Layer::L2) => {
                "let the engines meet in the journal, or move the shared trait to L1 or L0"
            }
            (_, Layer::Dev) => "make it a dev-dependency",
            _ => "move what is needed to a lower layer, or name the pair with its reason in SAME_LAYER",
        };
        faults.push(one.fault(
            root,
            format!("{} ({user:?}) must not use {} ({used:?})", one.user, one.used),
            fix,
        ));
    }
    for (user, used, _) in SAME_LAYER.iter().filter(|(user, ..)| names.contains(*user)) {
        if !uses.iter().any(|one| one.user == *user && one.used == *used) {
            faults.push(Fault::new(
                "crates/xtask/src/layers.rs",
                0,
                format!("{user} no longer uses {used}"),
                "remove the pair from SAME_LAYER",
            ));
        }
    }
    faults
}

/// Holds the use of outside libraries against their owners.
pub fn check_owners(root: &Path, uses: &[Use]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (library, owners, reason) in OWNED {
        let is_sql = matches!(*library, "rusqlite" | "tokio-postgres");
        for one in uses.iter().filter(|one| one.used == *library && (!one.is_dev || is_sql)) {
            if !owners.contains(&one.user.as_str()) {
                faults.push(one.fault(
                    root,
                    format!("{} must not use {library}: {reason}", one.user),
                    format!("call one of its owners instead: {}", owners.join(", ")),
                ));
            }
        }
    }
    faults
}
