//! The reader of the journal: events start instances and reach those that listen, in one commit with the cursor.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use parking_lot::RwLock;
use serde_json::{Map, Value};
use trunkline_journal::consumer::{Consumer, HandleError};
use trunkline_model::{EventRecord, Shard, Tenant, cloudevents};
use trunkline_store::tables::workflow::definition::{self, DefinitionRow};
use trunkline_store::tables::workflow::gathered;
use trunkline_store::tables::workflow::inbox;
use trunkline_store::tables::workflow::instance;
use trunkline_store::tables::workflow::subscription;
use trunkline_store::{Commit, NewEvent, ReadError, Statement};

use super::Shared;
use super::input::Input;
use super::live::message;
use super::machine::{correlation_of_event, hand_over, takes_alone};
use super::programs::ProgramError;
use super::schedule::{self, gather};
use super::short::{self, is_short};
use super::start::{self, NewInstance};
use crate::dsl::events::EventFilter;
use crate::dsl::schedule::Schedule;
use crate::dsl::tasks::Body;
use crate::program::{Program, TaskId};

/// The name of the cursor.
pub const CONSUMER: &str = "flow";
/// How many subscriptions are read at once.
const PAGE: i64 = 512;

/// A definition that starts by itself.
pub(crate) struct Trigger {
    pub(crate) definition: DefinitionRow,
    pub(crate) program: Arc<Program>,
    /// Whether an instance is over in the commit that starts it.
    is_short: bool,
}

impl Trigger {
    fn new(definition: DefinitionRow, program: Arc<Program>) -> Self {
        Self { definition, is_short: is_short(&program), program }
    }
}

/// The active definitions that time starts, by what they are called.
pub(crate) type Timed = HashMap<(Tenant, String, String), Arc<Trigger>>;

/// The active definitions that events start, by tenant, and those that time starts.
#[derive(Default)]
pub(crate) struct Triggers {
    by_tenant: RwLock<Arc<HashMap<Tenant, Vec<Arc<Trigger>>>>>,
    /// Nothing until they were read once.
    timed: RwLock<Option<Arc<Timed>>>,
    fingerprint: RwLock<Option<(i64, trunkline_model::Timestamp)>>,
}

impl Triggers {
    /// Makes the next look read the definitions whatever their fingerprint says.
    pub(crate) fn forget(&self) {
        *self.fingerprint.write() = None;
    }

    /// Reads the active definitions anew if any changed.
    pub(crate) async fn refresh(&self, shared: &Shared) -> Result<(), ProgramError> {
        let store = shared.journal.store();
        let fingerprint = Some(definition::definition_fingerprint(store).await?);
        if *self.fingerprint.read() == fingerprint {
            return Ok(());
        }
        let mut by_name: BTreeMap<(Tenant, String, String), Vec<DefinitionRow>> = BTreeMap::new();
        for row in definition::definition_list_active(store).await? {
            let name = (row.tenant.clone(), row.namespace.clone(), row.name.clone());
            by_name.entry(name).or_default().push(row);
        }
        let mut by_tenant: HashMap<Tenant, Vec<Arc<Trigger>>> = HashMap::new();
        let mut timed = Timed::new();
        for (name, rows) in by_name {
            let Some(definition) = start::highest(rows.into_iter()) else { continue };
            match shared.programs.get(&definition.hash).await {
                Ok(program) => match program.workflow().schedule {
                    None => {}
                    Some(Schedule::On(..)) => {
                        let trigger = Arc::new(Trigger::new(definition, program));
                        by_tenant.entry(name.0).or_default().push(trigger);
                    }
                    Some(_) => {
                        timed.insert(name, Arc::new(Trigger::new(definition, program)));
                    }
                },
                Err(error @ ProgramError::Read(_)) => return Err(error),
                Err(error) => {
                    tracing::error!(workflow.name = %definition.name, error = ?error, "workflow does not start by itself");
                }
            }
        }
        *self.by_tenant.write() = Arc::new(by_tenant);
        *self.timed.write() = Some(Arc::new(timed));
        *self.fingerprint.write() = fingerprint;
        shared.clockwork.notify_one();
        Ok(())
    }

    /// The definitions that time starts; nothing until they were read once.
    pub(crate) fn timed(&self) -> Option<Arc<Timed>> {
        self.timed.read().clone()
    }

    /// The definition of a name that events start.
    pub(crate) fn by_event(&self, tenant: &Tenant, namespace: &str, name: &str) -> Option<Arc<Trigger>> {
        let of_tenant = Arc::clone(&self.by_tenant.read());
        let is_named =
            |it: &&Arc<Trigger>| it.definition.namespace == namespace && it.definition.name == name;
        of_tenant.get(tenant)?.iter().find(is_named).cloned()
    }
}

