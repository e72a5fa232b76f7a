//! Redis (or Valkey) streams: `XADD` with an approximate length limit.
//!
//! **Settings**, besides `host`, `port` (6379) and `tls`:
//!
//! | field | meaning | default |
//! |---|---|---|
//! | `username`, `password` | ACL user; a password alone is that of the user `default` | none |
//! | `database` | 0 to 1 000 000 | 0 |
//! | `stream` | key of the stream, a template | `trunkline:{tenant}` |
//! | `max_len` | about how many entries the stream keeps (`MAXLEN ~`), 1 to 10^12; `0` keeps all | 100 000 |
//!
//! **Shape** of an entry: fields `id`, `type`, `tenant`, `subject` (when there is one), `time`, `content_type`, `data` (the
//! body), and `header:NAME` for each further header.
//!
//! **Repeats**: the field `id`; Redis itself does not look at it.
//!
//! A cluster's `MOVED` and `ASK` are errors: they name addresses that nobody vetted. Name the node that serves the key.

use std::sync::Arc;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Cmd, ErrorKind, RedisConnectionInfo, RedisError};
use serde_json::{Value, json};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use trunkline_connect::BoxFuture;
use trunkline_model::{Secret, mask};

use super::{Kind, Reach};
use crate::SinkError;
use crate::error::broker_text;
use crate::factory::Tools;
use crate::kept::{Connect, Kept, Link};
use crate::message::{SinkMessage, SinkReceipt};
use crate::network::{Allowance, Dialer, Place, Security};
use crate::settings::{Deliver, Fields, KindSettings, Parsed, Template};

pub(super) const KIND: Kind = Kind { name: "redis", secrets: &["password"], reach: Reach::Network, parse };

/// The largest value Redis takes as it is installed (`proto-max-bulk-len`).
const MAX_BODY_BYTES: usize = 512 * 1024 * 1024;
const MAX_KEY_BYTES: usize = 1024;

fn parse(mut fields: Fields<'_>) -> Parsed {
    let place = fields.place(6379);
    let tls = fields.flag("tls", true);
    let username = fields.text("username");
    let password = fields.secret("password");
    if username.is_some() && password.is_none() {
        fields.fault("password", "required", "is required with username");
    }
    let database = fields.number("database", 0..=1_000_000).unwrap_or(0);
    let stream = fields.template("stream", "trunkline:{tenant}", check_key);
    let max_len = fields.number("max_len", 0..=1_000_000_000_000).unwrap_or(100_000);
    fields.finish(RedisSettings { place, tls, username, password, database, stream, max_len })
}

fn check_key(key: &str) -> Result<(), String> {
    if key.len() > MAX_KEY_BYTES {
        return Err(format!("stream key is longer than {MAX_KEY_BYTES} bytes"));
    }
    Ok(())
}

#[derive(Clone)]
struct RedisSettings {
    place: Place,
    tls: bool,
    username: Option<String>,
    password: Option<Secret>,
    database: u64,
    stream: Template,
    max_len: u64,
}

impl KindSettings for RedisSettings {
    fn masked(&self) -> Value {
        json!({
            "host": self.place.host,
            "port": self.place.port,
            "tls": self.tls,
            "username": self.username,
            "password": self.password.as_ref().map(|_| mask::MASK),
            "database": self.database,
            "stream": self.stream.as_str(),
            "max_len": self.max_len,
        })
    }

    fn place(&self) -> Option<Place> {
        Some(self.place.clone())
    }

    fn open(&self, tools: &Tools) -> Arc<dyn Deliver> {
        let connect = RedisConnect { settings: self.clone(), dialer: Arc::clone(&tools.dialer) };
        Arc::new(RedisSink { settings: self.clone(), kept: Kept::new(connect, tools.keep) })
    }
}

impl RedisSettings {
    fn info(&self) -> RedisConnectionInfo {
        let mut info = RedisConnectionInfo::default()
            .set_db(self.database as i64)
            .set_lib_name("trunkline", env!("CARGO_PKG_VERSION"));
        if let Some(username) = &self.username {
            info = info.set_username(username);
        }
        if let Some(password) = &self.password {
            info = info.set_password(password.expose());
        }
        info
    }

