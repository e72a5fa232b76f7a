//! Event types of a pack: `schemas/*.json`, with the definitions they share in `schemas/defs/*.json`.
//!
//! Every document is checked where it stands, so that faults have the line of the author's file. When all are right,
//! each event type's schema is bundled with what it refers to and compiled.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::document::{FaultSink, Fields, Node, flag, parse_json};
use crate::draft::{CataloguedType, Deprecation, EventTypeDraft, MAX_DESCRIPTION, MAX_TITLE, Origin};
use crate::fault::PackFault;
use crate::folder::{Contents, Part};
use crate::pack::Place;
use crate::samples::{read_type, read_version};
use crate::schema::bundle::{Bundle, Home};
use crate::schema::cost::schema_pointers;
use crate::schema::keywords::is_schema;
use crate::schema::lint;
use crate::schema::reference::Reference;

/// An event type and where it is declared.
pub(crate) type Placed = (Place, Arc<CataloguedType>);

/// Reads all event types of a pack; `None` unless all of them are right.
pub(crate) fn read(pack: &str, contents: &Contents) -> (Option<Vec<Placed>>, Vec<PackFault>) {
    let mut faults = Vec::new();
    let mut documents = Documents::default();
    let mut declared = Vec::new();
    for part in [Part::EventTypes, Part::Definitions] {
        documents.broken.extend(contents.unread_of(part).map(|stem| document_name(part, stem)));
        for file in contents.of(part) {
            let mut sink = FaultSink::new(&file.path);
            let name = document_name(part, &file.stem);
            let schema = match parse_json(&file.text) {
                Err(found) => {
                    sink.syntax(found);
                    None
                }
                Ok(node) if part == Part::Definitions => Some(node),
                Ok(node) => declaration(&node, &mut sink, &file.path, &name, &mut declared),
            };
            match schema {
                Some(schema) => drop(documents.all.insert(name, Document::new(&file.path, schema))),
                None => drop(documents.broken.insert(name)),
            }
            faults.extend(sink.into_faults());
        }
    }
    check_documents(&documents, &mut faults);
    check_unique(&declared, &mut faults);
    if !(faults.is_empty() && documents.broken.is_empty()) {
        return (None, faults);
    }
    let mut types = Vec::new();
    for one in declared {
        match compile(pack, &one, &documents) {
            Ok(compiled) => {
                let place = Place { position: one.node.position_of("/type"), file: one.file };
                types.push((place, Arc::new(compiled)));
            }
            Err(found) => faults.extend(found),
        }
    }
    (faults.is_empty().then_some(types), faults)
}

/// The name under which references reach a schema.
fn document_name(part: Part, stem: &str) -> String {
    match part {
        Part::Definitions => format!("defs/{stem}.json"),
        _ => format!("{stem}.json"),
    }
}

/// The schema documents of a pack, by name.
#[derive(Default)]
struct Documents {
    all: BTreeMap<String, Document>,
    /// Names of documents with faults of their own; references to them are not to blame.
    broken: BTreeSet<String>,
}

/// A schema document of the pack.
struct Document {
    file: PathBuf,
    node: Node,
    schema: Value,
    /// Where references may lead.
    targets: HashSet<String>,
}

impl Document {
    fn new(file: &Path, node: Node) -> Self {
        let schema = node.to_json();
        let targets = if is_schema(&schema) { schema_pointers(&schema) } else { HashSet::new() };
        Self { file: file.to_owned(), node, schema, targets }
    }
}

/// An event type's file, read.
struct Declared {
    file: PathBuf,
    /// The name under which references reach the schema.
    document: String,
    node: Node,
    draft: EventTypeDraft,
}

