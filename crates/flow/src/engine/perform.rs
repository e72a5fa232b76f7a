//! Makes the calls that states ask for. The only place where values of secrets exist: they come as the call is put
//! together, and what comes back is rid of them before anybody else sees it.

use std::sync::Arc;

use serde_json::{Value, json};
use trunkline_store::tables::workflow::instance::InstanceRow;

use super::effects::{EffectCall, Hidden, Outside};
use super::input::Failure;
use super::live::Live;
use super::machine::outside::{self, Prepared, Ready};
use super::secrets::Known;
use super::start::start_child;
use super::state::{Action, Effect, HttpCall};
use super::{Shared, functions};
use crate::catalog::{self, FunctionCall, Performed, Work};
use crate::dsl::error::StandardError;

/// One call to be made.
pub(crate) struct Job {
    row: InstanceRow,
    effect: Effect,
    /// What a call that is put together late is made from.
    live: Option<Box<Live>>,
}

impl Job {
    /// The call that an effect of an instance stands for.
    pub(crate) fn new(live: &Live, effect: Effect) -> Self {
        let is_late =
            matches!(effect.action, Action::Late { .. } | Action::Fetch { .. } | Action::Elsewhere { .. })
                || !live.program.workflow().secrets.is_empty();
        Self { row: live.row.clone(), effect, live: is_late.then(|| Box::new(live.clone())) }
    }

    /// Makes it.
    pub(crate) async fn perform(self, shared: &Shared) -> Result<Performed, Failure> {
        let _permit = shared.calls.acquire().await;
        shared.metrics.count_call();
        let Self { row, effect, live } = self;
        let key = effect.key;
        match effect.action {
            Action::Start(start) => start_child(shared, &row, &key, start).await.map(Performed::new),
            Action::LookBack(look) => Ok(Performed::new(super::look_back::find(shared, &row, &look).await)),
            Action::Function(call) => function(shared, &row, &key, &call).await,
            Action::Http(call) if live.is_none() => {
                let prepared = Prepared { call: Outside::Http(call), login: None };
                run(shared, &row, key, prepared, Hidden::default()).await.map(Performed::new)
            }
            action => {
                let Some(live) = live else { return Ok(Performed::new(Value::Null)) };
                let late = Late { row: &row, live: &live, frame: effect.frame, key };
                late.perform(shared, action).await
            }
        }
    }
}

/// A call that is put together only now, from the state.
struct Late<'a> {
    row: &'a InstanceRow,
    live: &'a Live,
    frame: u32,
    key: String,
}

impl Late<'_> {
    async fn perform(self, shared: &Shared, action: Action) -> Result<Performed, Failure> {
        if let Action::Elsewhere { input } = &action {
            return self.elsewhere(shared, input).await.map(Performed::new);
        }
        let known = self.known(shared).await?;
        let (program, state) = (&self.live.program, &self.live.state);
        let call = |call: Outside| Ready::from(Prepared { call, login: None });
        let ready = match &action {
            Action::Late { at } => outside::prepare(program, state, self.frame, *at, Some(&known)),
            Action::Fetch { url } => outside::prepare_fetch(program, state, url, Some(&known))
                .map(|it| call(Outside::Document(it))),
            // Put together before, with stand-ins: what they stand for is all that is missing.
            Action::Http(http) => revealed(&known, http).map(|http| call(Outside::Http(http))),
            Action::Start(_) | Action::LookBack(_) | Action::Elsewhere { .. } | Action::Function(_) => {
                return Ok(Performed::new(Value::Null));
            }
        };
        let hidden = known.into_hidden();
        match ready {
            Err(failure) => Err(hidden.hide_failure(failure)),
            Ok(Ready::Call(prepared)) => {
                run(shared, self.row, self.key, *prepared, hidden).await.map(Performed::new)
            }
            Ok(Ready::Function(call)) => match function(shared, self.row, &self.key, &call).await {
                Ok(done) => Ok(Performed { value: hidden.hide(done.value), ..done }),
                Err(failure) => Err(hidden.hide_failure(failure)),
            },
        }
    }

    /// Starts the instance that does a function whose document is fetched first.
    async fn elsewhere(self, shared: &Shared, input: &Value) -> Result<Value, Failure> {
        if let Ok(Some(id)) = functions::started(shared, self.row, &self.key).await {
            return Ok(json!({"id": id}));
        }
        let known = self.known(shared).await?;
        let (program, state) = (&self.live.program, &self.live.state);
        let resource = outside::prepare_function(program, state, self.frame, Some(&known));
        let hidden = known.into_hidden();
        let resource = resource.map_err(|failure| hidden.hide_failure(failure))?;
        let prepared = Prepared { call: Outside::Document(resource), login: None };
        let document = run(shared, self.row, self.key.clone(), prepared, hidden).await?;
        functions::start(shared, self.row, &self.key, &document, input).await
    }

    async fn known(&self, shared: &Shared) -> Result<Known, Failure> {
        let (names, seal) = (&self.live.program.workflow().secrets, self.live.state.seal.as_deref());
        Known::fetch(&*shared.secrets, &self.row.tenant, names, seal).await
    }
}

/// Does a function of the catalogue.
async fn function(
    shared: &Shared,
    row: &InstanceRow,
    key: &str,
    call: &FunctionCall,
) -> Result<Performed, Failure> {
    let work = Work {
        tenant: &row.tenant,
        instance: &row.id,
        correlation_id: &row.correlation_id,
        key,
        arguments: &call.arguments,
        now: shared.now(),
        store: shared.journal.store(),
        outlets: &shared.outlets,
    };
    catalog::perform(&call.function, work).await
}

/// A call with values in the places of stand-ins.
fn revealed(known: &Known, call: &HttpCall) -> Result<HttpCall, Failure> {
    let value = serde_json::to_value(call).map(|value| known.revealed(value));
    let call = value.and_then(serde_json::from_value);
    call.map_err(|_| Failure::standard(StandardError::Configuration, "a secret does not fit its place"))
}

async fn run(
    shared: &Shared,
    row: &InstanceRow,
    key: String,
    prepared: Prepared,
    hidden: Hidden,
) -> Result<Value, Failure> {
    let hidden = Arc::new(hidden);
    if let Some(login) = &prepared.login {
        login.each_secret(|secret| hidden.token(secret.expose()));
    }
    let call = EffectCall {
        tenant: row.tenant.clone(),
        instance: row.id.clone(),
        correlation_id: row.correlation_id.clone(),
        key,
        call: prepared.call,
        login: prepared.login,
        hidden: Arc::clone(&hidden),
    };
    let result = shared.effects.run(call).await;
    result.map(|value| hidden.hide(value)).map_err(|failure| hidden.hide_failure(failure))
}
