//! The secrets of workflows, from the configuration. Values are looked up anew for every use.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;

use trunkline_config::{Env, FlowSettings, SecretRef};
use trunkline_model::{Secret, SecretSource, SecretUnavailable, Tenant};

/// The entries of `[flow.secrets]`.
pub(super) struct ConfiguredSecrets {
    entries: HashMap<(String, String), SecretRef>,
    env: Env,
}

impl ConfiguredSecrets {
    pub(super) fn new(settings: &FlowSettings, env: &Env) -> Self {
        let entry =
            |it: &trunkline_config::FlowSecret| ((it.tenant.clone(), it.name.clone()), it.value.clone());
        Self { entries: settings.secrets.iter().map(entry).collect(), env: env.clone() }
    }
}

impl SecretSource for ConfiguredSecrets {
    fn find<'a>(
        &'a self,
        tenant: &'a Tenant,
        name: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Option<Secret>, SecretUnavailable>> + Send + 'a>> {
        let key = (tenant.as_str().to_owned(), name.to_owned());
        let Some(entry) = self.entries.get(&key) else { return Box::pin(std::future::ready(Ok(None))) };
        let (entry, env) = (entry.clone(), self.env.clone());
        Box::pin(async move {
            // A file is read off the runtime's threads.
            let value = tokio::task::spawn_blocking(move || entry.resolve(&env)).await;
            match value {
                Ok(Ok(secret)) => Ok(Some(Secret::new(secret.expose()))),
                Ok(Err(_)) | Err(_) => Err(SecretUnavailable),
            }
        })
    }
}
