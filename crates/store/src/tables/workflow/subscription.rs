//! Which instances listen to which events.
//!
//! Finding them for an event takes two steps: first the sites at which the tenant's instances listen to the type at all,
//! then, with what the site's definition correlates by, the instances. So an event costs as much as it concerns, not as
//! much as there are listeners.

use trunkline_model::{Shard, Tenant, Timestamp, WorkflowId};

use crate::{ReadError, Statement, Store, params};

/// One instance listening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionRow {
    /// Whose events.
    pub tenant: Tenant,
    /// Their type; empty for all.
    pub event_type: String,
    /// The place in a definition.
    pub site: String,
    /// Digest of the values that the event has to carry; empty for none.
    pub correlation: String,
    /// The instance.
    pub instance_id: WorkflowId,
    /// Which of the instance's waits this is.
    pub number: i64,
    /// The shard of the instance.
    pub shard: Shard,
    /// Events stored before are of no concern.
    pub since: Timestamp,
}

/// Begins to listen: the subscription and its site.
pub fn subscription_insert(row: &SubscriptionRow) -> [Statement; 2] {
    let site = Statement::new(
        "INSERT INTO workflow_sites (tenant, event_type, site) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        params![row.tenant.as_str(), row.event_type.as_str(), row.site.as_str()],
    );
    let subscription = Statement::one(
        "INSERT INTO workflow_subscriptions (tenant, event_type, site, correlation, instance_id, number, shard, since) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        params![
            row.tenant.as_str(),
            row.event_type.as_str(),
            row.site.as_str(),
            row.correlation.as_str(),
            row.instance_id.as_str(),
            row.number,
            row.shard,
            row.since
        ],
    );
    [site, subscription]
}

/// Ends listening.
pub fn subscription_delete(row: &SubscriptionRow) -> Statement {
    Statement::one(
        "DELETE FROM workflow_subscriptions WHERE tenant = $1 AND event_type = $2 AND site = $3 \
         AND correlation = $4 AND instance_id = $5 AND number = $6",
        params![
            row.tenant.as_str(),
            row.event_type.as_str(),
            row.site.as_str(),
            row.correlation.as_str(),
            row.instance_id.as_str(),
            row.number
        ],
    )
}

/// Lists the sites at which instances of a tenant have ever listened, each with the type; one question a batch of events.
pub async fn site_list(store: &Store, tenant: &Tenant) -> Result<Vec<(String, String)>, ReadError> {
    let sql = "SELECT event_type, site FROM workflow_sites WHERE tenant = $1 ORDER BY event_type, site";
    let rows = store.query(sql, params![tenant.as_str()]).await?;
    rows.into_iter().map(|mut row| Ok((row.text()?, row.text()?))).collect()
}

/// Whether an event can concern any workflow: there is a definition, in whatever state, or a site.
pub async fn events_matter(store: &Store) -> Result<bool, ReadError> {
    let sql_sites = "SELECT 1 FROM workflow_sites WHERE tenant >= '' LIMIT 1";
    if !store.query(sql_sites, vec![]).await?.is_empty() {
        return Ok(true);
    }
    let sql_definitions = "SELECT 1 FROM workflow_definitions WHERE tenant >= '' LIMIT 1";
    Ok(!store.query(sql_definitions, vec![]).await?.is_empty())
}

/// Lists the instances that listen at a site for events with a correlation, from behind `after`.
pub async fn subscription_list(
    store: &Store,
    tenant: &Tenant,
    (event_type, site, correlation): (&str, &str, &str),
    after: Option<(&WorkflowId, i64)>,
    limit: i64,
) -> Result<Vec<SubscriptionRow>, ReadError> {
    let sql = "SELECT instance_id, number, shard, since FROM workflow_subscriptions WHERE tenant = $1 \
         AND event_type = $2 AND site = $3 AND correlation = $4 AND (instance_id, number) > ($5, $6) \
         ORDER BY instance_id, number LIMIT $7";
    let (id, number) = after.map_or(("", 0), |(id, number)| (id.as_str(), number));
    let values = params![tenant.as_str(), event_type, site, correlation, id, number, limit];
    let rows = store.query(sql, values).await?;
    rows.into_iter()
        .map(|mut row| {
            Ok(SubscriptionRow {
                tenant: tenant.clone(),
                event_type: event_type.to_owned(),
                site: site.to_owned(),
                correlation: correlation.to_owned(),
                instance_id: WorkflowId::from_text(row.text()?),
                number: row.int()?,
                shard: row.int()?,
                since: row.time()?,
            })
        })
        .collect()
}