/// The consumer.
pub(crate) struct Matcher {
    pub(crate) shared: Arc<Shared>,
    /// Shards that a commit under way leaves something for.
    pub(crate) touched: parking_lot::Mutex<HashSet<Shard>>,
    /// Whether it leaves events that wait for others.
    pub(crate) has_gathered: AtomicBool,
}

impl Consumer for Matcher {
    fn name(&self) -> &'static str {
        CONSUMER
    }

    /// Where nobody has defined a workflow and no instance has ever listened, accepting an event costs what it costs
    /// without this engine.
    fn is_idle(&self) -> BoxFuture<'_, Result<bool, ReadError>> {
        Box::pin(async { Ok(!subscription::events_matter(self.shared.journal.store()).await?) })
    }

    fn handle<'a>(&'a self, batch: &'a [EventRecord]) -> BoxFuture<'a, Result<Commit, HandleError>> {
        Box::pin(async move {
            self.commit(batch).await.map_err(|error| HandleError {
                reason: error.to_string(),
                is_transient: matches!(error, ProgramError::Read(_)),
            })
        })
    }

    fn committed(&self) {
        let touched = std::mem::take(&mut *self.touched.lock());
        for shard in touched {
            self.shared.poke(shard);
        }
        if self.has_gathered.swap(false, Ordering::AcqRel) {
            self.shared.clockwork.notify_one();
        }
    }
}

/// What a batch comes to.
#[derive(Default)]
struct Found {
    /// Starts, sorted by what they count, so that two commits never lock counts crosswise.
    starts: BTreeMap<(String, String, String, Shard, usize), Vec<Statement>>,
    messages: Vec<Statement>,
    gathered: Vec<Statement>,
    /// What short workflows emit.
    events: Vec<NewEvent>,
    shards: HashSet<Shard>,
    /// Keys that definitions make of inputs, of what the batch starts.
    keys: HashSet<(Tenant, String)>,
}

impl Matcher {
    async fn commit(&self, batch: &[EventRecord]) -> Result<Commit, ProgramError> {
        let triggers = Arc::clone(&self.shared.triggers.by_tenant.read());
        let mut sites: HashMap<Tenant, HashMap<String, Vec<String>>> = HashMap::new();
        let mut found = Found::default();
        for record in batch {
            let tenant = &record.event.tenant;
            if !sites.contains_key(tenant) {
                sites.insert(tenant.clone(), self.sites(tenant).await?);
            }
            let of_tenant = &sites[tenant];
            let event_type = record.event.event_type.as_str();
            let listened: Vec<(&str, &String)> = [event_type, ""]
                .into_iter()
                .filter_map(|it| of_tenant.get(it).map(|sites| (it, sites)))
                .flat_map(|(it, sites)| sites.iter().map(move |site| (it, site)))
                .collect();
            let started: &[Arc<Trigger>] = triggers.get(tenant).map_or(&[], Vec::as_slice);
            if listened.is_empty() && started.is_empty() {
                continue;
            }
            let event: Value =
                serde_json::from_slice(&cloudevents::to_structured(&record.event)).unwrap_or_default();
            for trigger in started {
                self.start(trigger, record, &event, &mut found).await?;
            }
            for (of_type, site) in listened {
                self.reach(record, &event, of_type, site, &mut found).await?;
            }
        }
        self.touched.lock().extend(found.shards);
        if !found.gathered.is_empty() {
            self.has_gathered.store(true, Ordering::Release);
        }
        let rest = found.messages.into_iter().chain(found.gathered);
        let statements = found.starts.into_values().flatten().chain(rest).collect();
        Ok(Commit { statements, events: found.events, ..Commit::default() })
    }

    async fn sites(&self, tenant: &Tenant) -> Result<HashMap<String, Vec<String>>, ReadError> {
        let mut by_type: HashMap<String, Vec<String>> = HashMap::new();
        for (event_type, site) in subscription::site_list(self.shared.journal.store(), tenant).await? {
            by_type.entry(event_type).or_default().push(site);
        }
        Ok(by_type)
    }

