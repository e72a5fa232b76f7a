//! Ready workflows to start from, as the pack `templates` of the repository writes them.

use std::sync::{Arc, LazyLock};

use serde_json::Value;

use crate::program::{Format, Program, compile};

/// A ready workflow.
#[derive(Debug, Clone)]
pub struct Template {
    /// What it is called by.
    pub name: &'static str,
    /// Its definition, in YAML.
    pub text: &'static str,
    /// The same, compiled.
    pub program: Arc<Program>,
}

/// The texts, by name.
const TEXTS: [(&str, &str); 8] = [
    ("approval", include_str!("../../../packs/templates/workflows/approval.yaml")),
    ("conditional-routing", include_str!("../../../packs/templates/workflows/conditional-routing.yaml")),
    ("cron-report", include_str!("../../../packs/templates/workflows/cron-report.yaml")),
    ("event-sync", include_str!("../../../packs/templates/workflows/event-sync.yaml")),
    ("parallel-review", include_str!("../../../packs/templates/workflows/parallel-review.yaml")),
    ("reminder-escalation", include_str!("../../../packs/templates/workflows/reminder-escalation.yaml")),
    ("saga", include_str!("../../../packs/templates/workflows/saga.yaml")),
    ("two-level-approval", include_str!("../../../packs/templates/workflows/two-level-approval.yaml")),
];

static TEMPLATES: LazyLock<Vec<Template>> = LazyLock::new(|| {
    let compiled = |(name, text): &(&'static str, &'static str)| {
        let compiled = compile(text, Format::Yaml).expect("invariant: templates compile");
        Template { name, text, program: Arc::new(compiled.program) }
    };
    TEXTS.iter().map(compiled).collect()
});

/// Lists the templates, by name.
pub fn templates() -> &'static [Template] {
    &TEMPLATES
}

impl Template {
    /// A name for people.
    pub fn title(&self) -> &str {
        self.words("/document/title")
    }

    /// What it does.
    pub fn description(&self) -> &str {
        self.words("/document/summary")
    }

    fn words(&self, pointer: &str) -> &str {
        self.program.definition().pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// The JSON Schema of its input, where it asks for one.
    pub fn inputs(&self) -> Option<&Value> {
        self.program.definition().pointer("/input/schema/document")
    }

    /// Whether events or times start it once it is active.
    pub fn starts_by_itself(&self) -> bool {
        self.program.workflow().schedule.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workflow_of_the_pack_is_a_template_that_says_what_it_does() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packs/templates/workflows");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap().replace(".yaml", ""))
            .collect();
        files.sort();
        let names: Vec<&str> = templates().iter().map(|template| template.name).collect();
        assert_eq!(names, files);
        for template in templates() {
            assert_eq!(template.program.workflow().document.name, template.name);
            assert!(!template.title().is_empty() && !template.description().is_empty(), "{}", template.name);
            assert!(template.inputs().is_some() || template.starts_by_itself(), "{}", template.name);
        }
    }
}
