//! What the demo promises and proves: each sample's answer first, then every outcome, seen from the receiver and from the
//! API.

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::receiver::{FLAKY, Received, STEADY};
use super::samples::{Sample, forged};
use super::{Account, N_FAILURES, Stage, eventually};
use crate::client::segment;
use crate::commands::event::{journey, text};

const APPOINTMENT: &str =
    r#"{"type":"appointment.created","data":{"id":7,"patient":"P-1042","starts_at":"2026-03-02T09:30:00Z"}}"#;
const INVOICE: &str = r#"{"type":"invoice.paid","data":{"id":"INV-88","amount":"125.40","currency":"EUR"}}"#;
const LAB: &str = r#"{"type":"lab.result.ready","data":{"order":"L-5","flag":"normal"}}"#;
const BROKEN: &str = r#"{"type":"appointment.created","data":{"id":"#;

/// Every promise, kept in order.
pub(super) struct Promises<'a> {
    pub(super) stage: &'a Stage,
}

impl Promises<'_> {
    /// Tries them all; gives the journey to show.
    pub(super) async fn keep(&self, account: &mut Account<'_>) -> Option<Value> {
        let lab = self.send_samples(account).await;
        self.check_receiver(account).await;
        self.check_records(account).await;
        let lab = lab?;
        account
            .check("its journey can be followed from the call to the third attempt", self.journey(&lab))
            .await
    }

    /// Sends every sample; gives the event id of the one whose endpoint fails at first.
    async fn send_samples(&self, account: &mut Account<'_>) -> Option<String> {
        let sender = &self.stage.sender;
        let sample = sender.clinic("msg_appointment_1", APPOINTMENT, 0).ok()?;
        let first =
            account.check("signed by Standard Webhooks: accepted, durable", self.accepted(&sample)).await;
        account
            .check(
                "signed with an HMAC of the source's own kind: accepted",
                self.accepted(&sender.billing(INVOICE)),
            )
            .await;
        account
            .check("forged signature: 401, nothing revealed", async {
                let answer = sender.send(&forged("msg_forged", APPOINTMENT)?).await?;
                answer.refused()
            })
            .await;
        account
            .check("replayed ten minutes later: 401", async {
                let answer = sender.send(&sender.clinic("msg_stale", APPOINTMENT, 600)?).await?;
                answer.refused()
            })
            .await;
        account
            .check("sent a second time: same answer, nothing appended", async {
                let again = self.accepted(&sample).await?;
                ensure!(
                    Some(&again) == first.as_ref(),
                    "the answer names {again}, the first named {first:?}"
                );
                Ok(())
            })
            .await;
        account
            .check("signed, but broken JSON: accepted and kept aside", async {
                self.accepted(&sender.clinic("msg_broken", BROKEN, 0)?).await
            })
            .await;
        let lab = account
            .check("for an endpoint that is down: accepted all the same", async {
                self.accepted(&sender.clinic("msg_lab_1", LAB, 0)?).await
            })
            .await?;
        // Call and event are one record and share their digits.
        Some(lab.replacen("inb_", "evt_", 1))
    }

    async fn accepted(&self, sample: &Sample) -> anyhow::Result<String> {
        Ok(self.stage.sender.send(sample).await?.accepted()?.to_owned())
    }

    async fn check_receiver(&self, account: &mut Account<'_>) {
        let receiver = &self.stage.receiver;
        account
            .check("both good events were delivered, their signatures checked by the receiver", async {
                eventually(|| async { delivered_once(&receiver.received(STEADY)) }).await
            })
            .await;
        account
            .check("the failing endpoint recovered: third attempt taken, same webhook-id each time", async {
                eventually(|| async { recovered(&receiver.received(FLAKY)) }).await
            })
            .await;
    }

    async fn check_records(&self, account: &mut Account<'_>) {
        account.check("the journal holds exactly the three events", self.journal_is_exact()).await;
        account
            .check("every delivery is on record: three succeeded, the last after three attempts", async {
                eventually(|| self.deliveries_are_recorded()).await
            })
            .await;
        account
            .check("the broken call is in quarantine, with its reason", self.call_is_kept("quarantined", 1))
            .await;
        account
            .check("the forged and the stale call are on record for the operator, with theirs", async {
                eventually(|| self.call_is_kept("rejected", 2)).await
            })
            .await;
    }

    async fn journal_is_exact(&self) -> anyhow::Result<()> {
        let page = self.stage.api.get("api/v1/events", &[]).await?;
        let mut kinds: Vec<&str> = items(&page).iter().map(|event| text(event, "type")).collect();
        kinds.sort_unstable();
        ensure!(kinds == ["appointment.created", "invoice.paid", "lab.result.ready"], "it holds {kinds:?}");
        Ok(())
    }

    async fn deliveries_are_recorded(&self) -> anyhow::Result<()> {
        let page = self.stage.api.get("api/v1/deliveries", &[]).await?;
        let deliveries = items(&page);
        ensure!(deliveries.len() == 3, "{} deliveries instead of 3", deliveries.len());
        for delivery in deliveries {
            let (state, n_attempts) = (text(delivery, "state"), delivery["n_attempts"].as_u64().unwrap_or(0));
            let expected = match text(delivery, "endpoint_id") {
                id if id == self.stage.steady_id => 1,
                id if id == self.stage.flaky_id => N_FAILURES as u64 + 1,
                id => anyhow::bail!("a delivery to {id}, which nobody made"),
            };
            ensure!(
                state == "succeeded" && n_attempts == expected,
                "{} is {state} after {n_attempts} attempts instead of succeeded after {expected}",
                text(delivery, "event_type"),
            );
        }
        Ok(())
    }

    async fn call_is_kept(&self, verdict: &str, n_expected: usize) -> anyhow::Result<()> {
        let page = self.stage.api.get("api/v1/inbound", &[("verdict", verdict)]).await?;
        let calls = items(&page);
        ensure!(calls.len() == n_expected, "{} calls are {verdict}, not {n_expected}", calls.len());
        ensure!(calls.iter().all(|call| !text(call, "reason").is_empty()), "one has no reason");
        for call in calls {
            let path = format!("api/v1/inbound/{}", segment(text(call, "id")));
            self.stage.api.get(&path, &[]).await.context("one cannot be looked at")?;
        }
        Ok(())
    }

    async fn journey(&self, event_id: &str) -> anyhow::Result<Value> {
        let journey = journey::fetch(&self.stage.api, event_id).await?;
        let n_attempts = count_kind(&journey["nodes"], "attempt");
        ensure!(n_attempts == N_FAILURES + 1, "it shows {n_attempts} attempts");
        for kind in ["request", "event", "delivery"] {
            ensure!(count_kind(&journey["nodes"], kind) == 1, "it does not show the {kind} once");
        }
        Ok(journey)
    }
}

