//! A hub as a child process: start, ask, kill, stop.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;
use trunkline_connect::{ClientConfig, EgressPolicy, HttpClient, OutboundRequest, Target};
use trunkline_testkit::TestDatabase;

/// The signing secret of the source `load`.
pub(crate) const SOURCE_SECRET: &str = "whsec_ZTJlLXRlc3RzLW9mLXRydW5rbGluZS0zMi1ieXRlcyE=";
/// How long a test waits for something that must come.
const PATIENCE: Duration = Duration::from_mins(1);
/// The admin token of every hub under test.
pub(crate) const ADMIN_TOKEN: &str = "tlk_e2ee2ee2ee2ee2ee2ee2ee2ee2ee2ee2ee2ee2ee2e0";

/// What the receivers of tests need to be open.
const LOOPBACK: &str = "\"127.0.0.0/8\"";

/// How and where hubs run; several may share it.
pub(crate) struct Site {
    folder: tempfile::TempDir,
    store_url: String,
    /// Networks that are open to all tenants.
    egress: &'static str,
    more: String,
    database: Option<TestDatabase>,
}

impl Site {
    /// A site with a SQLite store in a folder of its own.
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store_url = format!("sqlite://{}/trunkline.db", folder.path().display());
        Self { folder, store_url, egress: LOOPBACK, more: String::new(), database: None }
    }

    /// A site on any store.
    pub(crate) fn on(store_url: &str) -> Self {
        Self { store_url: store_url.to_owned(), ..Self::sqlite() }
    }

    /// A site on a PostgreSQL database of its own; nothing where there is no server and none is required.
    pub(crate) async fn postgres() -> Option<Self> {
        let database = TestDatabase::create().await?;
        let store_url = database.url();
        Some(Self { store_url, database: Some(database), ..Self::sqlite() })
    }

    /// The same with more sections of configuration.
    pub(crate) fn with(self, more: &str) -> Self {
        Self { more: more.to_owned(), ..self }
    }

    /// The same without a network that is open to all tenants.
    pub(crate) fn with_nothing_open(self) -> Self {
        Self { egress: "", ..self }
    }

    /// The PostgreSQL database, where the store is one.
    pub(crate) fn database(&self) -> Option<&TestDatabase> {
        self.database.as_ref()
    }

    /// A folder that is gone with the site. A SQLite store is in it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The store's URL.
    pub(crate) fn store_url(&self) -> &str {
        &self.store_url
    }

    /// Writes the configuration; gives where it is.
    pub(crate) fn config(&self) -> PathBuf {
        let path = self.folder.path().join("trunkline.toml");
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nlog_level = \"warn\"\n\
             [store]\nurl = \"{}\"\n[egress]\nallow = [{}]\n\
             [[sources]]\nname = \"load\"\nscheme = \"standard-webhooks\"\nsecret = \"env:LOAD_SECRET\"\n{}",
            self.store_url, self.egress, self.more
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Starts a hub and waits until it is ready.
    pub(crate) fn start(&self) -> Hub {
        self.start_with(&[])
    }

    /// The same with more variables in its environment.
    pub(crate) fn start_with(&self, environment: &[(&str, &str)]) -> Hub {
        Hub::start(&self.config(), environment)
    }
}

/// A running hub; killed when the value is dropped.
pub(crate) struct Hub {
    child: Child,
    url: String,
    client: HttpClient,
    log: Arc<Mutex<Vec<String>>>,
    /// How long it took from the start to the ready line.
    pub(crate) started_in: Duration,
}

/// An answer of the hub.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body, where the status is the one expected.
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{:?}", self.body);
        self.json()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A client that may reach loopback.
pub(crate) fn client() -> HttpClient {
    let policy = EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()]);
    HttpClient::new(&ClientConfig::default(), policy).unwrap()
}