    fn xadd(&self, key: &str, message: &SinkMessage) -> Cmd {
        let mut cmd = ::redis::cmd("XADD");
        cmd.arg(key);
        if self.max_len > 0 {
            cmd.arg("MAXLEN").arg("~").arg(self.max_len);
        }
        cmd.arg("*").arg("id").arg(&message.id).arg("type").arg(message.event_type.as_str());
        cmd.arg("tenant").arg(message.tenant.as_str());
        if let Some(subject) = &message.subject {
            cmd.arg("subject").arg(subject);
        }
        cmd.arg("time").arg(message.time.to_rfc3339());
        cmd.arg("content_type").arg(message.content_type_text()).arg("data").arg(&message.body[..]);
        for (name, value) in message.text_headers() {
            cmd.arg(format!("header:{name}")).arg(value);
        }
        cmd
    }

    fn failure(&self, error: &RedisError) -> SinkError {
        let secrets: Vec<&Secret> = self.password.iter().collect();
        let code = error.code().map(str::to_owned);
        let detail = broker_text(error.detail().unwrap_or_default(), &secrets);
        let said = |code: &str| format!("redis answered {}: {detail}", broker_text(code, &secrets));
        match (error.kind(), code.as_deref()) {
            (ErrorKind::AuthenticationFailed, _) => SinkError::Auth(format!("redis answered: {detail}")),
            (_, Some(code @ ("NOAUTH" | "WRONGPASS" | "NOPERM"))) => SinkError::Auth(said(code)),
            (_, Some(code @ ("MOVED" | "ASK"))) => SinkError::refused(format!(
                "redis answered {code}: the key lives on another node of the cluster, and redirects are not \
                 followed; name that node as host"
            )),
            (_, Some(code @ "WRONGTYPE")) => SinkError::never(said(code)),
            (_, Some(code)) => SinkError::refused(said(code)),
            (ErrorKind::Parse | ErrorKind::UnexpectedReturnType, None) => {
                SinkError::Protocol("redis did not answer as a redis server does".to_owned())
            }
            (_, None) => SinkError::reset(error.clone()),
        }
    }
}

struct RedisConnect {
    settings: RedisSettings,
    dialer: Arc<Dialer>,
}

impl Connect for RedisConnect {
    type Link = RedisLink;

    fn connect(&self) -> BoxFuture<'_, Result<RedisLink, SinkError>> {
        Box::pin(async move {
            let wire = self.dialer.dial(&self.settings.place, Security::of(self.settings.tls)).await?;
            let allowance = wire.allowance();
            // The send's own deadline counts.
            let config = AsyncConnectionConfig::new().set_response_timeout(None);
            let opened = MultiplexedConnection::new_with_config(&self.settings.info(), wire, config).await;
            let (connection, driver) = opened.map_err(|error| self.settings.failure(&error))?;
            let driver = tokio::spawn(driver).abort_handle();
            Ok(RedisLink { connection, driver, allowance })
        })
    }
}

struct RedisLink {
    connection: MultiplexedConnection,
    driver: AbortHandle,
    allowance: Arc<Allowance>,
}

impl Link for RedisLink {
    fn is_usable(&self) -> bool {
        !self.driver.is_finished()
    }
}

impl Drop for RedisLink {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

struct RedisSink {
    settings: RedisSettings,
    kept: Kept<RedisConnect>,
}

impl RedisSink {
    async fn add(&self, message: &SinkMessage, deadline: Instant) -> Result<SinkReceipt, SinkError> {
        if message.body.len() > MAX_BODY_BYTES {
            let size_bytes = message.body.len();
            return Err(SinkError::TooLarge { size_bytes, limit_bytes: Some(MAX_BODY_BYTES) });
        }
        let key = self.settings.stream.render(message);
        check_key(&key).map_err(SinkError::never)?;
        let lease = self.kept.lease(deadline).await?;
        lease.link().allowance.add(0);
        let mut connection = lease.link().connection.clone();
        let added = self.settings.xadd(&key, message).query_async::<String>(&mut connection).await;
        let entry = lease.settle(added.map_err(|error| self.settings.failure(&error)))?;
        Ok(SinkReceipt::new(format!("{key} {}", broker_text(&entry, &[]))))
    }
}

impl Deliver for RedisSink {
    fn deliver<'a>(
        &'a self,
        message: &'a SinkMessage,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<SinkReceipt, SinkError>> {
        Box::pin(self.add(message, deadline))
    }
}