fn delivered_once(received: &[Received]) -> anyhow::Result<()> {
    ensure!(received.iter().all(|call| call.is_verified), "a delivery's signature does not fit");
    for (kind, sample) in [("appointment.created", APPOINTMENT), ("invoice.paid", INVOICE)] {
        let bodies: Vec<Value> = received
            .iter()
            .filter_map(|call| serde_json::from_slice::<Value>(&call.body).ok())
            .filter(|body| body["type"] == kind)
            .collect();
        ensure!(bodies.len() == 1, "{kind} arrived {} times", bodies.len());
        let sent: Value = serde_json::from_str(sample)?;
        ensure!(bodies[0]["data"] == sent["data"], "{kind} arrived with other data: {}", bodies[0]);
    }
    Ok(())
}

fn recovered(received: &[Received]) -> anyhow::Result<()> {
    let statuses: Vec<u16> = received.iter().map(|call| call.status).collect();
    ensure!(statuses == [500, 500, 204], "it answered {statuses:?}");
    ensure!(received.iter().all(|call| call.is_verified), "a delivery's signature does not fit");
    let first = received.first().context("nothing arrived")?;
    ensure!(received.iter().all(|call| call.webhook_id == first.webhook_id), "the webhook-id changed");
    ensure!(received.iter().all(|call| call.body == first.body), "the body changed");
    Ok(())
}

fn items(page: &Value) -> &[Value] {
    page["items"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// How many nodes of a kind a tree has.
fn count_kind(nodes: &Value, kind: &str) -> usize {
    let nodes = nodes.as_array().map(Vec::as_slice).unwrap_or_default();
    nodes
        .iter()
        .map(|node| usize::from(text(node, "kind") == kind) + count_kind(&node["children"], kind))
        .sum()
}
