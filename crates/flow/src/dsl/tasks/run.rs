//! `run`: a script, a shell command or another workflow. Containers are refused (rule 22); scripts and commands need the
//! operator's switch (rule 23).

use trunkline_packs::suggest::quoted;

use crate::dsl::resource::ExternalResource;
use crate::expression::{Stage, Template};
use crate::read::{At, Extra, Fields, Reader};
use crate::rule::Rule;

/// Runs something.
#[derive(Debug, Clone)]
pub struct Run {
    /// What.
    pub process: Process,
    /// Whether to wait for its end; its output is the input where not.
    pub wait: bool,
    /// What of it becomes the output.
    pub output: ProcessOutput,
}

/// What can be run.
#[derive(Debug, Clone)]
pub enum Process {
    /// A script.
    Script(Script),
    /// A command of the shell.
    Shell(Shell),
    /// Another workflow.
    Workflow(SubWorkflow),
}

/// A script.
#[derive(Debug, Clone)]
pub struct Script {
    /// The language.
    pub language: Language,
    /// The code, or where it lies.
    pub code: Code,
    /// Text for its standard input.
    pub stdin: Option<Template>,
    /// Its arguments.
    pub arguments: Vec<Template>,
    /// Its environment.
    pub environment: Template,
}

/// Languages of scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "they say it")]
pub enum Language {
    JavaScript,
    Python,
}

/// A script's code.
#[derive(Debug, Clone)]
pub enum Code {
    /// The code.
    Inline(Template),
    /// Where it lies.
    External(Box<ExternalResource>),
}

/// A command of the shell.
#[derive(Debug, Clone)]
pub struct Shell {
    /// The command.
    pub command: Template,
    /// Text for its standard input.
    pub stdin: Option<Template>,
    /// Its arguments.
    pub arguments: Vec<Template>,
    /// Its environment.
    pub environment: Template,
}

/// Another workflow.
#[derive(Debug, Clone)]
pub struct SubWorkflow {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its version, or `latest`.
    pub version: String,
    /// Its input; the task's input where absent.
    pub input: Option<Template>,
}

/// What of a process becomes the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProcessOutput {
    /// What it wrote.
    #[default]
    Stdout,
    /// What it complained of.
    Stderr,
    /// Its exit code.
    Code,
    /// All three, as an object.
    All,
    /// Nothing: the output is null.
    None,
}

const OUTPUTS: [(&str, ProcessOutput); 5] = [
    ("stdout", ProcessOutput::Stdout),
    ("stderr", ProcessOutput::Stderr),
    ("code", ProcessOutput::Code),
    ("all", ProcessOutput::All),
    ("none", ProcessOutput::None),
];
const CLEANUPS: [(&str, bool); 3] = [("always", false), ("never", false), ("eventually", true)];
const PULL_POLICIES: [(&str, ()); 3] = [("ifNotPresent", ()), ("always", ()), ("never", ())];

impl Process {
    /// Tells whether the operator must have allowed it.
    pub fn needs_switch(&self) -> bool {
        !matches!(self, Self::Workflow(_))
    }
}

impl Reader {
    pub(super) fn run(&mut self, fields: &mut Fields<'_>) -> Option<Run> {
        let at = fields.required("run", self)?;
        let mut fields = Fields::open(&at, "`run`", self)?;
        let wait = fields.optional("await").and_then(|at| self.flag(&at)).unwrap_or(true);
        let output = fields.optional("return").and_then(|at| self.choice(&at, &OUTPUTS)).unwrap_or_default();
        let kind = fields.one_of(&["container", "script", "shell", "workflow"], self);
        fields.close(Extra::Closed, self);
        let inner = at.peek(kind?)?;
        let process = match kind? {
            "container" => {
                self.container(&inner);
                self.rule(
                    Rule::NoContainers,
                    &inner,
                    "containers cannot be run",
                    "call a service, or run the container elsewhere and listen for its events",
                );
                None
            }
            "script" => self.script(&inner).map(Process::Script),
            "shell" => self.shell(&inner).map(Process::Shell),
            _ => self.sub_workflow(&inner).map(Process::Workflow),
        }?;
        Some(Run { process, wait, output })
    }

