//! `trunkline webhook listen --forward URL`: posts new events, signed, to a URL on the developer's machine.
//!
//! Follows events through the API like `event tail --follow`, so the hub needs no way to reach this machine and keeps
//! nothing of it. Each event is posted once, with an answer printed; a receiver that fails can be sent the event again
//! with `event replay`, or by emitting it. Id and body are those of a delivery; an event that cannot be posted is reported,
//! and the next one follows.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value, json};
use tokio::signal::ctrl_c;
use trunkline_connect::{HttpClient, OutboundRequest, Target};
use trunkline_dispatch::endpoint::WebhookFormat;
use trunkline_dispatch::sign;
use trunkline_model::{Clock as _, Event, Secret, SystemClock, Tenant, cloudevents};

use super::event::tail::{fits, pattern};
use super::event::text;
use crate::cli::ListenArgs;
use crate::client::follow::Follower;
use crate::client::{Api, open_client, signature};
use crate::exit::{Exit, Fault};
use crate::terminal::{Terminal, Tone, cell};

const POLL_EVERY: Duration = Duration::from_millis(300);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Forwards until SIGINT.
///
/// # Errors
/// A URL or pattern that cannot be used, or those of the API.
pub async fn run(args: &ListenArgs, terminal: &Terminal) -> anyhow::Result<Exit> {
    let api = Api::new(&args.remote)?;
    let http = open_client()?;
    let target = Target::parse(&args.forward, http.policy()).with_context(|| {
        Fault::new(Exit::Usage, "--forward cannot be used", "write --forward http://localhost:PORT/PATH")
    })?;
    let patterns = args.events.iter().map(|text| pattern(text)).collect::<anyhow::Result<Vec<_>>>()?;
    let receiver = Receiver { http, target, secret: signature::fresh_secret()? };
    let (mut follower, _) = Follower::start(&api, 0).await?;
    terminal.note(format_args!("signing secret: {}", cell(receiver.secret.expose(), Tone::Name)));
    terminal.note(format_args!("forwarding new events to {}; stop with Ctrl-C", receiver.target.origin()));
    let mut stop = std::pin::pin!(ctrl_c());
    while !terminal.is_closed() {
        tokio::select! {
            _ = &mut stop => break,
            () = tokio::time::sleep(POLL_EVERY) => {}
        }
        for event in follower.poll().await? {
            if patterns.iter().any(|pattern| fits(pattern, &event)) {
                receiver.forward(&event, args, terminal).await;
            }
        }
    }
    Ok(Exit::Done)
}

struct Receiver {
    http: HttpClient,
    target: Target,
    secret: Secret,
}

impl Receiver {
    async fn forward(&self, event: &Value, args: &ListenArgs, terminal: &Terminal) {
        let started = Instant::now();
        let outcome = self.post(event).await;
        let took = started.elapsed();
        let latency_ms = took.as_secs_f64() * 1000.0;
        if args.remote.json {
            let mut row = json!({ "id": event["id"], "type": event["type"], "latency_ms": latency_ms });
            match outcome {
                Ok(status) => row["status"] = json!(status),
                Err(error) => row["error"] = json!(format!("{error:#}")),
            }
            terminal.line(row);
            return;
        }
        let (kind, id) = (cell(text(event, "type"), Tone::Strong), cell(text(event, "id"), Tone::Name));
        terminal.line(format_args!("{}  {latency_ms:>7.1} ms  {kind}  {id}", verdict(&outcome)));
    }

    async fn post(&self, event: &Value) -> anyhow::Result<u16> {
        let request = self.request(&read(event)?)?;
        Ok(self.http.send(request).await?.status.as_u16())
    }

    /// The call that an endpoint would get.
    fn request(&self, event: &Event) -> anyhow::Result<OutboundRequest> {
        let (id, body) = (sign::webhook_id(event), sign::body(event, WebhookFormat::Standard));
        let now = SystemClock.now().as_secs();
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, sign::content_type(WebhookFormat::Standard));
        let signature = signature::header(&self.secret, &id, now, &body)?;
        let values = [
            ("webhook-id", id.into_owned()),
            ("webhook-timestamp", now.to_string()),
            ("webhook-signature", signature),
        ];
        for (name, value) in values {
            headers.insert(name, HeaderValue::from_str(&value).context("the event's id cannot be a header")?);
        }
        Ok(OutboundRequest {
            method: Method::POST,
            target: self.target.clone(),
            headers,
            body,
            timeout: TIMEOUT,
            response_limit_bytes: 0,
        })
    }
}

/// An event as the API shows it.
fn read(event: &Value) -> anyhow::Result<Event> {
    let tenant = Tenant::from_stored(text(event, "tenant"));
    let defaults = cloudevents::Defaults { tenant: &tenant, now: SystemClock.now() };
    let read = cloudevents::parse_structured(event.to_string().as_bytes(), &defaults);
    read.ok().context("the hub shows the event in an unknown shape")
}

fn verdict(outcome: &anyhow::Result<u16>) -> String {
    match outcome {
        Ok(status @ 200..=299) => cell(status, Tone::Good).to_string(),
        Ok(status) => cell(status, Tone::Warn).to_string(),
        Err(error) => cell(format!("{error:#}"), Tone::Bad).to_string(),
    }
}
