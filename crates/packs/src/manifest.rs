//! `pack.yaml`: what a pack is called and which hub it needs.

use semver::{Version, VersionReq};

use crate::document::{FaultSink, Fields, Node, text};
use crate::suggest::quoted;

/// The version of this hub, which `requires` is held against.
const HUB_VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a pack says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Lower-case letters, digits and `-`, at most 64; unique among the loaded packs.
    pub name: String,
    /// The pack's own version.
    pub version: Version,
    /// A name for people.
    pub title: String,
    /// What the pack is for.
    pub description: String,
    /// The hub versions it works with; absent means any.
    pub requires_hub: Option<VersionReq>,
}

/// Reads the manifest; `None` when a fault left it incomplete.
pub(crate) fn read(node: &Node, sink: &mut FaultSink) -> Option<Manifest> {
    let mut fields = Fields::open(node, "a manifest", sink)?;
    let name = fields.required("name", sink).and_then(|node| name(node, sink));
    let version = fields.required("version", sink).and_then(|node| version(node, sink));
    let title = fields.text("title", 120, sink).map(str::to_owned);
    let description = fields.text("description", 4000, sink).map(str::to_owned);
    let requires_hub = fields.optional("requires").and_then(|node| requires(node, sink));
    fields.close(sink);
    Some(Manifest { name: name?, version: version?, title: title?, description: description?, requires_hub })
}

fn name(node: &Node, sink: &mut FaultSink) -> Option<String> {
    let name = text(node, "name", 64, sink)?;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(allowed) {
        return Some(name.to_owned());
    }
    sink.at(
        node.position,
        format!("`name` is {}", quoted(name)),
        "use a-z, 0-9 and -, beginning with a letter, such as veterinary",
    );
    None
}

fn version(node: &Node, sink: &mut FaultSink) -> Option<Version> {
    let written = text(node, "version", 64, sink)?;
    let parsed = Version::parse(written);
    if parsed.is_err() {
        sink.at(
            node.position,
            format!("`version` is {}, which is no semantic version", quoted(written)),
            "write three numbers, such as 1.4.0",
        );
    }
    parsed.ok()
}

fn requires(node: &Node, sink: &mut FaultSink) -> Option<VersionReq> {
    let mut fields = Fields::open(node, "`requires`", sink)?;
    let required = fields.required("hub", sink);
    fields.close(sink);
    let node = required?;
    let written = text(node, "hub", 64, sink)?;
    let Ok(range) = VersionReq::parse(written) else {
        sink.at(
            node.position,
            format!("`hub` is {}, which is no range of versions", quoted(written)),
            "write for example \">=0.1, <2\"",
        );
        return None;
    };
    let hub = Version::parse(HUB_VERSION).expect("invariant: cargo checks the crate's version");
    if !range.matches(&hub) {
        sink.at(
            node.position,
            format!("the pack needs hub {range}, this is {hub}"),
            "update the hub, or use a version of the pack made for this one",
        );
    }
    Some(range)
}
