//! The event catalogue: every known event type by name and version, and whether data fits.
//!
//! A catalogue is a value. Changing it makes another one that shares all compiled schemas, so that the hub can swap
//! catalogues under readers, keep one per tenant on top of the packs', and hand them out by the clone.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use trunkline_model::EventType;

use crate::draft::{CataloguedType, Deprecation};
use crate::schema::DataFault;

/// Every known event type. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    types: Arc<BTreeMap<EventType, Versions>>,
}

type Versions = BTreeMap<u32, Arc<CataloguedType>>;

/// An event type was added that the catalogue has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the catalogue has version {version} of {event_type}")]
pub struct Duplicate {
    /// The type.
    pub event_type: EventType,
    /// Its version.
    pub version: u32,
}

/// What the catalogue says about data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validation {
    /// It does not know the type, or not in that version. Whether that is allowed is the caller's policy.
    Unknown,
    /// The data fits.
    Valid {
        /// Set when the type should no longer be used.
        deprecation: Option<Deprecation>,
    },
    /// The data does not fit.
    Invalid {
        /// Where and why. Never quotes the data.
        faults: Vec<DataFault>,
        /// Whether these are all faults.
        complete: bool,
    },
}

impl Validation {
    /// Tells whether the data fits a known type.
    pub fn is_valid(&self) -> bool {
        matches!(self, Self::Valid { .. })
    }
}

impl fmt::Display for DataFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = if self.pointer.is_empty() { "the data" } else { &self.pointer };
        write!(f, "{at} {}", self.problem)
    }
}

impl Catalogue {
    /// Makes a catalogue of types.
    ///
    /// # Errors
    ///
    /// The first type and version that comes twice.
    pub fn of(types: impl IntoIterator<Item = Arc<CataloguedType>>) -> Result<Self, Duplicate> {
        Self::default().with(types)
    }

    /// Returns a catalogue with more types.
    ///
    /// # Errors
    ///
    /// The first type and version that is known already; this catalogue stays as it is.
    pub fn with(&self, types: impl IntoIterator<Item = Arc<CataloguedType>>) -> Result<Self, Duplicate> {
        let mut all = BTreeMap::clone(&self.types);
        for one in types {
            let (event_type, version) = (one.event_type().clone(), one.declared().version);
            let versions = all.entry(event_type.clone()).or_default();
            if versions.insert(version, one).is_some() {
                return Err(Duplicate { event_type, version });
            }
        }
        Ok(Self { types: Arc::new(all) })
    }

    /// Returns a catalogue without a type, or without one version of it. Unknown ones make no difference.
    #[must_use]
    pub fn without(&self, event_type: &EventType, version: Option<u32>) -> Self {
        let mut all = BTreeMap::clone(&self.types);
        match (version, all.get_mut(event_type)) {
            (Some(version), Some(versions)) if versions.len() > 1 || !versions.contains_key(&version) => {
                versions.remove(&version);
            }
            _ => drop(all.remove(event_type)),
        }
        Self { types: Arc::new(all) }
    }

    /// Finds a type: the given version, or the highest.
    pub fn get(&self, event_type: &EventType, version: Option<u32>) -> Option<&Arc<CataloguedType>> {
        let versions = self.types.get(event_type)?;
        match version {
            Some(version) => versions.get(&version),
            None => versions.last_key_value().map(|(_, one)| one),
        }
    }

    /// Lists every version of every type, by name and version.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<CataloguedType>> {
        self.types.values().flat_map(BTreeMap::values)
    }

    /// Lists the types, each with its versions in ascending order.
    pub fn by_type(&self) -> impl Iterator<Item = (&EventType, impl Iterator<Item = &Arc<CataloguedType>>)> {
        self.types.iter().map(|(event_type, versions)| (event_type, versions.values()))
    }

    /// Tells whether there is no type at all.
    pub fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    /// Holds data against the schema of a type, in the given or the highest version. Bounded in time and memory.
    pub fn validate(&self, event_type: &EventType, version: Option<u32>, data: &Value) -> Validation {
        let Some(found) = self.get(event_type, version) else { return Validation::Unknown };
        let verdict = found.compiled().check(data);
        if verdict.faults.is_empty() {
            return Validation::Valid { deprecation: found.declared().deprecation.clone() };
        }
        Validation::Invalid { faults: verdict.faults, complete: verdict.complete }
    }

    /// Like [`Self::validate`], for data that is still text.
    pub fn validate_json(&self, event_type: &EventType, version: Option<u32>, data: &[u8]) -> Validation {
        if self.get(event_type, version).is_none() {
            return Validation::Unknown;
        }
        match serde_json::from_slice(data) {
            Ok(data) => self.validate(event_type, version, &data),
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                let fault = DataFault {
                    pointer: String::new(),
                    keyword: "json".to_owned(),
                    problem: format!("is no valid JSON at line {line}, column {column}"),
                };
                Validation::Invalid { faults: vec![fault], complete: true }
            }
        }
    }
}
