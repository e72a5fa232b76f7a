//! Functions that lie elsewhere, of catalogs and behind URLs: the document that comes is a task, and runs as an instance
//! of its own, for which the caller waits. It is pinned by its digest like every definition, so a document that changes
//! concerns later calls only.

use serde_json::{Value, json};
use trunkline_store::tables::workflow::definition::{self, DefinitionRow, DefinitionState};
use trunkline_store::tables::workflow::instance::{self, InstanceRow};
use trunkline_store::{Commit, ReadError};

use super::Shared;
use super::input::Failure;
use super::start::{NewInstance, StartError, statements};
use super::support::unsupported;
use crate::dsl::error::StandardError;
use crate::program::{Format, Program, compile};

/// The namespace of instances that are functions.
const NAMESPACE: &str = "functions";

/// Where the function of a catalog lies (Open Workflow Specification, Catalogs). A catalog on GitHub is read as files.
pub(crate) fn place_in_catalog(catalog: &str, name: &str, version: &str) -> String {
    let mut base = catalog.trim_end_matches('/').to_owned();
    if let Some(rest) = base.strip_prefix("https://github.com/") {
        let parts: Vec<&str> = rest.splitn(4, '/').collect();
        if let [owner, repository, "tree" | "blob", rest] = parts.as_slice() {
            base = format!("https://raw.githubusercontent.com/{owner}/{repository}/{rest}");
        }
    }
    format!("{base}/functions/{name}/{version}/function.yaml")
}

/// Starts the instance that does a function. Asked again under the same key it gives the same instance; while the store
/// does not answer it waits.
pub(crate) async fn start(
    shared: &Shared,
    parent: &InstanceRow,
    key: &str,
    document: &Value,
    input: &Value,
) -> Result<Value, Failure> {
    let text = json!({
        "document": {"dsl": "1.0.3", "namespace": NAMESPACE, "name": "function", "version": "1.0.0"},
        "do": [{"function": document}],
    })
    .to_string();
    let compiled = {
        let text = text.clone();
        tokio::task::spawn_blocking(move || compile(&text, Format::Json)).await
    };
    let wrong = |what: String| Failure::standard(StandardError::Configuration, what);
    let compiled = compiled.map_err(|_| wrong("the function cannot be compiled".to_owned()))?;
    let program = match compiled {
        Ok(compiled) => compiled.program,
        Err(refusal) => {
            let first =
                refusal.faults.first().map(|fault| format!(" at {}: {}", fault.pointer, fault.problem));
            return Err(wrong(format!(
                "the function is no task that can be used{}",
                first.unwrap_or_default()
            )));
        }
    };
    if let Some(missing) = unsupported(&program).first() {
        return Err(wrong(format!("the function asks for what is not there: {}", missing.what)));
    }
    let needs = program.requirements();
    if !needs.fetches.is_empty() {
        return Err(wrong("a function that lies elsewhere calls no other that does".to_owned()));
    }
    if !needs.processes.is_empty() && !shared.effects.has_processes() {
        return Err(wrong("the function starts processes, which are switched off".to_owned()));
    }
    let mut n_failures = 0;
    loop {
        match try_start(shared, parent, key, (&text, &program), input).await {
            Ok(id) => return Ok(json!({"id": id})),
            Err(error) => {
                n_failures += 1;
                if n_failures == 1 {
                    tracing::warn!(workflow.id = %parent.id, error = ?error, "function of a workflow not started yet");
                }
                tokio::time::sleep(super::backoff(n_failures)).await;
            }
        }
    }
}

/// The instance that was started under a key.
pub(crate) async fn started(
    shared: &Shared,
    parent: &InstanceRow,
    key: &str,
) -> Result<Option<String>, ReadError> {
    let store = shared.journal.store();
    let row = instance::instance_find_start(store, &parent.tenant, &start_key(key)).await?;
    Ok(row.map(|row| row.id.as_str().to_owned()))
}

fn start_key(key: &str) -> String {
    format!("child:{key}")
}

async fn try_start(
    shared: &Shared,
    parent: &InstanceRow,
    key: &str,
    (text, program): (&str, &Program),
    input: &Value,
) -> Result<String, StartError> {
    if let Some(id) = started(shared, parent, key).await? {
        return Ok(id);
    }
    let now = shared.now();
    let document = &program.workflow().document;
    let definition = DefinitionRow {
        tenant: parent.tenant.clone(),
        namespace: document.namespace.clone(),
        name: document.name.clone(),
        version: document.version.to_string(),
        hash: program.hash().to_string(),
        state: DefinitionState::Active,
        created_at: now,
        updated_at: now,
    };
    let new = NewInstance {
        correlation_id: Some(parent.correlation_id.clone()),
        causation_id: Some(parent.id.as_str().to_owned()),
        start_key: Some(start_key(key)),
        parent: Some((parent.id.clone(), key.to_owned())),
        ..NewInstance::new(parent.tenant.clone(), input.clone())
    };
    let row = new.into_row(&definition, program, now, shared.journal.n_shards());
    let mut all = vec![definition::source_put(&definition.hash, text)];
    all.extend(statements(&row, input.clone()));
    shared.journal.commit(Commit::statements(all)).await?;
    shared.poke(row.shard);
    Ok(row.id.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_catalogs_have_their_places() {
        let check =
            |catalog: &str, expect: &str| assert_eq!(place_in_catalog(catalog, "log", "1.0.0"), expect);
        check("https://c.test/x/", "https://c.test/x/functions/log/1.0.0/function.yaml");
        let raw = "https://raw.githubusercontent.com/o/r/main/functions/log/1.0.0/function.yaml";
        check("https://github.com/o/r/tree/main", raw);
    }
}