/// Reads the file of one event type; returns the schema's node.
fn declaration(
    node: &Node,
    sink: &mut FaultSink,
    file: &Path,
    document: &str,
    declared: &mut Vec<Declared>,
) -> Option<Node> {
    let mut fields = Fields::open(node, "an event type", sink)?;
    let event_type = fields.required("type", sink).and_then(|node| read_type(node, "type", sink));
    let version = match fields.optional("version") {
        None => Some(1),
        Some(node) => read_version(node, sink),
    };
    let title = fields.text("title", MAX_TITLE, sink).map(str::to_owned);
    let description = fields.text("description", MAX_DESCRIPTION, sink).map(str::to_owned);
    let deprecated = flag(fields.optional("deprecated"), "deprecated", sink);
    let replaced_by = fields.optional("replaced_by").map(|node| (node, read_type(node, "replaced_by", sink)));
    let schema = fields.required("schema", sink);
    let example = fields.required("example", sink);
    if let Some((node, successor)) = &replaced_by {
        if !deprecated {
            sink.at(node.position, "`replaced_by` without `deprecated`", "add \"deprecated\": true");
        }
        if successor.is_some() && *successor == event_type {
            sink.at(node.position, "`replaced_by` names the type itself", "name its successor");
        }
    }
    fields.close(sink);
    let replaced_by = replaced_by.and_then(|(_, successor)| successor);
    if let (Some(event_type), Some(version), Some(schema), Some(example)) =
        (event_type, version, schema, example)
    {
        declared.push(Declared {
            file: file.to_owned(),
            document: document.to_owned(),
            node: node.clone(),
            draft: EventTypeDraft {
                event_type,
                version,
                title: title.unwrap_or_default(),
                description: description.unwrap_or_default(),
                schema: schema.to_json(),
                example: Some(example.to_json()),
                deprecation: deprecated.then_some(Deprecation { replaced_by }),
            },
        });
    }
    schema.cloned()
}

/// Checks each schema document where it stands.
fn check_documents(documents: &Documents, faults: &mut Vec<PackFault>) {
    for (name, document) in &documents.all {
        let resolves = |reference: &Reference| {
            let Some(target) = reference.document(name) else {
                return Err("leads out of schemas/".to_owned());
            };
            match documents.all.get(&target) {
                None if documents.broken.contains(&target) => Ok(()),
                None => Err(format!("the pack has no schema file schemas/{target}")),
                Some(document) if document.targets.contains(&reference.pointer) => Ok(()),
                Some(_) => Err("leads to no schema".to_owned()),
            }
        };
        let mut sink = FaultSink::new(&document.file);
        for fault in lint::lint(&document.schema, &resolves) {
            sink.document(&document.node, fault);
        }
        faults.extend(sink.into_faults());
    }
}

/// Refuses a type and version that two files declare.
fn check_unique(declared: &[Declared], faults: &mut Vec<PackFault>) {
    let mut first = BTreeMap::new();
    for one in declared {
        let key = (one.draft.event_type.clone(), one.draft.version);
        if let Some(other) = first.insert(key, &one.file) {
            faults.push(PackFault::new(
                &one.file,
                Some(one.node.position_of("/type")),
                format!(
                    "version {} of {} is declared by {} too",
                    one.draft.version,
                    one.draft.event_type,
                    other.file_name().unwrap_or_default().display()
                ),
                "remove one of them, or give it the next version",
            ));
        }
    }
}

fn compile(pack: &str, one: &Declared, documents: &Documents) -> Result<CataloguedType, Vec<PackFault>> {
    let find = |name: &str| documents.all.get(name).map(|document| &document.schema);
    let schema = &one.draft.schema;
    let bundle = Bundle { document: &one.document, pointer: "", schema, home: Home::Stays, find: &find };
    let compiled = bundle
        .make()
        .map_err(|faults| faults.into_iter().map(|fault| fault.under("/schema")).collect())
        .and_then(|schema| {
            EventTypeDraft { schema, ..one.draft.clone() }.compile(Origin::Pack(pack.to_owned()))
        });
    compiled.map_err(|faults: Vec<_>| {
        let mut sink = FaultSink::new(&one.file);
        for fault in faults {
            sink.document(&one.node, fault);
        }
        sink.into_faults()
    })
}
