//! `call: asyncapi`: publishes a message to, or takes messages from, a channel of an AsyncAPI document.

use std::sync::Arc;

use crate::dsl::authentication::Authentication;
use crate::dsl::duration::Delay;
use crate::dsl::resource::ExternalResource;
use crate::dsl::tasks::listen::Iterator;
use crate::expression::{Expression, Stage, Template};
use crate::read::{At, Extra, Fields, Reader};

/// An operation of an AsyncAPI document.
#[derive(Debug, Clone)]
pub struct AsyncApi {
    /// The document.
    pub document: ExternalResource,
    /// Which part of it.
    pub target: Target,
    /// Which of its servers: name and variables.
    pub server: Option<(String, Option<Template>)>,
    /// Which protocol the server must speak.
    pub protocol: Option<&'static str>,
    /// What to do.
    pub exchange: Exchange,
    /// As whom.
    pub authentication: Option<Arc<Authentication>>,
}

/// A part of an AsyncAPI document.
#[derive(Debug, Clone)]
pub enum Target {
    /// A channel, in AsyncAPI 2.6.
    Channel(String),
    /// An operation, in AsyncAPI 3.
    Operation(String),
}

/// What to do with a channel.
#[derive(Debug, Clone)]
pub enum Exchange {
    /// Publish a message.
    Publish {
        /// Its payload.
        payload: Option<Template>,
        /// Its headers.
        headers: Option<Template>,
    },
    /// Take messages.
    Subscribe(Box<Subscription>),
}

/// Which messages to take.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// Only messages for which this holds.
    pub filter: Option<Expression>,
    /// When to stop.
    pub stop: Stop,
    /// How long at most.
    pub time: Option<Delay>,
    /// What to do with each.
    pub foreach: Option<Iterator>,
}

/// When to stop taking messages.
#[derive(Debug, Clone)]
pub enum Stop {
    /// After so many.
    Amount(u32),
    /// When this no longer holds after one.
    While(Expression),
    /// When this holds before one.
    Until(Expression),
}

const PROTOCOLS: [&str; 19] = [
    "amqp",
    "amqp1",
    "anypointmq",
    "googlepubsub",
    "http",
    "ibmmq",
    "jms",
    "kafka",
    "mercure",
    "mqtt",
    "mqtt5",
    "nats",
    "pulsar",
    "redis",
    "sns",
    "solace",
    "sqs",
    "stomp",
    "ws",
];

impl AsyncApi {
    /// What is done with each message, if anything.
    pub fn iterator(&self) -> Option<&Iterator> {
        match &self.exchange {
            Exchange::Subscribe(subscription) => subscription.foreach.as_ref(),
            Exchange::Publish { .. } => None,
        }
    }
}

impl Reader {
    pub(super) fn asyncapi(&mut self, with: &At<'_>) -> Option<AsyncApi> {
        let stage = Stage::Body;
        let mut fields = Fields::open(with, "an AsyncAPI call", self)?;
        let document = fields.required("document", self).and_then(|at| self.external_resource(&at, stage));
        let target = fields.one_of(&["channel", "operation"], self);
        let target = target.and_then(|key| {
            let name = self.text(&with.peek(key)?)?.to_owned();
            Some(if key == "channel" { Target::Channel(name) } else { Target::Operation(name) })
        });
        let server = fields.optional("server").and_then(|at| self.server(&at));
        let protocol =
            fields.optional("protocol").and_then(|at| self.choice(&at, &PROTOCOLS.map(|it| (it, it))));
        let exchange = match fields.one_of(&["message", "subscription"], self) {
            Some("message") => with.peek("message").and_then(|at| self.message(&at)),
            Some(_) => with
                .peek("subscription")
                .and_then(|at| self.subscription(&at))
                .map(|subscription| Exchange::Subscribe(Box::new(subscription))),
            None => None,
        };
        let authentication =
            fields.optional("authentication").and_then(|at| self.authentication_or_name(&at, stage));
        fields.close(Extra::Closed, self);
        Some(AsyncApi {
            document: document?,
            target: target?,
            server,
            protocol,
            exchange: exchange?,
            authentication,
        })
    }

    fn server(&mut self, at: &At<'_>) -> Option<(String, Option<Template>)> {
        let mut fields = Fields::open(at, "a server", self)?;
        let name = self.required_text(&mut fields, "name");
        let variables = fields.optional("variables").map(|at| self.object_template(&at, Stage::Body));
        fields.close(Extra::Closed, self);
        Some((name?, variables))
    }

    fn message(&mut self, at: &At<'_>) -> Option<Exchange> {
        let mut fields = Fields::open(at, "a message", self)?;
        let payload = fields.optional("payload").map(|at| self.object_template(&at, Stage::Body));
        let headers = fields.optional("headers").map(|at| self.object_template(&at, Stage::Body));
        fields.close(Extra::Closed, self);
        Some(Exchange::Publish { payload, headers })
    }

    fn subscription(&mut self, at: &At<'_>) -> Option<Subscription> {
        let mut fields = Fields::open(at, "a subscription", self)?;
        let filter = fields.optional("filter").and_then(|at| self.marked_expression(&at));
        let consume = fields.required("consume", self).and_then(|at| self.consumption(&at));
        let foreach = fields.optional("foreach").and_then(|at| self.iterator(&at));
        fields.close(Extra::Closed, self);
        let (stop, time) = consume?;
        Some(Subscription { filter, stop, time, foreach })
    }

    fn consumption(&mut self, at: &At<'_>) -> Option<(Stop, Option<Delay>)> {
        let mut fields = Fields::open(at, "a consumption policy", self)?;
        let time = fields.optional("for").and_then(|at| self.duration(&at, Stage::Body));
        let key = fields.one_of(&["amount", "while", "until"], self);
        fields.close(Extra::Closed, self);
        let inner = at.peek(key?)?;
        let stop = match key? {
            "amount" => self.integer_within(&inner, 1..=1_000_000).map(|amount| Stop::Amount(amount as u32)),
            "while" => self.marked_expression(&inner).map(Stop::While),
            _ => self.marked_expression(&inner).map(Stop::Until),
        };
        Some((stop?, time))
    }

    /// Reads an expression that the schema wants in `${ }`.
    fn marked_expression(&mut self, at: &At<'_>) -> Option<Expression> {
        let text = self.text(at)?;
        if crate::expression::unwrap(text).is_none() {
            self.shape(at, "must be an expression in `${ }`", "put it into `${ }`");
            return None;
        }
        self.expression(at, Stage::Body)
    }
}
