//! AMQP 0-9-1, as RabbitMQ and LavinMQ speak it: publish with confirms and the mandatory flag.
//!
//! **Settings**, besides `host`, `port` (5671 with TLS, else 5672) and `tls`:
//!
//! | field | meaning | default |
//! |---|---|---|
//! | `vhost` | virtual host | `/` |
//! | `username`, `password` | credentials | required |
//! | `exchange` | where to publish; absent is the default exchange, whose routing keys are queue names | none |
//! | `routing_key` | a template, at most 255 bytes when rendered | `{type}` |
//! | `persistent` | whether queues keep the message on disk (delivery mode 2) | true |
//! | `mandatory` | whether a message that no queue gets is an error | true |
//!
//! **Shape**: the body as it is; properties `message_id`, `type`, `timestamp`, `content_type`, `app_id` (`trunkline`),
//! `delivery_mode`; headers `tenant`, `subject`, and each further header.
//!
//! **Repeats**: `message_id`; the broker itself does not look at it.
//!
//! One connection per sink, and on it a channel for each message under way, kept for the next one. A broker tells which
//! message it returns only by its place before the confirm, and ends the channel when it refuses a message (an exchange that
//! is not there, a message that is too large): with one message per channel neither can hit another message.
//!
//! Lapin drives each connection on a thread of its own, which ends with the connection and logs nothing: lapin would write
//! returned messages into the log, bodies included.

mod failure;
mod runtime;

use std::sync::Arc;
use std::time::Duration;

use async_rs::Runtime;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{AsyncTcpStream, BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use trunkline_connect::BoxFuture;
use trunkline_model::{Secret, mask};

use self::runtime::{HeldWire, Lifeline, WireRuntime};
use super::{Kind, Reach};
use crate::SinkError;
use crate::error::broker_text;
use crate::factory::Tools;
use crate::kept::{Connect, Kept, Link};
use crate::message::{SinkMessage, SinkReceipt};
use crate::network::{Allowance, Dialer, Place, Security};
use crate::settings::{Deliver, Fields, KindSettings, Parsed, Template};

pub(super) const KIND: Kind = Kind { name: "amqp", secrets: &["password"], reach: Reach::Network, parse };

/// The largest frame we ask for; lapin reserves 64 of them per connection.
const FRAME_BYTES: u32 = 32 * 1024;
/// Seconds between heartbeats, both ways.
const HEARTBEAT_S: u16 = 30;
/// How long a dropped connection may take to say farewell.
const FAREWELL: Duration = Duration::from_secs(2);
/// Messages under way on one connection; further ones wait.
const MAX_CHANNELS: usize = 64;
/// The longest short string of the protocol.
const MAX_SHORT: usize = 255;

fn parse(mut fields: Fields<'_>) -> Parsed {
    let tls = fields.flag("tls", true);
    let place = fields.place(if tls { 5671 } else { 5672 });
    let vhost = fields.text("vhost").unwrap_or_else(|| "/".to_owned());
    let username = fields.required_text("username");
    let password = fields.required_secret("password");
    let exchange = fields.text("exchange");
    let routing_key = fields.template("routing_key", "{type}", check_key);
    let persistent = fields.flag("persistent", true);
    let mandatory = fields.flag("mandatory", true);
    for (name, text) in [("vhost", Some(&vhost)), ("exchange", exchange.as_ref())] {
        if text.is_some_and(|text| text.len() > MAX_SHORT) {
            fields.fault(name, "too_long", format!("must have at most {MAX_SHORT} bytes"));
        }
    }
    fields.finish(AmqpSettings {
        place,
        tls,
        vhost,
        username,
        password,
        exchange,
        routing_key,
        persistent,
        mandatory,
    })
}

fn check_key(key: &str) -> Result<(), String> {
    if key.len() > MAX_SHORT {
        return Err(format!("routing key is longer than {MAX_SHORT} bytes"));
    }
    Ok(())
}

#[derive(Clone)]
struct AmqpSettings {
    place: Place,
    tls: bool,
    vhost: String,
    username: String,
    password: Secret,
    /// `None` is the default exchange.
    exchange: Option<String>,
    routing_key: Template,
    persistent: bool,
    mandatory: bool,
}

impl KindSettings for AmqpSettings {
    fn masked(&self) -> Value {
        json!({
            "host": self.place.host,
            "port": self.place.port,
            "tls": self.tls,
            "vhost": self.vhost,
            "username": self.username,
            "password": mask::MASK,
            "exchange": self.exchange,
            "routing_key": self.routing_key.as_str(),
            "persistent": self.persistent,
            "mandatory": self.mandatory,
        })
    }

    fn place(&self) -> Option<Place> {
        Some(self.place.clone())
    }

    fn open(&self, tools: &Tools) -> Arc<dyn Deliver> {
        let connect = AmqpConnect { settings: self.clone(), dialer: Arc::clone(&tools.dialer) };
        Arc::new(AmqpSink { settings: self.clone(), kept: Kept::new(connect, tools.keep) })
    }
}

impl AmqpSettings {
    /// What lapin reads vhost, credentials and limits from; it does not connect by it.
    fn uri(&self) -> AMQPUri {
        AMQPUri {
            scheme: AMQPScheme::AMQP,
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo {
                    username: self.username.clone(),
                    password: self.password.expose().to_owned(),
                },
                host: self.place.host.clone(),
                port: self.place.port,
            },
            vhost: self.vhost.clone(),
            query: AMQPQueryString {
                frame_max: Some(FRAME_BYTES),
                heartbeat: Some(HEARTBEAT_S),
                ..AMQPQueryString::default()
            },
        }
    }

    fn properties(&self, message: &SinkMessage) -> Result<BasicProperties, SinkError> {
        let time_s = u64::try_from(message.time.as_secs()).unwrap_or(0);
        Ok(BasicProperties::default()
            .with_message_id(short(&message.id)?)
            .with_type(short(message.event_type.as_str())?)
            .with_content_type(short(message.content_type_text())?)
            .with_app_id(short("trunkline")?)
            .with_timestamp(time_s)
            .with_delivery_mode(if self.persistent { 2 } else { 1 })
            .with_headers(headers(message)?))
    }
}

