//! The event catalogue of each tenant: the packs' event types with the tenant's own on top, and how strictly emitted
//! events are held against it.
//!
//! What a tenant has stored is read again after two seconds, so that a change made on another node counts within that
//! time; on this node it counts at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use trunkline_model::{Event, FieldError, Tenant, event::ExtensionValue};
use trunkline_packs::{Catalogue, CataloguedType, DataFault, Deprecation, EventTypeDraft, Validation};
use trunkline_store::tables::event_type::{EventTypeRow, event_type_list, tenant_settings_get};
use trunkline_store::{ReadError, Store};
use utoipa::ToSchema;

/// How long what was read of a tenant counts.
const FRESH_FOR: Duration = Duration::from_secs(2);
/// Tenants remembered at once.
const MAX_TENANTS: usize = 10_000;
/// The longest note about a misfit event, in characters.
const MAX_NOTE: usize = 300;
/// The extension attribute that says how an event misses its schema.
pub const SCHEMA_FAULT: &str = "schemafault";

/// What happens to an emitted event whose data does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SchemaCheck {
    /// Nothing is checked.
    Off,
    /// It is stored, marked with the extension attribute `schemafault`; the answer lists the faults as warnings.
    #[default]
    Warn,
    /// It is refused with every fault. Types that the catalogue does not know pass.
    Enforce,
    /// It is refused, and so are types that the catalogue does not know.
    Strict,
}

impl SchemaCheck {
    /// Every choice, as written.
    pub(crate) const NAMES: [&'static str; 4] = ["off", "warn", "enforce", "strict"];

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Off, Self::Warn, Self::Enforce, Self::Strict]
            .into_iter()
            .zip(Self::NAMES)
            .find_map(|(check, name)| (name == text).then_some(check))
    }
}

/// What a tenant has chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct TenantSettings {
    /// How strictly emitted events are held against the catalogue.
    #[serde(default)]
    pub schema_check: SchemaCheck,
}

/// One tenant's view.
#[derive(Debug, Clone, Default)]
pub(crate) struct TenantCatalogue {
    pub(crate) settings: TenantSettings,
    pub(crate) catalogue: Catalogue,
}

struct Cached {
    read_at: Instant,
    /// Which packs it was made with.
    generation: u64,
    view: Arc<TenantCatalogue>,
}

#[derive(Default)]
struct Packs {
    generation: u64,
    catalogue: Catalogue,
}

/// The catalogues of all tenants. Cheap to clone.
#[derive(Clone, Default)]
pub struct EventCatalogue(Arc<Shared>);

#[derive(Default)]
struct Shared {
    packs: RwLock<Packs>,
    tenants: Mutex<HashMap<Tenant, Cached>>,
}

impl std::fmt::Debug for EventCatalogue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EventCatalogue({} tenants)", self.0.tenants.lock().len())
    }
}

impl EventCatalogue {
    /// Puts the event types of the packs in use in place of those before.
    pub fn set_packs(&self, catalogue: Catalogue) {
        let mut packs = self.0.packs.write();
        packs.generation += 1;
        packs.catalogue = catalogue;
    }

    /// Forgets what was read of a tenant, after it was changed.
    pub(crate) fn forget(&self, tenant: &Tenant) {
        self.0.tenants.lock().remove(tenant);
    }

    /// A tenant's settings and catalogue.
    pub(crate) async fn of(&self, store: &Store, tenant: &Tenant) -> Result<Arc<TenantCatalogue>, ReadError> {
        let generation = self.0.packs.read().generation;
        if let Some(cached) = self.0.tenants.lock().get(tenant)
            && cached.generation == generation
            && cached.read_at.elapsed() < FRESH_FOR
        {
            return Ok(Arc::clone(&cached.view));
        }
        let read_at = Instant::now();
        let settings = tenant_settings_get(store, tenant)
            .await?
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        let rows = event_type_list(store, tenant).await?;
        let packs = self.0.packs.read().catalogue.clone();
        let view = Arc::new(TenantCatalogue { settings, catalogue: overlaid(packs, rows) });
        let mut tenants = self.0.tenants.lock();
        if tenants.len() >= MAX_TENANTS {
            tenants.clear();
        }
        tenants.insert(tenant.clone(), Cached { read_at, generation, view: Arc::clone(&view) });
        Ok(view)
    }
}

/// The packs' types with a tenant's on top; where both have a version of a type, the tenant's counts.
fn overlaid(mut catalogue: Catalogue, rows: Vec<EventTypeRow>) -> Catalogue {
    let own: Vec<Arc<CataloguedType>> =
        rows.into_iter().filter_map(|row| draft_of(row)?.check().ok()).map(Arc::new).collect();
    for one in &own {
        catalogue = catalogue.without(one.event_type(), Some(one.declared().version));
    }
    catalogue.with(own).unwrap_or(catalogue)
}

/// What was stored; `None` when it cannot be read any more.
fn draft_of(row: EventTypeRow) -> Option<EventTypeDraft> {
    let replaced_by =
        row.replaced_by.as_deref().and_then(|text| trunkline_model::EventType::parse(text).ok());
    Some(EventTypeDraft {
        event_type: row.event_type,
        version: u32::try_from(row.version).ok()?,
        title: row.title,
        description: row.description,
        schema: serde_json::from_str(&row.data_schema).ok()?,
        example: row.example.and_then(|text| serde_json::from_str(&text).ok()),
        deprecation: row.deprecated.then_some(Deprecation { replaced_by }),
    })
}

impl TenantCatalogue {
    /// Holds an event against the catalogue as the tenant wishes. Gives warnings, which the event then also carries.
    ///
    /// # Errors
    /// Every fault, when the tenant wants such events refused.
    pub(crate) fn judge(&self, event: &mut Event) -> Result<Vec<FieldError>, Vec<FieldError>> {
        let check = self.settings.schema_check;
        if check == SchemaCheck::Off {
            return Ok(vec![]);
        }
        let data = event.data.as_json().map_or(&b"null"[..], str::as_bytes);
        let faults = match self.catalogue.validate_json(&event.event_type, None, data) {
            Validation::Unknown if check == SchemaCheck::Strict => {
                let detail = "is not in the event catalogue";
                return Err(vec![FieldError::new("/type", "unknown", detail)]);
            }
            Validation::Unknown | Validation::Valid { .. } => return Ok(vec![]),
            Validation::Invalid { faults, .. } => faults,
        };
        let errors: Vec<FieldError> = faults.iter().map(field_error).collect();
        if check != SchemaCheck::Warn {
            return Err(errors);
        }
        event.extensions.insert(SCHEMA_FAULT.to_owned(), ExtensionValue::String(note(&faults)));
        Ok(errors)
    }
}

fn field_error(fault: &DataFault) -> FieldError {
    FieldError::new(format!("/data{}", fault.pointer), "schema", fault.problem.clone())
}

/// The faults in one line. Quotes the schema only, never the data.
fn note(faults: &[DataFault]) -> String {
    let text = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    text.chars().filter(|c| !c.is_control()).take(MAX_NOTE).collect()
}
