//! `trunkline demo`: the main job end to end, on real signed samples over HTTP, checking every outcome.
//!
//! ```text
//! samples ──signed POST──► hub (SQLite, port 0) ──signed POST──► receiver (port 0)
//!    │                       │ API                                  │ verifies by itself
//!    └── answers ────────────┴──────────── outcomes ◄───────────────┘ what it got
//! ```
//!
//! Everything runs in this process and in a temporary directory. Each sample proves one promise; a promise that does not
//! hold is shown with its reason, the others are still tried, and the command ends with exit code 3.

mod promises;
mod receiver;
mod samples;

use std::fmt::Display;
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;
use trunkline_config::{
    EgressSettings, Env, HmacSettings, SchemeSettings, Secret, SecretRef, ServerSettings, Settings,
    SourceSettings, StoreSettings, StoreUrl,
};

use self::promises::Promises;
use self::receiver::Receiver;
use self::samples::Sender;
use crate::cli::{DemoArgs, RemoteArgs};
use crate::client::{Api, Content, signature};
use crate::exit::{Exit, Fault};
use crate::running::{self, RunningHub};
use crate::terminal::{Terminal, Tone, cell};

/// How long an outcome may take to show.
const PATIENCE: Duration = Duration::from_secs(8);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The wait between the attempts to the endpoint that fails.
const FLAKY_BACKOFF_MS: u64 = 200;
/// How often that endpoint fails before it recovers.
const N_FAILURES: usize = 2;

/// Plays the demo.
///
/// # Errors
/// When the stage cannot be set; promises that do not hold are an exit code.
pub async fn run(args: &DemoArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    if let Some(pack) = &args.pack {
        let message = format!("there is no pack {pack:?}; this version brings none");
        return Err(Fault::new(Exit::Usage, message, "run `trunkline demo` without --pack").into());
    }
    let started = Instant::now();
    let dir = tempfile::tempdir().context("no temporary directory can be made")?;
    let stage = Stage::set(dir.path()).await?;
    let mut account = Account { terminal, n_held: 0, failures: Vec::new() };
    terminal.line(format_args!(
        "{} {}  {}",
        cell("hub", Tone::Strong),
        stage.hub.url(),
        cell(
            "SQLite in a temporary directory; a receiver beside it checks every signature by itself",
            Tone::Dim
        )
    ));
    let journey = Promises { stage: &stage }.keep(&mut account).await;
    if let Some(journey) = journey {
        terminal.line("");
        terminal.line(cell("The journey of the event whose endpoint failed twice:", Tone::Strong));
        super::event::journey::draw(journey, terminal)?;
        terminal.line("");
    }
    let stopping = Instant::now();
    stage.close().await;
    account.note(Ok(()), "the hub stopped cleanly", stopping);
    Ok(account.close(started))
}

/// Hub, receiver and everything needed to talk to them.
struct Stage {
    hub: RunningHub,
    receiver: Receiver,
    api: Api,
    sender: Sender,
    steady_id: String,
    flaky_id: String,
}

impl Stage {
    async fn set(dir: &std::path::Path) -> anyhow::Result<Self> {
        let standard = signature::fresh_secret()?;
        let billing = format!("billing-{}", signature::fresh_secret()?.expose());
        let settings = settings(dir, standard.expose(), &billing)?;
        let hub = running::start(settings, &Env::default()).await?;
        let token = hub.first_token().context("a fresh hub makes a first token")?.expose().to_owned();
        let api = Api::new(&RemoteArgs { url: hub.url(), token: Some(token), json: false })?;
        let receiver = Receiver::start(N_FAILURES).await?;
        let steady_id =
            endpoint(&api, &receiver, receiver::STEADY, json!({ "events": ["appointment.*", "invoice.*"] }))
                .await?;
        let flaky = json!({ "events": ["lab.**"], "backoff_ms": [FLAKY_BACKOFF_MS], "max_attempts": 5 });
        let flaky_id = endpoint(&api, &receiver, receiver::FLAKY, flaky).await?;
        let sender = Sender::new(&hub.url(), standard, billing)?;
        Ok(Self { hub, receiver, api, sender, steady_id, flaky_id })
    }

    async fn close(self) {
        self.hub.shutdown().await;
        self.receiver.stop().await;
    }
}