    fn script(&mut self, at: &At<'_>) -> Option<Script> {
        let stage = Stage::Body;
        let mut fields = Fields::open(at, "a script", self)?;
        let language = fields.required("language", self).and_then(|at| self.language(&at));
        let code = match fields.one_of(&["code", "source"], self) {
            Some("code") => at.peek("code").map(|at| Code::Inline(self.text_value(&at, stage))),
            Some(_) => at
                .peek("source")
                .and_then(|at| self.external_resource(&at, stage))
                .map(|resource| Code::External(Box::new(resource))),
            None => None,
        };
        let (stdin, arguments, environment) = self.process_parts(&mut fields);
        fields.close(Extra::Closed, self);
        Some(Script { language: language?, code: code?, stdin, arguments, environment })
    }

    fn language(&mut self, at: &At<'_>) -> Option<Language> {
        let text = self.text(at)?;
        match text {
            "js" | "javascript" => Some(Language::JavaScript),
            "python" => Some(Language::Python),
            _ => {
                let problem = format!("scripts in {} cannot be run", quoted(text));
                self.rule(Rule::Processes, at, problem, "write it in js or python");
                None
            }
        }
    }

    fn shell(&mut self, at: &At<'_>) -> Option<Shell> {
        let mut fields = Fields::open(at, "a shell command", self)?;
        let command = fields.required("command", self).map(|at| self.text_value(&at, Stage::Body));
        let (stdin, arguments, environment) = self.process_parts(&mut fields);
        fields.close(Extra::Closed, self);
        Some(Shell { command: command?, stdin, arguments, environment })
    }

    fn process_parts(&mut self, fields: &mut Fields<'_>) -> (Option<Template>, Vec<Template>, Template) {
        let stage = Stage::Body;
        let stdin = fields.optional("stdin").map(|at| self.text_value(&at, stage));
        let arguments =
            fields.optional("arguments").map(|at| self.text_templates(&at, stage)).unwrap_or_default();
        let environment = fields.optional("environment").map(|at| self.object_template(&at, stage));
        (stdin, arguments, environment.unwrap_or(Template::Map(Vec::new())))
    }

    fn sub_workflow(&mut self, at: &At<'_>) -> Option<SubWorkflow> {
        let mut fields = Fields::open(at, "a workflow to run", self)?;
        let [namespace, name, version] =
            ["namespace", "name", "version"].map(|key| self.required_text(&mut fields, key));
        let input = fields.optional("input").map(|at| self.object_template(&at, Stage::Body));
        fields.close(Extra::Closed, self);
        Some(SubWorkflow { namespace: namespace?, name: name?, version: version?, input })
    }

    /// Reads a container for its faults only, so that all of them are told at once.
    fn container(&mut self, at: &At<'_>) {
        let stage = Stage::Body;
        let Some(mut fields) = Fields::open(at, "a container", self) else { return };
        fields.required("image", self).map(|at| self.text_value(&at, stage));
        for key in ["name", "command"] {
            fields.optional(key).map(|at| self.text_value(&at, stage));
        }
        for key in ["ports", "volumes"] {
            fields.optional(key).and_then(|at| self.object(&at));
        }
        self.process_parts(&mut fields);
        if let Some(at) = fields.optional("lifetime") {
            self.container_lifetime(&at);
        }
        fields.optional("pullPolicy").and_then(|at| self.choice(&at, &PULL_POLICIES));
        fields.close(Extra::Closed, self);
    }

    fn container_lifetime(&mut self, at: &At<'_>) {
        let Some(mut fields) = Fields::open(at, "a container's lifetime", self) else { return };
        let needs_after = fields.required("cleanup", self).and_then(|at| self.choice(&at, &CLEANUPS));
        let after = fields.optional("after").map(|at| self.duration(&at, Stage::Body)).is_some();
        fields.close(Extra::Closed, self);
        if needs_after.is_some_and(|needed| needed != after) {
            self.shape(at, "`after` belongs to the cleanup `eventually`", "add or remove `after`");
        }
    }
}
