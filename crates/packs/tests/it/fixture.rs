//! A pack in a temporary folder, which tests change file by file.

use std::path::{Path, PathBuf};

use trunkline_packs::document::{FaultSink, Node, SyntaxFault};
use trunkline_packs::{Judge, Pack, PackFault, WorkflowName};

/// The folder; removed with the value.
pub(crate) struct Fixture(tempfile::TempDir);

pub(crate) const MANIFEST: &str =
    "name: small\nversion: 1.0.0\ntitle: Small\ndescription: A pack for tests.\n";

pub(crate) const PING: &str = r#"{
  "type": "ping.sent",
  "title": "Ping",
  "description": "A ping was sent.",
  "schema": {
    "type": "object",
    "required": ["id", "count"],
    "properties": {
      "id": { "type": "string", "format": "uuid" },
      "count": { "type": "integer", "minimum": 1 },
      "note": { "$ref": "defs/texts.json#/$defs/note" }
    },
    "additionalProperties": false
  },
  "example": { "id": "0199b6d1-1f2a-7e60-b1c2-d3e4f5061728", "count": 2, "note": "hello" }
}
"#;

pub(crate) const TEXTS: &str = r#"{ "$defs": { "note": { "type": "string", "maxLength": 20 } } }
"#;

pub(crate) const SAMPLE: &str = r#"{
  "type": "ping.sent",
  "subject": "a",
  "data": { "id": "0199b6d1-1f2a-7e60-b1c2-d3e4f5061728", "count": 1 }
}
"#;

pub(crate) const TESTS: &str = "\
tests:
  - name: a ping needs a count
    given:
      sample: first
      remove: [/count]
    expect:
      schema:
        invalid:
          - {at: /count, keyword: required}
";

impl Fixture {
    /// A pack without faults.
    pub(crate) fn new() -> Self {
        let fixture = Self::empty();
        fixture.write("pack.yaml", MANIFEST);
        fixture.write("schemas/ping.sent.json", PING);
        fixture.write("schemas/defs/texts.json", TEXTS);
        fixture.write("samples/first.json", SAMPLE);
        fixture.write("tests/ping.yaml", TESTS);
        fixture
    }

    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn dir(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.path(name)).unwrap();
    }

    pub(crate) fn load(&self) -> Result<Pack, Vec<PackFault>> {
        Pack::load(self.dir())
    }

    /// The faults of a load as `file:line: problem`, files named from the pack's folder.
    pub(crate) fn faults(&self) -> Vec<String> {
        let Err(faults) = self.load() else { return Vec::new() };
        faults.iter().map(|fault| show(fault, self.dir())).collect()
    }
}

/// Renders a fault as `file:line: problem`.
pub(crate) fn show(fault: &PackFault, dir: &Path) -> String {
    let file = fault.file.strip_prefix(dir).unwrap_or(&fault.file).display().to_string();
    match fault.position {
        Some(position) => format!("{file}:{}: {}", position.line, fault.problem),
        None => format!("{file}: {}", fault.problem),
    }
}

/// Takes every workflow for a good one.
pub(crate) struct AnyWorkflow;

impl Judge for AnyWorkflow {
    fn workflow(&self, text: &str) -> Result<WorkflowName, Vec<SyntaxFault>> {
        let hash = text.to_owned();
        let field = |name: &str| {
            let found = text.lines().find_map(|line| line.trim().strip_prefix(name));
            found.unwrap_or_default().trim().to_owned()
        };
        Ok(WorkflowName { name: field("name:"), version: field("version:"), hash })
    }

    fn workflow_test(&self, _: &Node, _: &[String], _: &mut FaultSink) {}
}
