//! Operations on both stores: what is true afterwards, and which events tell of it.

mod billing;
mod cases;
mod pickups;
mod routes;
mod tracking;

use jiff::civil::date;
use serde_json::Value;
use trunkline_model::{ClinicId, DriverId, Tenant, Timestamp};
use trunkline_store::tables::event;
use trunkline_store::tables::logistics::clinic::{ClinicRow, clinic_insert};
use trunkline_store::tables::logistics::driver::{DriverRow, driver_insert};
use trunkline_store::{Commit, Store};
use trunkline_testkit::event::tenant;

use super::Cause;
use crate::clinic::tests::clinic;
use crate::rows::to_json;
use crate::{Package, Priority, ReadyCase};

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-03-02T06:00:00Z").unwrap()
}

fn cause() -> Cause {
    Cause::call(tenant(), now())
}

fn cause_at(text: &str) -> Cause {
    Cause::call(tenant(), Timestamp::parse_rfc3339(text).unwrap())
}

fn clinic_row(tenant: Tenant, id: &str) -> ClinicRow {
    let clinic = clinic("Europe/Berlin");
    ClinicRow {
        tenant,
        id: ClinicId::from_text(id),
        name: clinic.name,
        address: clinic.address,
        position_e7: None,
        zone: clinic.zone.name().to_owned(),
        hours: to_json(&clinic.hours),
        holidays: "[]".to_owned(),
        is_active: true,
        version: 1,
        created_at: now(),
        updated_at: now(),
    }
}

/// Two clinics, one that is switched off, and a driver.
async fn populate(store: &Store) {
    let closed = ClinicRow { is_active: false, ..clinic_row(tenant(), "closed") };
    let driver = DriverRow {
        tenant: tenant(),
        id: DriverId::from_text("dana"),
        name: "Dana".to_owned(),
        phone: None,
        person: None,
        is_active: true,
        version: 1,
        created_at: now(),
        updated_at: now(),
    };
    let mut statements: Vec<_> =
        [clinic_row(tenant(), "a"), clinic_row(tenant(), "b"), closed].iter().map(clinic_insert).collect();
    statements.push(driver_insert(&driver));
    store.commit(Commit::statements(statements)).await.unwrap();
}

fn ready(case_id: &str, clinic_id: &str, priority: Priority) -> ReadyCase {
    ReadyCase {
        case_id: case_id.to_owned(),
        clinic_id: clinic_id.to_owned(),
        deliver_on: date(2026, 3, 3),
        priority,
        package: Package { weight_g: 100, ..Package::unknown() },
    }
}

/// Type and data of each event, in the order of the ids.
async fn events(store: &Store) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for shard in 0..store.n_shards() {
        all.extend(event::event_read(store, shard, 0, 1000).await.unwrap());
    }
    all.sort_by(|a, b| a.event.id.cmp(&b.event.id));
    all.into_iter()
        .map(|record| {
            let data = serde_json::from_str(record.event.data.as_json().unwrap()).unwrap();
            (record.event.event_type.as_str().to_owned(), data)
        })
        .collect()
}

async fn event_types(store: &Store) -> Vec<String> {
    events(store).await.into_iter().map(|(event_type, _)| event_type).collect()
}
