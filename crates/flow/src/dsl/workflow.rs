//! The document as a whole: what it is called, what it takes and gives, what it reuses, when it starts.

use std::collections::BTreeMap;
use std::sync::Arc;

use semver::Version;
use serde_json::Value;
use trunkline_packs::suggest::quoted;

use super::data_flow::{DataFlow, Step};
use super::duration::Delay;
use super::points::WorkflowPoints;
use super::resource::Endpoint;
use super::schedule::Schedule;
use super::tasks::try_task::ERROR_VARIABLE;
use super::tasks::{Block, TaskKind};
use crate::expression::{Expression, Stage};
use crate::program::TaskId;
use crate::read::{At, Extra, Fields, Names, Reader};
use crate::rule::Rule;

/// A workflow, without its tasks: those are nodes of the program.
#[derive(Debug, Clone)]
pub struct Workflow {
    /// What it is called.
    pub document: Document,
    /// What becomes of the input.
    pub input: DataFlow,
    /// What becomes of the output.
    pub output: DataFlow,
    /// How long an instance may take.
    pub timeout: Option<Delay>,
    /// What starts it by itself.
    pub schedule: Option<Schedule>,
    /// The tasks it begins with.
    pub tasks: Block,
    /// Names of the secrets it may use.
    pub secrets: Vec<String>,
    /// Its own functions by name.
    pub functions: BTreeMap<String, TaskId>,
    /// What is done around tasks, in order of declaration.
    pub extensions: Vec<Extension>,
    /// Where further functions are, by name.
    pub catalogs: BTreeMap<String, Endpoint>,
    /// What the specification lacks.
    pub points: WorkflowPoints,
}

/// What a workflow is called.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The version of the language.
    pub dsl: Version,
    /// The namespace: letters, digits and hyphens, at most 63.
    pub namespace: String,
    /// The name, likewise; unique in the namespace with the version.
    pub name: String,
    /// The version.
    pub version: Version,
    /// A name for people.
    pub title: Option<String>,
    /// A description in Markdown.
    pub summary: Option<String>,
    /// Tags.
    pub tags: Option<Value>,
    /// Whatever else there is to know.
    pub metadata: Option<Value>,
}

/// The blank that stands for a document with faults.
impl Default for Document {
    fn default() -> Self {
        Self {
            dsl: Version::new(0, 0, 0),
            namespace: String::new(),
            name: String::new(),
            version: Version::new(0, 0, 0),
            title: None,
            summary: None,
            tags: None,
            metadata: None,
        }
    }
}

/// What is done around tasks of a kind. It does not apply to tasks of extensions (rule 35).
#[derive(Debug, Clone)]
pub struct Extension {
    /// Its name.
    pub name: String,
    /// Around which tasks.
    pub target: ExtensionTarget,
    /// Only where this holds.
    pub when: Option<Expression>,
    /// Tasks done before. Leaving the list with `exit` puts its output in the place of the task.
    pub before: Block,
    /// Tasks done after.
    pub after: Block,
}

/// Around which tasks an extension applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtensionTarget {
    /// All.
    All,
    /// Those that hold tasks in order or side by side: `do` and `fork`.
    Composite,
    /// Those of a kind.
    Kind(TaskKind),
}

impl ExtensionTarget {
    /// Tells whether tasks of a kind are meant.
    pub fn takes(self, kind: TaskKind) -> bool {
        match self {
            Self::All => true,
            Self::Composite => matches!(kind, TaskKind::Do | TaskKind::Fork),
            Self::Kind(wanted) => wanted == kind,
        }
    }
}

const TARGETS: [(&str, ExtensionTarget); 12] = [
    ("call", ExtensionTarget::Kind(TaskKind::Call)),
    ("composite", ExtensionTarget::Composite),
    ("emit", ExtensionTarget::Kind(TaskKind::Emit)),
    ("for", ExtensionTarget::Kind(TaskKind::For)),
    ("listen", ExtensionTarget::Kind(TaskKind::Listen)),
    ("raise", ExtensionTarget::Kind(TaskKind::Raise)),
    ("run", ExtensionTarget::Kind(TaskKind::Run)),
    ("set", ExtensionTarget::Kind(TaskKind::Set)),
    ("switch", ExtensionTarget::Kind(TaskKind::Switch)),
    ("try", ExtensionTarget::Kind(TaskKind::Try)),
    ("wait", ExtensionTarget::Kind(TaskKind::Wait)),
    ("all", ExtensionTarget::All),
];
const MODES: [(&str, ()); 2] = [("strict", ()), ("loose", ())];