/// Creates an endpoint at a path of the receiver, and tells the receiver its secret.
async fn endpoint(
    api: &Api,
    receiver: &Receiver,
    path: &str,
    mut body: serde_json::Value,
) -> anyhow::Result<String> {
    body["url"] = json!(receiver.url(path));
    body["description"] = json!(format!("demo receiver {path}"));
    let made = api.post("api/v1/webhooks", Content::json(&body)).await?;
    let secret = made["secret"].as_str().context("the answer has the endpoint's secret")?;
    receiver.trust(path, secret);
    Ok(made["id"].as_str().context("the answer has the endpoint's id")?.to_owned())
}

fn settings(dir: &std::path::Path, standard: &str, billing: &str) -> anyhow::Result<Settings> {
    let literal = |secret: &str| vec![SecretRef::Literal(Secret::new(secret))];
    let hmac = HmacSettings {
        header: samples::BILLING_SIGNATURE.to_owned(),
        prefix: samples::BILLING_PREFIX.to_owned(),
        signed: "{timestamp}.{body}".parse().context("the demo's template")?,
        timestamp_header: Some(samples::BILLING_TIME.to_owned()),
        ..HmacSettings::default()
    };
    Ok(Settings {
        server: ServerSettings { listen: ([127, 0, 0, 1], 0).into(), ..ServerSettings::default() },
        store: StoreSettings { url: StoreUrl::Sqlite(dir.join("trunkline.db")), ..StoreSettings::default() },
        egress: EgressSettings {
            allow: vec!["127.0.0.0/8".parse().context("the demo's network")?],
            ..EgressSettings::default()
        },
        sources: vec![
            SourceSettings::new(samples::CLINIC, SchemeSettings::StandardWebhooks, literal(standard)),
            SourceSettings::new(samples::BILLING, SchemeSettings::Hmac(hmac), literal(billing)),
        ],
        data_dir: dir.to_owned(),
        ..Settings::default()
    })
}

/// The live account: a line for each promise.
struct Account<'a> {
    terminal: &'a Terminal,
    n_held: usize,
    failures: Vec<String>,
}

impl Account<'_> {
    /// Tries a promise and writes down how it went.
    async fn check<T>(&mut self, promise: &str, work: impl Future<Output = anyhow::Result<T>>) -> Option<T> {
        let started = Instant::now();
        match work.await {
            Ok(value) => {
                self.note(Ok(()), promise, started);
                Some(value)
            }
            Err(error) => {
                self.note(Err(error), promise, started);
                None
            }
        }
    }

    fn note(&mut self, outcome: anyhow::Result<()>, promise: impl Display, started: Instant) {
        let took = cell(format!("{:.1} ms", started.elapsed().as_secs_f64() * 1000.0), Tone::Dim);
        match outcome {
            Ok(()) => {
                self.n_held += 1;
                self.terminal.line(format_args!("{} {promise}  {took}", cell("✓", Tone::Good)));
            }
            Err(error) => {
                let line = format!("{promise}: {error:#}");
                self.terminal.line(format_args!(
                    "{} {}  {took}",
                    cell("✗", Tone::Bad),
                    cell(&line, Tone::Plain)
                ));
                self.failures.push(line);
            }
        }
    }

    fn close(self, started: Instant) -> Exit {
        let took = started.elapsed().as_secs_f64();
        let n_held = self.n_held;
        if self.failures.is_empty() {
            let done = format!("all {n_held} checks held, in {took:.1} s");
            self.terminal.line(cell(done, Tone::Good));
            return Exit::Done;
        }
        let n_failed = self.failures.len();
        self.terminal
            .line(cell(format!("{n_failed} of {} checks did not hold:", n_held + n_failed), Tone::Bad));
        for failure in &self.failures {
            self.terminal.line(format_args!("  {}", cell(failure, Tone::Plain)));
        }
        Exit::Refused
    }
}

/// Looks again and again until `look` finds what is expected, or patience ends; then its last reason is the error.
async fn eventually<T, F>(mut look: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let until = Instant::now() + PATIENCE;
    loop {
        match look().await {
            Err(_) if Instant::now() < until => tokio::time::sleep(LOOK_EVERY).await,
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn every_promise_of_the_demo_holds() {
        let terminal = Terminal::buffer();
        let exit = run(&DemoArgs { pack: None }, &terminal).await.unwrap();
        assert_eq!(exit, Exit::Done, "{}", terminal.printed());
    }

    #[tokio::test]
    async fn a_pack_that_is_not_there_is_named() {
        let args = DemoArgs { pack: Some("dental".to_owned()) };
        let error = run(&args, &Terminal::buffer()).await.unwrap_err();
        assert_eq!(Fault::of(&error).0, Exit::Usage);
        assert!(error.to_string().contains("dental"));
    }
}