fn headers(message: &SinkMessage) -> Result<FieldTable, SinkError> {
    let text = |value: &str| AMQPValue::LongString(LongString::from(value));
    let mut table = FieldTable::default();
    for (name, value) in message.text_headers() {
        table.insert(short(name)?, text(value));
    }
    table.insert(short("tenant")?, text(message.tenant.as_str()));
    if let Some(subject) = &message.subject {
        table.insert(short("subject")?, text(subject));
    }
    Ok(table)
}

/// A short string; lapin's own conversion panics on long ones.
fn short(text: &str) -> Result<ShortString, SinkError> {
    ShortString::try_new(text)
        .map_err(|_| SinkError::never(format!("a property is longer than {MAX_SHORT} bytes")))
}

struct AmqpConnect {
    settings: AmqpSettings,
    dialer: Arc<Dialer>,
}

impl AmqpConnect {
    async fn open(&self) -> Result<AmqpLink, SinkError> {
        let wire = self.dialer.dial(&self.settings.place, Security::of(self.settings.tls)).await?;
        let allowance = wire.allowance();
        let (wire, lifeline) = HeldWire::new(wire);
        let opened = async {
            let connection = connection(self.settings.uri(), wire).await?;
            let slots = Semaphore::new(MAX_CHANNELS);
            let lifeline = Some(lifeline);
            let link = AmqpLink { idle: Mutex::default(), slots, connection, allowance, lifeline };
            // A user who may not open channels is found out here.
            let channel = link.channel().await?;
            link.idle.lock().push(channel);
            Ok(link)
        };
        opened.await.map_err(|error| failure::of_open(&error, &self.settings.password))
    }
}

/// Hands lapin the open stream: it gets it once and cannot connect by itself.
async fn connection(uri: AMQPUri, wire: HeldWire) -> lapin::Result<Connection> {
    let slot = Mutex::new(Some(wire));
    let take = async move |_: AMQPUri, _: Runtime<WireRuntime>| {
        silence_this_thread();
        match slot.lock().take() {
            Some(wire) => Ok(AsyncTcpStream::Plain(wire)),
            None => Err(lapin::Error::from(std::io::Error::from(std::io::ErrorKind::NotConnected))),
        }
    };
    let properties = ConnectionProperties::default().with_connection_name("trunkline".into());
    Connection::connector(uri, Runtime::new(WireRuntime::current()), take, properties).await
}