impl Reader {
    /// Reads the whole document. What is missing is left blank, with a fault, so that the rest can be checked.
    pub(crate) fn workflow(&mut self, root: &At<'_>) -> Option<Workflow> {
        let mut fields = Fields::open(root, "a workflow", self)?;
        self.names = Names::gather(root);
        let document = fields.required("document", self).and_then(|at| self.document(&at));
        let parts = fields.optional("use");
        let (secrets, catalogs) = parts.as_ref().map(|at| self.components(at)).unwrap_or_default();
        let input = self.data_flow(&mut fields, Step::Input, Stage::WorkflowInput);
        let output = self.data_flow(&mut fields, Step::Output, Stage::WorkflowOutput);
        let timeout =
            fields.optional("timeout").and_then(|at| self.timeout_or_name(&at, Stage::WorkflowInput));
        let schedule = fields.optional("schedule").and_then(|at| self.schedule(&at));
        if let Some(at) = fields.optional("evaluate") {
            self.evaluation(&at);
        }
        let tasks = fields.required("do", self).map(|at| self.block(&at));
        let functions = parts.as_ref().map(|at| self.functions(at)).unwrap_or_default();
        let extensions = parts.as_ref().map(|at| self.extensions(at)).unwrap_or_default();
        fields.close(Extra::Open, self);
        let (document, points) = document.unwrap_or_default();
        Some(Workflow {
            document,
            input,
            output,
            timeout,
            schedule,
            tasks: tasks.unwrap_or_default(),
            secrets,
            functions,
            extensions,
            catalogs,
            points,
        })
    }

    fn document(&mut self, at: &At<'_>) -> Option<(Document, WorkflowPoints)> {
        let mut fields = Fields::open(at, "`document`", self)?;
        let dsl = fields.required("dsl", self).and_then(|at| self.dsl_version(&at));
        let namespace = fields.required("namespace", self).and_then(|at| self.name(&at));
        let name = fields.required("name", self).and_then(|at| self.name(&at));
        let version = fields.required("version", self).and_then(|at| self.version(&at));
        let title = self.optional_text(&mut fields, "title");
        let summary = self.optional_text(&mut fields, "summary");
        let tags = fields.optional("tags").and_then(|at| self.object(&at));
        let metadata_at = fields.optional("metadata");
        let metadata = metadata_at.as_ref().and_then(|at| self.object(at));
        let points = metadata_at.map(|at| self.workflow_points(&at)).unwrap_or_default();
        fields.close(Extra::Closed, self);
        let document = Document {
            dsl: dsl?,
            namespace: namespace?,
            name: name?,
            version: version?,
            title,
            summary,
            tags,
            metadata,
        };
        Some((document, points))
    }

    fn dsl_version(&mut self, at: &At<'_>) -> Option<Version> {
        let version = self.version(at)?;
        if (version.major, version.minor) != (1, 0) {
            let problem = format!("version {version} of the language is not supported");
            self.rule(Rule::Version, at, problem, "write 1.0.3");
        }
        Some(version)
    }

    fn version(&mut self, at: &At<'_>) -> Option<Version> {
        let text = self.text(at)?;
        let version = Version::parse(text).ok();
        if version.is_none() {
            let problem = format!("{} is no semantic version", quoted(text));
            self.shape(at, problem, "write it like 1.0.0, in quotes");
        }
        version
    }

    fn name(&mut self, at: &At<'_>) -> Option<String> {
        let text = self.text(at)?;
        if !is_name(text) {
            let problem = format!("{} is no name", quoted(text));
            self.shape(at, problem, "write letters, digits and hyphens between them, at most 63");
            return None;
        }
        Some(text.to_owned())
    }

    fn evaluation(&mut self, at: &At<'_>) {
        let Some(mut fields) = Fields::open(at, "`evaluate`", self) else { return };
        if let Some(at) = fields.optional("language")
            && let Some(language) = self.text(&at)
            && language != "jq"
        {
            let problem = format!("expressions in {} are not supported", quoted(language));
            self.rule(Rule::Version, &at, problem, "write them in jq");
        }
        fields.optional("mode").and_then(|at| self.choice(&at, &MODES));
        fields.close(Extra::Closed, self);
    }

