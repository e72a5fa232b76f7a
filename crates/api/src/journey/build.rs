//! Makes the tree of a journey from its facts. Pure.
//!
//! An event stands below the event or the workflow that caused it, else below the call it came from, else at the top; so
//! does a workflow. Producers choose causes freely, so a cause may be missing, be the event itself, or go round in a circle:
//! such an event stands at the top.

use std::collections::HashMap;

use trunkline_dispatch::outcome::ConnectionTiming;
use trunkline_model::{EventRecord, InboundId, Timestamp};
use trunkline_store::tables::delivery::{AttemptOutcome, AttemptRow, DeliveryRow};
use trunkline_store::tables::inbound::InboundRow;
use trunkline_store::tables::workflow::instance::InstanceRow;

use super::{Facts, Journey, Node, NodeKind};

/// How deep events nest; what is deeper stands beside. Each level is two of JSON, whose readers often stop at 128.
const MAX_DEPTH: usize = 40;

/// What can cause something else.
enum Cause<'a> {
    Event(&'a EventRecord),
    Workflow(&'a InstanceRow),
}

impl Cause<'_> {
    fn id(&self) -> &str {
        match self {
            Self::Event(event) => event.event.id.as_str(),
            Self::Workflow(workflow) => workflow.id.as_str(),
        }
    }

    /// The id of its own cause.
    fn cause(&self) -> Option<&str> {
        match self {
            Self::Event(event) => event.event.causationid.as_deref(),
            Self::Workflow(workflow) => workflow.causation_id.as_deref(),
        }
    }
}

/// Makes the tree. Offsets count from the earliest thing that happened.
pub fn build(facts: &Facts) -> Journey {
    let causes: Vec<Cause<'_>> =
        (facts.events.iter().map(Cause::Event)).chain(facts.workflows.iter().map(Cause::Workflow)).collect();
    let parents = parents(&causes);
    let mut children: Vec<Vec<Node>> = causes.iter().map(|_| Vec::new()).collect();
    // Events come first among the causes, so that an event has the same place in both.
    let by_place: HashMap<(i64, i64), usize> =
        facts.events.iter().enumerate().map(|(index, event)| ((event.shard, event.seq), index)).collect();
    let mut nodes = Vec::new();
    for (delivery, attempts) in &facts.deliveries {
        let node = delivery_node(delivery, attempts);
        match by_place.get(&(delivery.shard, delivery.seq)) {
            Some(index) => children[*index].push(node),
            None => nodes.push(node),
        }
    }
    // Deepest first, so that a node is complete before it is hung below its cause.
    let mut order: Vec<usize> = (0..causes.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(depth(&parents, *index)));
    let mut requests: HashMap<&str, &InboundRow> =
        facts.requests.iter().map(|request| (request.id.as_str(), request)).collect();
    for index in order {
        let mut below = std::mem::take(&mut children[index]);
        sort(&mut below);
        let node = match causes[index] {
            Cause::Event(event) => with_request(event, event_node(event, below), &mut requests),
            Cause::Workflow(workflow) => workflow_node(workflow, below),
        };
        match parents[index] {
            Some(parent) => children[parent].push(node),
            None => nodes.push(node),
        }
    }
    // Calls that became no event.
    nodes.extend(requests.into_values().map(|request| request_node(request, vec![])));
    sort(&mut nodes);
    finish(facts, nodes)
}

fn sort(nodes: &mut [Node]) {
    nodes.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
}

