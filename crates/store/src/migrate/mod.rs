//! The one migration history. Each file is forward-only and applied in a transaction of its own.

use crate::Dialect;

/// One step of the schema.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Migration {
    pub(crate) version: i64,
    pub(crate) name: &'static str,
    text: &'static str,
}

/// All steps, oldest first.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "initial", text: include_str!("../../migrations/0001_initial.sql") },
    Migration {
        version: 2,
        name: "endpoint health",
        text: include_str!("../../migrations/0002_endpoint_health.sql"),
    },
    Migration { version: 3, name: "replays", text: include_str!("../../migrations/0003_replays.sql") },
    Migration {
        version: 4,
        name: "event types",
        text: include_str!("../../migrations/0004_event_types.sql"),
    },
    Migration {
        version: 5,
        name: "attempt timings",
        text: include_str!("../../migrations/0005_attempt_timings.sql"),
    },
    Migration { version: 6, name: "workflows", text: include_str!("../../migrations/0006_workflows.sql") },
    Migration {
        version: 7,
        name: "delivery stats",
        text: include_str!("../../migrations/0007_delivery_stats.sql"),
    },
    Migration {
        version: 8,
        name: "portal tokens",
        text: include_str!("../../migrations/0008_portal_tokens.sql"),
    },
    Migration { version: 9, name: "order", text: include_str!("../../migrations/0009_order.sql") },
    Migration {
        version: 10,
        name: "workflow schedules",
        text: include_str!("../../migrations/0010_schedules.sql"),
    },
    Migration {
        version: 11,
        name: "endpoint probes",
        text: include_str!("../../migrations/0011_endpoint_probes.sql"),
    },
    Migration {
        version: 12,
        name: "expired deliveries",
        text: include_str!("../../migrations/0012_expired_deliveries.sql"),
    },
    Migration {
        version: 13,
        name: "workflow tasks",
        text: include_str!("../../migrations/0013_workflow_tasks.sql"),
    },
    Migration { version: 14, name: "records", text: include_str!("../../migrations/0014_records.sql") },
    Migration { version: 15, name: "logistics", text: include_str!("../../migrations/0015_logistics.sql") },
    Migration { version: 16, name: "live", text: include_str!("../../migrations/0016_live.sql") },
    Migration {
        version: 17,
        name: "workflow limits",
        text: include_str!("../../migrations/0017_workflow_limits.sql"),
    },
    Migration { version: 18, name: "tracking", text: include_str!("../../migrations/0018_tracking.sql") },
];

/// The newest schema version this program knows.
pub(crate) fn newest() -> i64 {
    MIGRATIONS.last().map_or(0, |migration| migration.version)
}

/// A figure that changes with the text of any migration, for the tests' template databases.
pub(crate) fn fingerprint() -> u64 {
    let bytes = MIGRATIONS.iter().flat_map(|migration| migration.text.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// Where the applied versions are kept; the same statement on both databases.
pub(crate) const CREATE_HISTORY: &str = "CREATE TABLE IF NOT EXISTS schema_migrations \
     (version BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)";

impl Migration {
    /// The SQL for one database.
    pub(crate) fn sql(&self, dialect: Dialect) -> String {
        let (drop, keep) = match dialect {
            Dialect::Sqlite => ("--@postgres", "--@sqlite"),
            Dialect::Postgres => ("--@sqlite", "--@postgres"),
        };
        let lines = self.text.lines().filter(|line| !line.ends_with(drop));
        let text = lines.map(|line| line.trim_end_matches(keep)).collect::<Vec<_>>().join("\n");
        match dialect {
            Dialect::Sqlite => text,
            Dialect::Postgres => text.replace(" BLOB", " BYTEA").replace(" TEXT", " TEXT COLLATE \"C\""),
        }
    }
}
