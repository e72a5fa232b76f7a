//! What a body asks for, with every fault of it named.

use serde_json::Value;
use trunkline_dispatch::endpoint::check::{check_secret, check_settings, check_url};
use trunkline_dispatch::endpoint::{CustomHeaders, EndpointSecrets, EndpointSettings};
use trunkline_dispatch::sign::SignatureVersion;
use trunkline_model::{Secret, Timestamp};
use trunkline_store::tables::endpoint::EndpointRow;

use super::fields::{CREATE, REPLACE};
use super::shown::settings_of;
use crate::input::Input;
use crate::problem::Problem;
use crate::state::ApiState;

/// An endpoint as a caller wants it.
pub(super) struct Draft {
    pub(super) url: String,
    pub(super) events: Vec<String>,
    pub(super) description: String,
    pub(super) active: bool,
    pub(super) settings: EndpointSettings,
    /// One that the receiver has already.
    secret: Option<Secret>,
}

impl Draft {
    /// Reads a new endpoint.
    pub(super) fn create(state: &ApiState, body: Value) -> Result<Self, Problem> {
        let mut input = Input::from_json(CREATE, body);
        let mut settings = read_settings(&input, &CustomHeaders::default());
        let secret = input.text("secret").map(Secret::new);
        if let Some(secret) = &secret {
            input.add_faults(check_secret("/secret", secret, settings.signature_format));
            let version = SignatureVersion::of_secret(secret);
            if settings.signing.is_empty() && version != SignatureVersion::V1 {
                settings.signing = vec![version];
            } else if !settings.versions().contains(&version) {
                input.fault(
                    "secret",
                    "invalid",
                    format!("is of version {}, which signing lacks", version.as_str()),
                );
            }
        }
        Self::finish(state, input, settings, secret)
    }

    /// Reads the replacement of a stored endpoint.
    pub(super) fn replace(state: &ApiState, body: Value, before: &EndpointRow) -> Result<Self, Problem> {
        let input = Input::from_json(REPLACE, body);
        // A damaged endpoint can be replaced too; only masked headers need what was stored.
        let known = settings_of(before).map(|settings| settings.headers).unwrap_or_default();
        let settings = read_settings(&input, &known);
        Self::finish(state, input, settings, None)
    }

    fn finish(
        state: &ApiState,
        mut input: Input,
        settings: EndpointSettings,
        secret: Option<Secret>,
    ) -> Result<Self, Problem> {
        let url = input.text("url").unwrap_or_default();
        if !url.is_empty() {
            input.add_faults(check_url(&url, &state.egress));
        }
        input.add_faults(check_settings(&settings));
        input.finish()?;
        Ok(Self {
            url,
            events: input.texts("events").unwrap_or_default(),
            description: input.text("description").unwrap_or_default(),
            active: input.flag("active").unwrap_or(true),
            settings,
            secret,
        })
    }

    pub(super) fn events_json(&self) -> String {
        serde_json::to_string(&self.events).expect("invariant: texts serialise")
    }

    /// The secrets of the endpoint when it is made, and the one that the hub made for it.
    pub(super) fn secrets(&self, now: Timestamp) -> (EndpointSecrets, Option<Secret>) {
        let brought = self.secret.clone().map(|secret| EndpointSecrets::new(secret, now));
        brought.unwrap_or_default().completed(&self.settings, now)
    }
}

/// Fields that have faults are absent here; the faults are named already.
fn read_settings(input: &Input, known: &CustomHeaders) -> EndpointSettings {
    EndpointSettings {
        format: input.parsed("format").unwrap_or_default(),
        timeout_ms: whole(input, "timeout_ms").map(u64::from),
        max_attempts: whole(input, "max_attempts"),
        backoff_ms: input
            .integers("backoff_ms")
            .map(|waits| waits.into_iter().map(i64::unsigned_abs).collect()),
        in_flight: whole(input, "in_flight"),
        rate_limit: input.parsed("rate_limit"),
        retry_by_type: input.parsed("retry_by_type").unwrap_or_default(),
        channels: input.texts("channels").unwrap_or_default(),
        filter: input.text("filter"),
        transform: input.text("transform"),
        headers: input.parsed::<CustomHeaders>("headers").unwrap_or_default().unmasked(known),
        metadata: input.parsed("metadata").unwrap_or_default(),
        signature_format: input.parsed("signature_format").unwrap_or_default(),
        signing: input.parsed("signing").unwrap_or_default(),
    }
}

fn whole(input: &Input, name: &str) -> Option<u32> {
    input.integer(name).and_then(|n| u32::try_from(n).ok())
}
