//! Real servers on their standard local ports, and what tests ask them beside the sinks.

use std::io::Write as _;
use std::net::ToSocketAddrs as _;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use url::Url;

/// A server that tests can use.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Server {
    Redis,
    RabbitMq,
    Nats,
}

impl Server {
    fn name(self) -> &'static str {
        match self {
            Self::Redis => "REDIS",
            Self::RabbitMq => "RABBITMQ",
            Self::Nats => "NATS",
        }
    }

    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::RabbitMq => "amqp",
            Self::Nats => "nats",
        }
    }

    pub(crate) fn url(self) -> Url {
        let default = match self {
            Self::Redis => "redis://127.0.0.1:6379",
            Self::RabbitMq => "amqp://guest:guest@127.0.0.1:5672",
            Self::Nats => "nats://127.0.0.1:4222",
        };
        let url = std::env::var(format!("TRUNKLINE_TEST_{}", self.name()));
        url.as_deref().unwrap_or(default).parse().unwrap()
    }

    pub(crate) fn host_and_port(self) -> (String, u16) {
        let url = self.url();
        let default = match self {
            Self::Redis => 6379,
            Self::RabbitMq => 5672,
            Self::Nats => 4222,
        };
        (url.host_str().unwrap().to_owned(), url.port().unwrap_or(default))
    }

    /// Settings to reach the server through `port` on this machine, or directly.
    pub(crate) fn value(self, port: Option<u16>) -> Value {
        let (host, own_port) = self.host_and_port();
        let url = self.url();
        let mut value = json!({"host": host, "port": port.unwrap_or(own_port), "tls": false});
        if let Some(password) = url.password() {
            value["username"] = match url.username() {
                "" => Value::Null,
                name => name.into(),
            };
            value["password"] = password.into();
        }
        value
    }

    /// Whether the server answers; says that the test is skipped when it does not.
    pub(crate) fn is_there(self) -> bool {
        let (host, port) = self.host_and_port();
        let address = (host.as_str(), port).to_socket_addrs().ok().and_then(|mut found| found.next());
        let found = address
            .map(|address| std::net::TcpStream::connect_timeout(&address, Duration::from_secs(3)).map(drop));
        if matches!(found, Some(Ok(()))) {
            return true;
        }
        let (name, thread) = (self.name(), std::thread::current());
        assert!(
            std::env::var(format!("TRUNKLINE_TEST_REQUIRE_{name}")).as_deref() != Ok("1"),
            "no {self:?} at {host}:{port}, and TRUNKLINE_TEST_REQUIRE_{name} demands one"
        );
        let test = thread.name().unwrap_or("a test");
        // Written past the test harness, which hides the output of tests that pass.
        let line = format!("SKIPPED {test}: no {self:?} at {host}:{port} (set TRUNKLINE_TEST_{name})\n");
        drop(std::io::stderr().write_all(line.as_bytes()));
        false
    }
}

/// A connection to Redis beside the sinks.
pub(crate) async fn redis() -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(Server::Redis.url().as_str()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// A channel to RabbitMQ beside the sinks, with its connection.
pub(crate) async fn rabbitmq() -> (lapin::Connection, lapin::Channel) {
    let url = Server::RabbitMq.url();
    let connection = lapin::Connection::connect(url.as_str(), lapin::ConnectionProperties::default());
    let connection = connection.await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

/// A connection to NATS beside the sinks.
pub(crate) struct NatsAdmin(BufReader<TcpStream>);

impl NatsAdmin {
    pub(crate) async fn connect() -> Self {
        let (host, port) = Server::Nats.host_and_port();
        let mut admin = Self(BufReader::new(TcpStream::connect((host, port)).await.unwrap()));
        let greeting = "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\nPING\r\n";
        admin.0.write_all(greeting.as_bytes()).await.unwrap();
        admin.line("PONG").await;
        admin
    }

    /// The next line that begins with `start`.
    async fn line(&mut self, start: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).await.unwrap() > 0, "the server closed the connection");
            if line.starts_with(start) {
                return line;
            }
        }
    }

    pub(crate) async fn subscribe(&mut self, subject: &str) {
        self.0.write_all(format!("SUB {subject} 7\r\nPING\r\n").as_bytes()).await.unwrap();
        self.line("PONG").await;
    }

    /// The next message with headers: line, headers and body.
    pub(crate) async fn headed_message(&mut self) -> (String, String) {
        let line = self.line("HMSG ").await;
        let size: usize = line.trim().rsplit(' ').next().unwrap().parse().unwrap();
        let mut content = vec![0; size];
        self.0.read_exact(&mut content).await.unwrap();
        (line, String::from_utf8(content).unwrap())
    }

    /// Calls JetStream.
    pub(crate) async fn call(&mut self, api: &str, request: &Value) -> Value {
        let (inbox, body) = (crate::rig::unique("_INBOX.call"), request.to_string());
        let text =
            format!("SUB {inbox} 1\r\nUNSUB 1 1\r\nPUB $JS.API.{api} {inbox} {}\r\n{body}\r\n", body.len());
        self.0.write_all(text.as_bytes()).await.unwrap();
        let line = self.line("MSG ").await;
        let size: usize = line.trim().rsplit(' ').next().unwrap().parse().unwrap();
        let mut content = vec![0; size];
        self.0.read_exact(&mut content).await.unwrap();
        serde_json::from_slice(&content).unwrap()
    }

    /// Makes a stream in memory that takes `name.>`.
    pub(crate) async fn make_stream(&mut self, name: &str) {
        let config = json!({
            "name": name, "subjects": [format!("{name}.>")], "storage": "memory", "retention": "limits",
            "max_consumers": -1, "max_msgs": -1, "max_bytes": -1, "max_age": 0, "max_msg_size": 4096,
            "num_replicas": 1, "duplicate_window": 60_000_000_000_u64,
        });
        let made = self.call(&format!("STREAM.CREATE.{name}"), &config).await;
        assert!(made["error"].is_null(), "{made}");
    }

    pub(crate) async fn drop_stream(&mut self, name: &str) {
        self.call(&format!("STREAM.DELETE.{name}"), &json!({})).await;
    }
}
