//! How long instances took that ended, by hour and definition, in buckets: what figures are made from without looking at
//! the instances.

use trunkline_model::{Shard, Tenant, Timestamp};

use super::instance::{InstanceRow, InstanceStatus};
use crate::tables::select::Select;
use crate::{ReadError, Statement, Store, params};

/// An hour in microseconds.
const HOUR_US: i64 = 3_600_000_000;
/// The most rows of one answer.
const MAX_ROWS: i64 = 100_000;

/// The bucket of a duration: four for each power of two of microseconds.
pub fn duration_bucket(us: i64) -> i64 {
    let us = us.max(1);
    let octave = i64::from(us.ilog2());
    // The fraction to the fourth power is from 1 to 16: its octave is the quarter.
    let fraction = us as f64 / (1_u64 << octave) as f64;
    let quarter = (fraction.powi(4) as i64).clamp(1, 15).ilog2();
    octave * 4 + i64::from(quarter)
}

/// A duration that stands for a bucket: its geometric middle.
pub fn bucket_middle_us(bucket: i64) -> i64 {
    2_f64.powf((bucket as f64 + 0.5) / 4.0).round() as i64
}

/// Adds an instance that has ended.
pub fn durations_add(row: &InstanceRow, status: InstanceStatus, at: Timestamp, took_us: i64) -> Statement {
    Statement::new(
        "INSERT INTO workflow_durations AS d (tenant, hour_at, namespace, name, status, bucket, shard, n, sum_us) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8) \
         ON CONFLICT (tenant, hour_at, namespace, name, status, bucket, shard) \
         DO UPDATE SET n = d.n + 1, sum_us = d.sum_us + excluded.sum_us",
        params![
            row.tenant.as_str(),
            at.as_micros().div_euclid(HOUR_US) * HOUR_US,
            row.namespace.as_str(),
            row.name.as_str(),
            status.as_str(),
            duration_bucket(took_us),
            row.shard,
            took_us
        ],
    )
}

/// Instances of one definition that ended in a step of time in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurationSum {
    /// Where the step begins.
    pub at: Timestamp,
    /// Namespace of the definition.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How they ended.
    pub status: InstanceStatus,
    /// How long they took.
    pub bucket: i64,
    /// How many.
    pub n: i64,
    /// Their times, added up.
    pub sum_us: i64,
}

/// What to sum up.
#[derive(Debug, Clone)]
pub struct DurationFilter {
    /// From the hour in which this time lies …
    pub since: Timestamp,
    /// … to the last that begins before this one.
    pub until: Timestamp,
    /// The steps of time, in whole hours.
    pub step_hours: i64,
    /// Only of this definition: namespace and name.
    pub definition: Option<(String, String)>,
}

/// Sums up a tenant's durations by step of time, definition, status and bucket; at most 100,000 of them.
pub async fn durations_list(
    store: &Store,
    tenant: &Tenant,
    filter: &DurationFilter,
) -> Result<Vec<DurationSum>, ReadError> {
    let step = filter.step_hours.max(1) * HOUR_US;
    let sql = format!(
        "SELECT hour_at - hour_at % {step}, namespace, name, status, bucket, CAST(sum(n) AS BIGINT), \
         CAST(sum(sum_us) AS BIGINT) FROM workflow_durations WHERE tenant = $1"
    );
    let mut select = Select::new(sql, params![tenant.as_str()]);
    select.add(" AND hour_at >= ?", filter.since.as_micros().div_euclid(HOUR_US) * HOUR_US);
    select.add(" AND hour_at < ?", filter.until);
    if let Some((namespace, name)) = &filter.definition {
        select.add(" AND namespace = ?", namespace.as_str());
        select.add(" AND name = ?", name.as_str());
    }
    select.add(" GROUP BY 1, 2, 3, 4, 5 LIMIT ?", MAX_ROWS);
    let rows = store.query(select.sql, select.values).await?;
    let read = |mut row: crate::Row| {
        Ok(DurationSum {
            at: row.time()?,
            namespace: row.text()?,
            name: row.text()?,
            status: InstanceStatus::parse(&row.text()?)
                .ok_or(ReadError::Stored { what: "workflow status", source: "unknown word".into() })?,
            bucket: row.int()?,
            n: row.int()?,
            sum_us: row.int()?,
        })
    };
    rows.into_iter().map(read).collect()
}

/// Removes the sums of a shard that are older.
pub fn durations_delete_before(shard: Shard, before: Timestamp) -> Statement {
    Statement::new("DELETE FROM workflow_durations WHERE shard = $1 AND hour_at < $2", params![shard, before])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_stands_for_what_lies_in_it() {
        for us in [1, 2, 3, 5, 100, 999, 12_345, 1_000_000, 86_400_000_000, i64::MAX / 2] {
            let middle = bucket_middle_us(duration_bucket(us));
            let ratio = middle as f64 / us as f64;
            assert!((0.75..1.5).contains(&ratio), "{us} stands in a bucket of {middle}");
        }
        assert!(duration_bucket(0) <= duration_bucket(1));
    }
}