impl Hub {
    fn start(config: &Path, environment: &[(&str, &str)]) -> Self {
        let began = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_trunkline-under-test"))
            .args(["serve", "--config"])
            .arg(config)
            .env("TRUNKLINE_ADMIN_TOKEN", ADMIN_TOKEN)
            .env("LOAD_SECRET", SOURCE_SECRET)
            .env("NO_COLOR", "1")
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (kept, stderr) = (Arc::clone(&log), BufReader::new(child.stderr.take().unwrap()));
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                drop(writeln!(std::io::stderr(), "{line}"));
                kept.lock().unwrap().push(line);
            }
        });
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                line.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned)
            })
            .expect("the hub prints where it listens");
        let started_in = began.elapsed();
        // Goes on reading, so that the hub never waits for a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url: url.trim_end_matches('/').to_owned(), client: client(), log, started_in }
    }

    /// Where the hub listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What the hub has logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
    }

    /// Ends the process as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks the process to stop and gives its exit code and how long it took.
    pub(crate) fn terminate(self) -> (Option<i32>, Duration) {
        self.signal("TERM");
        self.wait()
    }

    /// Sends the process a signal.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for the end of the process; gives its exit code and how long that took.
    pub(crate) fn wait(mut self) -> (Option<i32>, Duration) {
        let began = Instant::now();
        let status = self.child.wait().unwrap();
        (status.code(), began.elapsed())
    }

    /// Calls the API as the admin.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.call_with(method, path, body, &[]).await
    }

    /// The same with more headers.
    pub(crate) async fn call_with(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        more: &[(&'static str, &str)],
    ) -> Answer {
        let body = body.map_or_else(Bytes::new, |body| serde_json::to_vec(&body).unwrap().into());
        self.exchange(method, path, body, more).await
    }

    /// The same with a body that is no JSON.
    pub(crate) async fn call_text(
        &self,
        method: Method,
        path: &str,
        body: &str,
        more: &[(&'static str, &str)],
    ) -> Answer {
        self.exchange(method, path, Bytes::copy_from_slice(body.as_bytes()), more).await
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        more: &[(&'static str, &str)],
    ) -> Answer {
        let policy = EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()]);
        let target = Target::parse(&format!("{}{path}", self.url), &policy).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_str(&format!("Bearer {ADMIN_TOKEN}")).unwrap());
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        for (name, value) in more {
            headers.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let request = OutboundRequest {
            method,
            target,
            headers,
            body,
            timeout: Duration::from_secs(40),
            response_limit_bytes: 4 << 20,
        };
        let answer = self.client.send(request).await.unwrap();
        Answer { status: answer.status.as_u16(), headers: answer.headers, body: answer.body_head }
    }

    /// The same with another token.
    pub(crate) async fn call_as(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        self.call_with(method, path, body, &[("authorization", &format!("Bearer {token}"))]).await
    }

    /// Reads something that is there.
    pub(crate) async fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, None).await.expect(200)
    }

    /// Reads something until it is as wanted.
    pub(crate) async fn wait_for(&self, path: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait_for_as(ADMIN_TOKEN, path, is_wanted).await
    }

    /// The same with another token.
    pub(crate) async fn wait_for_as(
        &self,
        token: &str,
        path: &str,
        is_wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let began = Instant::now();
        loop {
            let found = self.call_as(token, Method::GET, path, None).await.expect(200);
            if is_wanted(&found) {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "{path} is still {found}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Posts something that is accepted with this status.
    pub(crate) async fn post(&self, path: &str, body: Value, status: u16) -> Value {
        self.call(Method::POST, path, Some(body)).await.expect(status)
    }

    /// Emits one event; gives its id.
    pub(crate) async fn emit(&self, event_type: &str, data: Value) -> String {
        let id = trunkline_model::EventId::fresh().into_string();
        let event = serde_json::json!({
            "specversion": "1.0", "id": id, "source": "/e2e", "type": event_type, "data": data,
        });
        self.post("/api/v1/events", event, 202).await;
        id
    }

    /// Makes an endpoint for every event of the load with quick retries; gives its id and its secret.
    pub(crate) async fn create_endpoint(&self, url: &str) -> (String, String) {
        let body = serde_json::json!({
            "url": url, "events": ["load.**"], "max_attempts": 20, "backoff_ms": [200], "in_flight": 64, "timeout_ms": 3000,
        });
        let answer = self.call(Method::POST, "/api/v1/webhooks", Some(body)).await;
        assert_eq!(answer.status, 201, "{:?}", answer.body);
        let made = answer.json();
        (made["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // It may have been waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