    /// Reads reusable components that hold no tasks.
    fn components(&mut self, at: &At<'_>) -> (Vec<String>, BTreeMap<String, Endpoint>) {
        let Some(mut fields) = Fields::open(at, "`use`", self) else { return Default::default() };
        let secrets = fields.optional("secrets").map(|at| self.texts(&at)).unwrap_or_default();
        for at in self.named(fields.optional("authentications")) {
            if let Some(policy) = self.authentication(&at.1, Stage::Body) {
                self.components.authentications.insert(at.0, Arc::new(policy));
            }
        }
        for (name, at) in self.named(fields.optional("errors")) {
            if let Some(error) = self.error_definition(&at, Stage::Body) {
                self.components.errors.insert(name, Arc::new(error));
            }
        }
        for (name, at) in self.named(fields.optional("retries")) {
            let policy = self.with_locals([ERROR_VARIABLE.into()], |reader| reader.retry_policy(&at));
            if let Some(policy) = policy {
                self.components.retries.insert(name, Arc::new(policy));
            }
        }
        for (name, at) in self.named(fields.optional("timeouts")) {
            if let Some(timeout) = self.timeout(&at, Stage::WorkflowInput) {
                self.components.timeouts.insert(name, timeout);
            }
        }
        let catalogs = self.named(fields.optional("catalogs"));
        let catalogs =
            catalogs.into_iter().filter_map(|(name, at)| Some((name, self.catalog(&at)?))).collect();
        // Read by `functions` and `extensions`.
        fields.optional("functions");
        fields.optional("extensions");
        fields.close(Extra::Closed, self);
        (secrets, catalogs)
    }

    fn catalog(&mut self, at: &At<'_>) -> Option<Endpoint> {
        let mut fields = Fields::open(at, "a catalog", self)?;
        let endpoint = fields.required("endpoint", self).and_then(|at| self.endpoint(&at, Stage::Body));
        fields.close(Extra::Closed, self);
        endpoint
    }

    /// The entries of a mapping of names.
    fn named<'a>(&mut self, at: Option<At<'a>>) -> Vec<(String, At<'a>)> {
        let Some(at) = at else { return Vec::new() };
        self.object(&at);
        at.entries().iter().map(|entry| (entry.key.clone(), at.entry(entry))).collect()
    }

    fn functions(&mut self, parts: &At<'_>) -> BTreeMap<String, TaskId> {
        let mut functions = self.named(parts.peek("functions"));
        // Keys of a mapping have no order, and ids must not depend on it.
        functions.sort_by(|one, other| one.0.cmp(&other.0));
        let read = |(name, at): (String, At<'_>)| {
            let id = self.task(&name, &at)?;
            Some((name, id))
        };
        functions.into_iter().filter_map(read).collect()
    }

    fn extensions(&mut self, parts: &At<'_>) -> Vec<Extension> {
        let Some(at) = parts.peek("extensions") else { return Vec::new() };
        let items = self.list(&at).unwrap_or_default();
        let read = |item: &At<'_>| {
            let (name, at) = self.single(item, "an extension")?;
            self.extension(name, &at)
        };
        items.iter().filter_map(read).collect()
    }

    fn extension(&mut self, name: &str, at: &At<'_>) -> Option<Extension> {
        let mut fields = Fields::open(at, "an extension", self)?;
        let target = fields.required("extend", self).and_then(|at| self.choice(&at, &TARGETS));
        let when = self.optional_expression(&mut fields, "when", Stage::Condition);
        let before = fields.optional("before").map(|at| self.block(&at)).unwrap_or_default();
        let after = fields.optional("after").map(|at| self.block(&at)).unwrap_or_default();
        fields.close(Extra::Closed, self);
        if before.tasks.is_empty() && after.tasks.is_empty() {
            self.warn(Rule::Extensions, at, "the extension does nothing", "add `before` or `after`");
        }
        Some(Extension { name: name.to_owned(), target: target?, when, before, after })
    }
}

/// The schema's pattern for names.
pub(crate) fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    text.len() <= 63
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}