/// The index of each one's cause, without circles and not too deep.
fn parents(causes: &[Cause<'_>]) -> Vec<Option<usize>> {
    let by_id: HashMap<&str, usize> =
        causes.iter().enumerate().map(|(index, cause)| (cause.id(), index)).collect();
    let mut parents: Vec<Option<usize>> = vec![None; causes.len()];
    for (index, one) in causes.iter().enumerate() {
        let Some(mut cause) = one.cause().and_then(|id| by_id.get(id)).copied() else { continue };
        let ancestors = ancestors(&parents, cause);
        if cause == index || ancestors.contains(&index) {
            continue;
        }
        if ancestors.len() + 1 >= MAX_DEPTH {
            cause = ancestors[ancestors.len() + 1 - MAX_DEPTH];
        }
        parents[index] = Some(cause);
    }
    // A cause that was joined to its own cause later may have made its followers too deep.
    for index in 0..parents.len() {
        let ancestors = ancestors(&parents, index);
        if ancestors.len() >= MAX_DEPTH {
            parents[index] = Some(ancestors[ancestors.len() - MAX_DEPTH + 1]);
        }
    }
    parents
}

/// The causes above one, the nearest first.
fn ancestors(parents: &[Option<usize>], index: usize) -> Vec<usize> {
    std::iter::successors(parents[index], |above| parents[*above]).collect()
}

fn depth(parents: &[Option<usize>], index: usize) -> usize {
    ancestors(parents, index).len()
}

/// Puts an event below the call it came from.
fn with_request(event: &EventRecord, node: Node, requests: &mut HashMap<&str, &InboundRow>) -> Node {
    let own = event.event.id.to_inbound();
    if event.request_head.is_some() {
        let id = own.map_or_else(|| event.event.id.as_str().to_owned(), InboundId::into_string);
        let summary = format!("webhook call to {}", event.event.source);
        return Node::new(NodeKind::Request, id, event.recorded_at, ("accepted", summary), vec![node]);
    }
    let own = own.and_then(|id| requests.remove(id.as_str()));
    let named = || event.event.causationid.as_deref().and_then(|id| requests.remove(id));
    match own.or_else(named) {
        Some(request) => request_node(request, vec![node]),
        None => node,
    }
}

fn request_node(request: &InboundRow, children: Vec<Node>) -> Node {
    let summary = if request.reason.is_empty() {
        format!("webhook call to {}", request.source)
    } else {
        format!("webhook call to {}: {}", request.source, request.reason)
    };
    let id = request.id.as_str().to_owned();
    Node::new(NodeKind::Request, id, request.received_at, (request.verdict.as_str(), summary), children)
}

fn event_node(record: &EventRecord, children: Vec<Node>) -> Node {
    let event = &record.event;
    let summary = match &event.subject {
        Some(subject) => format!("{} from {} about {subject}", event.event_type, event.source),
        None => format!("{} from {}", event.event_type, event.source),
    };
    Node::new(
        NodeKind::Event,
        event.id.as_str().to_owned(),
        record.recorded_at,
        ("stored", summary),
        children,
    )
}

fn workflow_node(workflow: &InstanceRow, children: Vec<Node>) -> Node {
    let summary = format!("{}/{} {}", workflow.namespace, workflow.name, workflow.version);
    let state = (workflow.phase.status().as_str(), summary);
    let id = workflow.id.as_str().to_owned();
    let mut node = Node::new(NodeKind::Workflow, id, workflow.created_at, state, children);
    node.duration_ms = workflow.finished_at.map(|end| millis(workflow.created_at, end));
    node
}

fn delivery_node(delivery: &DeliveryRow, attempts: &[AttemptRow]) -> Node {
    let tries = match delivery.n_attempts {
        1 => "1 attempt".to_owned(),
        n => format!("{n} attempts"),
    };
    let reason = delivery.reason.as_ref().map(|reason| format!(", {reason}")).unwrap_or_default();
    let summary = format!("{} to {}, {tries}{reason}", delivery.event_type, delivery.endpoint_id);
    let mut children: Vec<Node> = attempts.iter().map(attempt_node).collect();
    sort(&mut children);
    let id = delivery.id.as_str().to_owned();
    let state = (delivery.state.as_str(), summary);
    let mut node = Node::new(NodeKind::Delivery, id, delivery.created_at, state, children);
    node.duration_ms = delivery.finished_at.map(|end| millis(delivery.created_at, end));
    node
}

fn attempt_node(attempt: &AttemptRow) -> Node {
    let outcome = &attempt.outcome;
    let state = if outcome.error_class.is_none() { "succeeded" } else { "failed" };
    let mut parts = vec![format!("attempt {}", attempt.number)];
    parts.extend(outcome.status.map(|status| format!("status {status}")));
    parts.extend(outcome.error.clone().or_else(|| outcome.error_class.clone()));
    parts.extend(phases(outcome));
    let id = outcome.id.as_str().to_owned();
    let mut node = Node::new(NodeKind::Attempt, id, outcome.started_at, (state, parts.join(", ")), vec![]);
    node.duration_ms = Some(outcome.duration_us as f64 / 1000.0);
    node
}

/// Where the time of an attempt went, in words: `dns 0.3 ms, connect 8.2 ms, tls 17.4 ms, first byte 40.1 ms`.
fn phases(outcome: &AttemptOutcome) -> Option<String> {
    let opened = outcome.connection.as_deref().and_then(ConnectionTiming::from_json);
    let opened = opened
        .map(|opened| [("dns", Some(opened.dns_us)), ("connect", opened.connect_us), ("tls", opened.tls_us)]);
    let first_byte = outcome.first_byte_us.map(i64::unsigned_abs);
    let phases = opened.into_iter().flatten().chain([("first byte", first_byte)]);
    let texts: Vec<String> =
        phases.filter_map(|(name, us)| Some(format!("{name} {:.1} ms", us? as f64 / 1000.0))).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

impl Node {
    fn new(
        kind: NodeKind,
        id: String,
        at: Timestamp,
        (state, summary): (&str, String),
        children: Vec<Self>,
    ) -> Self {
        Self { kind, id, at, offset_ms: 0.0, duration_ms: None, state: state.to_owned(), summary, children }
    }

    fn set_offsets(&mut self, start: Timestamp) -> f64 {
        self.offset_ms = millis(start, self.at);
        let own = self.offset_ms + self.duration_ms.unwrap_or_default();
        self.children.iter_mut().map(|child| child.set_offsets(start)).fold(own, f64::max)
    }

    fn earliest(&self) -> Timestamp {
        self.children.iter().map(Self::earliest).fold(self.at, Timestamp::min)
    }
}

fn finish(facts: &Facts, mut nodes: Vec<Node>) -> Journey {
    let started_at = nodes.iter().map(Node::earliest).min().unwrap_or_default();
    let duration_ms = nodes.iter_mut().map(|node| node.set_offsets(started_at)).fold(0.0, f64::max);
    Journey {
        correlation_id: facts.correlation_id.clone(),
        started_at,
        duration_ms,
        truncated: facts.truncated,
        nodes,
    }
}

fn millis(from: Timestamp, to: Timestamp) -> f64 {
    to.since(from).as_micros() as f64 / 1000.0
}