/// Keeps what lapin logs on its own thread, from which this is called, to itself.
fn silence_this_thread() {
    let guard = tracing::dispatcher::set_default(&tracing::Dispatch::none());
    // Silent until the thread ends.
    std::mem::forget(guard);
}

impl Connect for AmqpConnect {
    type Link = AmqpLink;

    fn connect(&self) -> BoxFuture<'_, Result<AmqpLink, SinkError>> {
        Box::pin(self.open())
    }
}

/// A connection with the channels that wait for a message. The channels are dropped first.
struct AmqpLink {
    idle: Mutex<Vec<Channel>>,
    slots: Semaphore,
    connection: Connection,
    allowance: Arc<Allowance>,
    lifeline: Option<Lifeline>,
}

impl Link for AmqpLink {
    fn is_usable(&self) -> bool {
        self.connection.status().connected()
    }
}

impl Drop for AmqpLink {
    fn drop(&mut self) {
        if let Some(lifeline) = self.lifeline.take() {
            lifeline.release_after(FAREWELL);
        }
    }
}

impl AmqpLink {
    /// A channel in confirm mode that nobody else uses.
    async fn channel(&self) -> lapin::Result<Channel> {
        let idle = self.idle.lock().pop();
        if let Some(channel) = idle.filter(|channel| channel.status().connected()) {
            return Ok(channel);
        }
        let channel = self.connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(channel)
    }

    /// Publishes on a channel of its own. A channel whose message was not confirmed is not used again.
    async fn publish(&self, publication: Publication<'_>) -> lapin::Result<Confirmation> {
        let slot = self.slots.acquire().await;
        let channel = self.channel().await?;
        let Publication { exchange, routing_key, options, body, properties } = publication;
        let published = channel.basic_publish(exchange, routing_key, options, body, properties).await?;
        let confirmation = published.await?;
        self.idle.lock().push(channel);
        drop(slot);
        Ok(confirmation)
    }
}

struct Publication<'a> {
    exchange: ShortString,
    routing_key: ShortString,
    options: BasicPublishOptions,
    body: &'a [u8],
    properties: BasicProperties,
}

struct AmqpSink {
    settings: AmqpSettings,
    kept: Kept<AmqpConnect>,
}

impl AmqpSink {
    async fn publish(&self, message: &SinkMessage, deadline: Instant) -> Result<SinkReceipt, SinkError> {
        let key = self.settings.routing_key.render(message);
        check_key(&key).map_err(SinkError::never)?;
        let publication = Publication {
            exchange: short(self.settings.exchange.as_deref().unwrap_or_default())?,
            routing_key: short(&key)?,
            options: BasicPublishOptions { mandatory: self.settings.mandatory, immediate: false },
            body: &message.body,
            properties: self.settings.properties(message)?,
        };
        let lease = self.kept.lease(deadline).await?;
        // A message that cannot be routed comes back whole.
        lease.link().allowance.add(message.body.len());
        let judged = match lease.link().publish(publication).await {
            Ok(confirmation) => self.judge(&confirmation, &key),
            Err(error) => Err(failure::of_publish(&error, message.body.len(), &self.settings.password)),
        };
        lease.settle(judged)
    }

    fn judge(&self, confirmation: &Confirmation, key: &str) -> Result<SinkReceipt, SinkError> {
        match confirmation {
            Confirmation::Ack(None) => {
                let exchange = self.settings.exchange.as_deref().unwrap_or("default exchange");
                Ok(SinkReceipt::new(format!("confirmed, {exchange} {key}")))
            }
            Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned)) => {
                let said = broker_text(returned.reply_text.as_str(), &[&self.settings.password]);
                Err(SinkError::refused(format!(
                    "no queue takes routing key {key}: the broker returned the message with {} {said}",
                    returned.reply_code
                )))
            }
            Confirmation::Nack(None) => {
                Err(SinkError::refused("the broker could not take the message (basic.nack)"))
            }
            Confirmation::NotRequested => {
                Err(SinkError::Protocol("the channel is not in confirm mode".into()))
            }
        }
    }
}

impl Deliver for AmqpSink {
    fn deliver<'a>(
        &'a self,
        message: &'a SinkMessage,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<SinkReceipt, SinkError>> {
        Box::pin(self.publish(message, deadline))
    }
}
