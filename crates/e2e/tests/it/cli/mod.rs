//! The command line as a person at a terminal meets it: real commands, their output, their exit codes.

mod events;
mod exits;
mod first_steps;
mod listen;
mod settings;
mod stored;
mod tokens;

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::hub::{ADMIN_TOKEN, Hub, SOURCE_SECRET, Site};

/// How long a command may take, and whoever waits for a line of it.
const PATIENCE: Duration = Duration::from_mins(1);

/// The commands with what they find in the environment.
#[derive(Clone, Default)]
pub(crate) struct Cli {
    environment: Vec<(&'static str, OsString)>,
}

/// What a command came to.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Ran {
    /// The output of a command that ended with this code.
    pub(crate) fn expect(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.out, self.err);
        self.out
    }

    /// The same as JSON.
    pub(crate) fn json(self) -> Value {
        let out = self.expect(0);
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// What a command said about its failure with this code: the message, causes and what to do.
    pub(crate) fn failure(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.out, self.err);
        assert!(!self.err.is_empty(), "a failure is explained");
        self.err
    }
}

impl Cli {
    /// With an environment that says nothing.
    pub(crate) fn bare() -> Self {
        Self::default()
    }

    /// With the configuration of a site.
    pub(crate) fn of(site: &Site) -> Self {
        Self::bare().with("TRUNKLINE_CONFIG", site.config()).with("LOAD_SECRET", SOURCE_SECRET)
    }

    /// As the admin of a running hub.
    pub(crate) fn at(hub: &Hub) -> Self {
        Self::bare().with("TRUNKLINE_URL", hub.url()).with("TRUNKLINE_TOKEN", ADMIN_TOKEN)
    }

    /// With one more variable.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, "").await
    }

    /// The same with something on standard input.
    pub(crate) async fn run_with(&self, arguments: &[&str], input: &str) -> Ran {
        let mut running = self.start(arguments);
        let mut stdin = running.child.stdin.take().unwrap();
        let input = input.to_owned();
        // A command that does not read it ends before.
        std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        running.end().await
    }

    /// Starts a command that goes on until it is stopped.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let mut child = Command::new(env!("CARGO_BIN_EXE_trunkline-under-test"))
            .args(arguments)
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().starts_with("TRUNKLINE_")))
            .env("NO_COLOR", "1")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = Kept::of(child.stdout.take().unwrap());
        let err = Kept::of(child.stderr.take().unwrap());
        Running { child, out, err }
    }
}

/// A command that runs; killed when the value is dropped.
pub(crate) struct Running {
    child: Child,
    out: Kept,
    err: Kept,
}

impl Running {
    /// Waits until a line of standard output is as wanted; gives it.
    pub(crate) async fn line(&self, is_wanted: impl Fn(&str) -> bool) -> String {
        self.out.line(is_wanted).await
    }

    /// The same of standard error.
    pub(crate) async fn remark(&self, is_wanted: impl Fn(&str) -> bool) -> String {
        self.err.line(is_wanted).await
    }

    /// The lines of standard output so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.out.lines.lock().unwrap().clone()
    }

    /// Sends a signal: `INT` is what Ctrl-C does.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for the end.
    pub(crate) async fn end(mut self) -> Ran {
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "still runs: {:?} {:?}", self.lines(), self.err.text());
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        // What is left in the pipes of a process that has ended is read at once.
        for kept in [&mut self.out, &mut self.err] {
            kept.reading.take().unwrap().join().unwrap();
        }
        Ran { code: status.code(), out: self.out.text(), err: self.err.text() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have been waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What came out of a pipe.
struct Kept {
    lines: Arc<Mutex<Vec<String>>>,
    reading: Option<std::thread::JoinHandle<()>>,
}

impl Kept {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        let reading = std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        Self { lines, reading: Some(reading) }
    }

    fn text(&self) -> String {
        let lines = self.lines.lock().unwrap();
        lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    async fn line(&self, is_wanted: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = self.lines.lock().unwrap().iter().find(|line| is_wanted(line)) {
                return found.clone();
            }
            assert!(Instant::now() < until, "no such line: {}", self.text());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The word of a line that begins like this.
fn word<'a>(text: &'a str, start: &str) -> &'a str {
    let found = text.split_whitespace().find(|word| word.starts_with(start));
    found.unwrap_or_else(|| panic!("no {start}… in {text}"))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Makes a token of any tenant, on the store itself: while no hub runs on it.
pub(crate) async fn token_of(site: &Site, tenant: &str, role: &str) -> String {
    let create = ["token", "create", "--name", "e2e", "--role", role, "--tenant", tenant];
    Cli::of(site).run(&create).await.expect(0).trim().to_owned()
}