    /// Starts an instance if the definition is started by such events.
    async fn start(
        &self,
        trigger: &Trigger,
        record: &EventRecord,
        event: &Value,
        found: &mut Found,
    ) -> Result<(), ProgramError> {
        let Some(Schedule::On(strategy, read)) = &trigger.program.workflow().schedule else { return Ok(()) };
        // A reader that is behind must not start workflows for what came before anybody wanted them.
        if record.recorded_at < trigger.definition.updated_at {
            return Ok(());
        }
        let now = self.shared.now();
        let n_shards = self.shared.journal.n_shards();
        let definition = &trigger.definition;
        if gather::gathers(strategy) {
            let (tenant, namespace, name) = (&definition.tenant, &definition.namespace, &definition.name);
            let shard = schedule::shard_of_definition(tenant, namespace, name, n_shards);
            let row = gather::row_of(definition, shard, strategy, record, event, now);
            found.gathered.extend(row.as_ref().map(gathered::gathered_insert));
            return Ok(());
        }
        let takes = |filter: &EventFilter| takes_alone(filter, event, &Map::new(), now).is_some();
        let filters = strategy.filters();
        if !filters.is_empty() && !filters.into_iter().any(takes) {
            return Ok(());
        }
        let input = Value::Array(vec![hand_over(event, *read)]);
        let name = format!("{}/{}", definition.namespace, definition.name);
        let own_key = start::own_key(&trigger.program, &input, now);
        if let Some(key) = &own_key {
            // Whoever was first with the key has started it: in the store, or earlier in this very batch.
            let is_first = found.keys.insert((record.event.tenant.clone(), key.clone()));
            let store = self.shared.journal.store();
            if !is_first || instance::instance_find_start(store, &record.event.tenant, key).await?.is_some() {
                return Ok(());
            }
        }
        let event_key = || format!("event:{name}:{}:{}", record.event.source, record.event.id);
        let new = NewInstance {
            correlation_id: Some(record.event.correlationid.to_string()),
            causation_id: Some(record.event.id.as_str().to_owned()),
            start_key: Some(own_key.unwrap_or_else(event_key)),
            ..NewInstance::new(record.event.tenant.clone(), input.clone())
        };
        let row = new.into_row(definition, &trigger.program, now, n_shards);
        let mut statements = None;
        if trigger.is_short
            && let Some((commit, live)) =
                short::run(&self.shared.programs, &row, input.clone(), now, n_shards).await
        {
            self.shared.after(&live);
            found.events.extend(commit.events);
            statements = Some(commit.statements);
        } else {
            found.shards.insert(row.shard);
        }
        let place =
            (row.tenant.to_string(), row.namespace.clone(), row.name.clone(), row.shard, found.starts.len());
        let statements = statements.unwrap_or_else(|| start::statements(&row, input));
        found.starts.insert(place, statements);
        Ok(())
    }

    /// Leaves the event for those who listen at a site.
    async fn reach(
        &self,
        record: &EventRecord,
        event: &Value,
        of_type: &str,
        site: &str,
        found: &mut Found,
    ) -> Result<(), ProgramError> {
        let now = self.shared.now();
        let Some(correlation) = self.correlation(site, event).await? else { return Ok(()) };
        let store = self.shared.journal.store();
        let mut after = None;
        loop {
            let place = (of_type, site, correlation.as_str());
            let last = after.as_ref().map(|(id, number)| (id, *number));
            let page =
                subscription::subscription_list(store, &record.event.tenant, place, last, PAGE).await?;
            after = page.last().map(|row| (row.instance_id.clone(), row.number));
            let is_last = page.len() < PAGE as usize;
            for row in page.into_iter().filter(|row| row.since <= record.recorded_at) {
                let Ok(wait) = u32::try_from(row.number) else { continue };
                let key = format!("event:{wait}:{}:{}", record.event.source, record.event.id);
                let input = Input::EventMatched { wait, event: event.clone() };
                let message = message(&row.instance_id, key, &input, now, self.shared.journal.n_shards());
                found.shards.insert(row.shard);
                found.messages.push(inbox::message_insert(&message));
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// What subscriptions at a site are looked up by; `None` when the event is none for them.
    async fn correlation(&self, site: &str, event: &Value) -> Result<Option<String>, ProgramError> {
        let mut parts = site.split('/');
        let (Some(hash), Some(Ok(task)), Some(Ok(filter))) =
            (parts.next(), parts.next().map(str::parse::<u32>), parts.next().map(str::parse::<usize>))
        else {
            return Ok(None);
        };
        let program = self.shared.programs.get(hash).await?;
        let Some(Body::Listen(listen)) = program.get(TaskId(task)).map(|task| &task.body) else {
            return Ok(None);
        };
        let filters = listen.to.filters();
        if filters.is_empty() {
            return Ok(Some(String::new()));
        }
        Ok(filters.get(filter).and_then(|filter| correlation_of_event(filter, event, self.shared.now())))
    }
}
