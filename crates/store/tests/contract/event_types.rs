//! Event types and tenants' settings.

use trunkline_model::{EventType, Tenant, Timestamp};
use trunkline_store::tables::event_type::{
    self, EventTypeRow, event_type_delete, event_type_insert, event_type_put,
};
use trunkline_store::{Commit, CommitError, Statement, Store};
use trunkline_testkit::event::tenant;
use trunkline_testkit::for_each_store;

fn row(event_type: &str, version: i64) -> EventTypeRow {
    EventTypeRow {
        tenant: tenant(),
        event_type: EventType::from_stored(event_type),
        version,
        title: "Made".to_owned(),
        description: String::new(),
        data_schema: r#"{"type":"object"}"#.to_owned(),
        example: Some("{}".to_owned()),
        deprecated: version == 1,
        replaced_by: (version == 1).then(|| "other.made".to_owned()),
        created_at: Timestamp::from_secs(1),
        updated_at: Timestamp::from_secs(2),
    }
}

async fn run(store: &Store, statement: Statement) -> Result<(), CommitError> {
    store.commit(Commit::statements(vec![statement])).await.map(drop)
}

#[test]
fn event_types_are_kept_by_name_and_version() {
    for_each_store(async |test| {
        for row in [row("b.made", 2), row("b.made", 1), row("a.made", 1)] {
            run(&test.store, event_type_insert(&row)).await.unwrap();
        }
        assert!(run(&test.store, event_type_insert(&row("a.made", 1))).await.is_err());
        let list = event_type::event_type_list(&test.store, &tenant()).await.unwrap();
        assert_eq!(list, [row("a.made", 1), row("b.made", 1), row("b.made", 2)]);
        let stranger = Tenant::from_stored("clinic-2");
        assert_eq!(event_type::event_type_list(&test.store, &stranger).await.unwrap(), []);

        let changed = EventTypeRow { title: "Made again".to_owned(), example: None, ..row("a.made", 1) };
        run(&test.store, event_type_put(&changed)).await.unwrap();
        let delete = |version| event_type_delete(&tenant(), &EventType::from_stored("b.made"), version);
        run(&test.store, delete(2)).await.unwrap();
        assert!(matches!(run(&test.store, delete(2)).await, Err(CommitError::Guard { .. })));
        let list = event_type::event_type_list(&test.store, &tenant()).await.unwrap();
        assert_eq!(list, [changed, row("b.made", 1)]);
    });
}

#[test]
fn a_tenant_has_one_set_of_settings() {
    for_each_store(async |test| {
        let get = async || event_type::tenant_settings_get(&test.store, &tenant()).await.unwrap();
        assert_eq!(get().await, None);
        for text in [r#"{"a":1}"#, r#"{"a":2}"#] {
            let put = event_type::tenant_settings_put(&tenant(), text, Timestamp::from_secs(1));
            run(&test.store, put).await.unwrap();
            assert_eq!(get().await.as_deref(), Some(text));
        }
    });
}
