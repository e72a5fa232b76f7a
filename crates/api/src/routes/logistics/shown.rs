//! What answers show of deliveries, pickups and what belongs to them.

use serde::Serialize;
use serde_json::Value;
use trunkline_logistics::Priority;
use trunkline_model::{DriverId, RecurrenceId, RouteId, Timestamp};
use trunkline_store::tables::logistics::billing::InvoiceUpdateRow;
use trunkline_store::tables::logistics::task::LogisticsTaskRow;
use utoipa::ToSchema;

/// Where something is.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = GeoPosition)]
pub(super) struct PositionAnswer {
    #[schema(minimum = -90, maximum = 90)]
    lat: f64,
    #[schema(minimum = -180, maximum = 180)]
    lon: f64,
}

impl PositionAnswer {
    pub(super) fn of(position_e7: Option<(i64, i64)>) -> Option<Self> {
        position_e7.map(|(lat, lon)| Self { lat: lat as f64 / 1e7, lon: lon as f64 / 1e7 })
    }
}

/// A stretch of time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TimeWindow)]
struct WindowAnswer {
    #[schema(format = DateTime)]
    from: String,
    #[schema(format = DateTime)]
    until: String,
}

/// A delivery or a pickup.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LogisticsTask)]
pub(super) struct TaskAnswer {
    id: String,
    /// `delivery` or `pickup`.
    kind: &'static str,
    clinic_id: String,
    /// The date in the clinic's time zone.
    #[schema(format = Date)]
    day: String,
    /// `pending`, `assigned`, `under_way`, `completed` or `cancelled`.
    status: &'static str,
    /// `STANDARD`, `RUSH` or `EMERGENCY`.
    priority: &'static str,
    /// All packages, added up: pieces, grams, the largest edges, the volume, words for handling.
    package: Value,
    /// How many cases a delivery brings.
    #[schema(minimum = 0)]
    n_cases: i64,
    /// Whether further cases are added to it.
    collecting: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = WindowAnswer)]
    window: Option<WindowAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    recurrence_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    driver_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    route_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    note: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    closed_at: Option<String>,
}

impl From<&LogisticsTaskRow> for TaskAnswer {
    fn from(row: &LogisticsTaskRow) -> Self {
        let show = |(from, until): (Timestamp, Timestamp)| WindowAnswer {
            from: from.to_rfc3339(),
            until: until.to_rfc3339(),
        };
        Self {
            id: row.id.as_str().to_owned(),
            kind: row.kind.as_str(),
            clinic_id: row.clinic_id.as_str().to_owned(),
            day: row.day.clone(),
            status: row.status.as_str(),
            priority: Priority::from_rank(row.priority).as_str(),
            package: serde_json::from_str(&row.package).unwrap_or_default(),
            n_cases: row.n_cases,
            collecting: row.is_collecting,
            window: row.window.map(show),
            recurrence_id: row.recurrence_id.clone().map(RecurrenceId::into_string),
            driver_id: row.driver_id.clone().map(DriverId::into_string),
            route_id: row.route_id.clone().map(RouteId::into_string),
            note: row.note.clone(),
            created_at: row.created_at.to_rfc3339(),
            updated_at: row.updated_at.to_rfc3339(),
            closed_at: row.closed_at.map(Timestamp::to_rfc3339),
        }
    }
}

/// One case of a delivery.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CaseOfDelivery)]
pub(super) struct CaseAnswer {
    pub(super) case_id: String,
    /// `ready` or `delivered`.
    pub(super) status: &'static str,
    /// `STANDARD`, `RUSH` or `EMERGENCY`.
    pub(super) priority: &'static str,
    pub(super) package: Value,
}

/// The cases of a delivery.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CasesOfDelivery)]
pub(super) struct CasesAnswer {
    pub(super) items: Vec<CaseAnswer>,
}

/// One invoice that a delivery changes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InvoiceUpdate)]
pub(super) struct UpdateAnswer {
    pub(super) invoice_id: String,
    pub(super) task_id: String,
    /// `pending`, `done` or `failed`.
    pub(super) status: &'static str,
    #[schema(minimum = 0)]
    pub(super) n_attempts: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    pub(super) next_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    pub(super) error: Option<String>,
}

impl From<InvoiceUpdateRow> for UpdateAnswer {
    fn from(row: InvoiceUpdateRow) -> Self {
        Self {
            invoice_id: row.invoice_id.into_string(),
            task_id: row.task_id.into_string(),
            status: row.status.as_str(),
            n_attempts: row.n_attempts,
            next_at: row.next_at.map(Timestamp::to_rfc3339),
            error: row.error,
        }
    }
}

/// How the invoices of a delivery stand.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Billing)]
pub(super) struct BillingAnswer {
    #[schema(minimum = 0)]
    pub(super) n_pending: i64,
    #[schema(minimum = 0)]
    pub(super) n_failed: i64,
    /// When `billing.triggered` was first emitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    pub(super) triggered_at: Option<String>,
    pub(super) items: Vec<UpdateAnswer>,
}

/// That something was handed over.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProofOfDelivery)]
pub(super) struct ProofAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    pub(super) recipient: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    pub(super) signature_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    pub(super) photo_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    pub(super) geohash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = PositionAnswer)]
    pub(super) position: Option<PositionAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    pub(super) note: Option<String>,
    #[schema(format = DateTime)]
    pub(super) taken_at: String,
}
