//! One event type: as somebody wrote it ([`EventTypeDraft`]), and checked and compiled ([`CataloguedType`]).

use serde_json::Value;
use trunkline_model::EventType;

use crate::fault::DocumentFault;
use crate::pointer;
use crate::schema::{CompiledSchema, inline};

/// The longest title, in characters.
pub(crate) const MAX_TITLE: usize = 120;
/// The longest description, in characters.
pub(crate) const MAX_DESCRIPTION: usize = 4000;

/// An event type as written by a person or an import, not checked yet.
#[derive(Debug, Clone, PartialEq)]
pub struct EventTypeDraft {
    /// The type.
    pub event_type: EventType,
    /// Which version of the type's data this is, from 1.
    pub version: u32,
    /// A name for people, at most 120 characters.
    pub title: String,
    /// What happened when this event comes, at most 4,000 characters; may be empty.
    pub description: String,
    /// JSON Schema 2020-12 of the event's data, self-contained: every `$ref` leads into it.
    pub schema: Value,
    /// Data that fits the schema.
    pub example: Option<Value>,
    /// Set when the type should no longer be used.
    pub deprecation: Option<Deprecation>,
}

/// Says that an event type should no longer be used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Deprecation {
    /// What to use instead.
    pub replaced_by: Option<EventType>,
}

/// Where an event type of the catalogue comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// From the pack of this name.
    Pack(String),
    /// Added at run time.
    Added,
}

/// An event type with a compiled schema. Never changes; the catalogue shares it.
#[derive(Debug)]
pub struct CataloguedType {
    draft: EventTypeDraft,
    origin: Origin,
    compiled: CompiledSchema,
}

impl EventTypeDraft {
    /// Checks everything and compiles the schema.
    ///
    /// # Errors
    ///
    /// Every fault, its pointer beginning with the name of the field: `/schema/properties/id/format`.
    pub fn check(self) -> Result<CataloguedType, Vec<DocumentFault>> {
        let mut faults = self.check_texts();
        let of_schema = inline::faults_of(&self.schema).into_iter();
        faults.extend(of_schema.map(|fault| fault.under("/schema")));
        if faults.is_empty() { self.compile(Origin::Added) } else { Err(faults) }
    }

    /// Compiles a draft whose schema has passed the lint.
    pub(crate) fn compile(self, origin: Origin) -> Result<CataloguedType, Vec<DocumentFault>> {
        let compiled = CompiledSchema::compile(&self.schema).map_err(|fault| vec![fault.under("/schema")])?;
        if let Some(example) = &self.example {
            let verdict = compiled.check(example);
            if !verdict.faults.is_empty() {
                let faults = verdict.faults.into_iter();
                return Err(faults
                    .map(|fault| {
                        DocumentFault::new(fault.pointer, fault.problem, "make the example fit the schema")
                            .under("/example")
                    })
                    .collect());
            }
        }
        Ok(CataloguedType { draft: self, origin, compiled })
    }

    fn check_texts(&self) -> Vec<DocumentFault> {
        let mut faults = Vec::new();
        let mut check = |field: &str, text: &str, max: usize| {
            if text.chars().count() > max {
                let at = pointer::join("", field);
                faults.push(DocumentFault::new(at, format!("is longer than {max} characters"), "shorten it"));
            }
        };
        check("title", &self.title, MAX_TITLE);
        check("description", &self.description, MAX_DESCRIPTION);
        if self.title.trim().is_empty() {
            faults.push(DocumentFault::new("/title", "is empty", "give the type a name for people"));
        }
        if self.version == 0 {
            faults.push(DocumentFault::new("/version", "must be at least 1", "count versions from 1"));
        }
        let replaced_by = self.deprecation.as_ref().and_then(|it| it.replaced_by.as_ref());
        if replaced_by == Some(&self.event_type) {
            faults.push(DocumentFault::new("/replaced_by", "names the type itself", "name its successor"));
        }
        faults
    }
}

impl CataloguedType {
    /// The type.
    pub fn event_type(&self) -> &EventType {
        &self.draft.event_type
    }

    /// Everything that was declared; the schema is self-contained, whatever files it came from.
    pub fn declared(&self) -> &EventTypeDraft {
        &self.draft
    }

    /// Where it comes from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(crate) fn compiled(&self) -> &CompiledSchema {
        &self.compiled
    }
}
