//! Processes on this machine: shell commands and scripts, where the operator lets workflows have them (rule 23).
//!
//! A process runs in a process group of its own, in an empty folder of its own that is gone afterwards, with an
//! environment of its own but for `PATH`. Its time, its processor time, its address space and what it writes are bounded;
//! when a bound is met, or nobody waits any more, the whole group is killed. It runs with the rights of the hub: the
//! bounds keep accidents small and are no sandbox against malice.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Take};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::world::wrong;
use crate::dsl::error::StandardError;
use crate::dsl::tasks::run::{Language, ProcessOutput};
use crate::engine::input::Failure;

/// How long a process that is told goodbye may take to end.
const FAREWELL: Duration = Duration::from_secs(1);

/// What processes may use.
#[derive(Debug, Clone)]
pub struct ProcessLimits {
    /// How long one may run.
    pub time: Duration,
    /// How much it may write to each of its outputs.
    pub output_bytes: usize,
    /// Its address space; node reserves more than it uses.
    pub memory_bytes: u64,
    /// How many at once.
    pub at_once: usize,
}

/// A process to run.
#[derive(Debug, Clone)]
pub struct ProcessCall {
    /// What runs.
    pub program: Runnable,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its environment.
    pub environment: Vec<(String, String)>,
    /// What it reads.
    pub stdin: Option<String>,
    /// What of it is the result.
    pub output: ProcessOutput,
    /// Whether its end is waited for.
    pub wait: bool,
}

/// What runs.
#[derive(Debug, Clone)]
pub enum Runnable {
    /// A command of the shell.
    Shell(String),
    /// A script.
    Script(Language, String),
    /// A script that lies elsewhere.
    Fetched(Language, super::Resource),
    /// A program by its name or path, without a shell.
    Program(String),
}

/// Runs processes.
pub(super) struct Processes {
    limits: ProcessLimits,
    permits: std::sync::Arc<Semaphore>,
}

impl Processes {
    pub(super) fn new(limits: ProcessLimits) -> Self {
        let permits = std::sync::Arc::new(Semaphore::new(limits.at_once.max(1)));
        Self { limits, permits }
    }

    /// Starts a process to talk with, a line for each message.
    pub(super) async fn converse(&self, call: &ProcessCall) -> Result<Conversation, Failure> {
        let permit = self.permit().await?;
        let folder = new_folder()?;
        let mut group = self.spawn(call, None, folder.path()).await?;
        let pipes = (group.child.stdin.take(), group.child.stdout.take());
        let (Some(input), Some(output)) = pipes else {
            return Err(wrong("the process cannot be talked with"));
        };
        // What it says of itself is for nobody; unread it would stand in its way. Ends with the process.
        if let Some(mut noise) = group.child.stderr.take() {
            tokio::spawn(async move { tokio::io::copy(&mut noise, &mut tokio::io::sink()).await });
        }
        let output = BufReader::new(output.take(self.limits.output_bytes as u64));
        Ok(Conversation { input: Some(input), output, group, _kept: (permit, folder) })
    }

    /// Runs a process; where its end is not waited for, only until it has begun. `code` is the text of a script.
    pub(super) async fn run(
        &self,
        call: &ProcessCall,
        code: Option<(Language, &str)>,
    ) -> Result<Value, Failure> {
        let permit = self.permit().await?;
        let folder = new_folder()?;
        let child = self.spawn(call, code, folder.path()).await?;
        let (limits, stdin, output) = (self.limits.clone(), call.stdin.clone(), call.output);
        let running = async move {
            let result = supervise(child, stdin, &limits).await;
            drop((folder, permit));
            result.and_then(|ended| ended.into_result(output))
        };
        if call.wait {
            return running.await;
        }
        tokio::spawn(async move {
            if let Err(failure) = running.await {
                tracing::info!(kind = failure.kind, "a process that nobody waits for ended in an error");
            }
        });
        Ok(Value::Null)
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let permits = std::sync::Arc::clone(&self.permits);
        permits.acquire_owned().await.map_err(|_| wrong("no processes are run"))
    }

    async fn spawn(
        &self,
        call: &ProcessCall,
        code: Option<(Language, &str)>,
        folder: &std::path::Path,
    ) -> Result<Group, Failure> {
        let mut words: Vec<OsString> = Vec::new();
        match (&call.program, code) {
            (Runnable::Shell(command), _) => {
                words.extend(["sh".into(), "-c".into(), command.into(), "sh".into()]);
            }
            (Runnable::Program(program), _) => words.push(program.into()),
            (_, Some((language, code))) => {
                let (program, name) = match language {
                    Language::JavaScript => ("node", "script.js"),
                    Language::Python => ("python3", "script.py"),
                };
                let path = folder.join(name);
                tokio::fs::write(&path, code)
                    .await
                    .map_err(|_| wrong("the script cannot be written down"))?;
                words.extend([program.into(), path.into()]);
            }
            (_, None) => return Err(wrong("the script has no code")),
        }
        words.extend(call.arguments.iter().map(OsString::from));
        // The shell sets the limits and then becomes the program.
        let seconds = self.limits.time.as_secs() + 1;
        let limits = format!(
            "ulimit -c 0; ulimit -t {seconds}; ulimit -v {}; exec \"$@\"",
            self.limits.memory_bytes / 1024
        );
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &limits, "sh"]).args(words);
        command.env_clear();
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
        command.env("PATH", path).env("HOME", folder).env("TMPDIR", folder).env("LANG", "C.UTF-8");
        command.envs(call.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(folder).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command
            .spawn()
            .map_err(|error| wrong(format!("the process cannot be started: {}", error.kind())))?;
        Ok(Group::of(child))
    }
}

fn new_folder() -> Result<TempDir, Failure> {
    let folder = tempfile::Builder::new().prefix("trunkline-run-").tempdir();
    folder.map_err(|_| wrong("no folder can be made for the process"))
}

/// A process that is talked with; dropped, it is killed with all it started.
pub(super) struct Conversation {
    input: Option<ChildStdin>,
    output: BufReader<Take<ChildStdout>>,
    group: Group,
    _kept: (OwnedSemaphorePermit, TempDir),
}

impl Conversation {
    /// Says a line.
    pub(super) async fn say(&mut self, line: &str) -> Result<(), Failure> {
        let Some(input) = &mut self.input else { return Err(hung_up()) };
        let said = async {
            input.write_all(line.as_bytes()).await?;
            input.write_all(b"\n").await?;
            input.flush().await
        };
        said.await.map_err(|_| hung_up())
    }

    /// The next line that it says; an error at its end, and when it says too much.
    pub(super) async fn hear(&mut self) -> Result<Vec<u8>, Failure> {
        let mut line = Vec::new();
        match self.output.read_until(b'\n', &mut line).await {
            Ok(_) if line.ends_with(b"\n") => Ok(line),
            Ok(_) if self.output.get_ref().limit() == 0 => {
                Err(Failure::standard(StandardError::Runtime, "the process wrote too much"))
            }
            Ok(_) | Err(_) => Err(hung_up()),
        }
    }

    /// Closes its input, by which it knows that nothing follows, and gives it a moment to end by itself.
    pub(super) async fn end(mut self) {
        drop(self.input.take());
        drop(tokio::time::timeout(FAREWELL, self.group.child.wait()).await);
    }
}

fn hung_up() -> Failure {
    Failure::standard(StandardError::Communication, "the process ended before it answered")
}

/// A process and all that it started: killed together, at the latest when this is dropped.
struct Group {
    child: Child,
    id: Option<Pid>,
}

impl Group {
    fn of(child: Child) -> Self {
        let id = child.id().and_then(|id| Pid::from_raw(id as i32));
        Self { child, id }
    }

    fn kill(&mut self) {
        if let Some(id) = self.id.take() {
            // Nobody left in the group is as good.
            let _: Result<(), _> = kill_process_group(id, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

struct Ended {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

async fn supervise(
    mut group: Group,
    stdin: Option<String>,
    limits: &ProcessLimits,
) -> Result<Ended, Failure> {
    let (input, out, err) = (group.child.stdin.take(), group.child.stdout.take(), group.child.stderr.take());
    let feed = async move {
        if let (Some(mut input), Some(text)) = (input, stdin) {
            // A process that does not read its input ends by itself.
            drop(input.write_all(text.as_bytes()).await);
        }
    };
    let work = async {
        let outputs =
            async { tokio::try_join!(bounded(out, limits.output_bytes), bounded(err, limits.output_bytes)) };
        let ((), outputs) = tokio::join!(feed, outputs);
        let (stdout, stderr) = outputs?;
        let status = group.child.wait().await;
        let status = status.map_err(|_| Failure::standard(StandardError::Runtime, "the process was lost"))?;
        Ok(Ended { status, stdout, stderr })
    };
    let result = tokio::time::timeout(limits.time, work).await;
    // Whatever it left behind ends with it.
    group.kill();
    result.unwrap_or_else(|_| {
        let detail = format!("the process ran longer than {} s", limits.time.as_secs());
        Err(Failure::standard(StandardError::Timeout, detail))
    })
}

async fn bounded(from: Option<impl AsyncRead + Unpin>, most: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let Some(from) = from else { return Ok(bytes) };
    let read = from.take(most as u64 + 1).read_to_end(&mut bytes).await;
    if read.is_err() || bytes.len() > most {
        let detail = format!("the process wrote more than {most} bytes");
        return Err(Failure::standard(StandardError::Runtime, detail));
    }
    Ok(bytes)
}

impl Ended {
    fn into_result(self, output: ProcessOutput) -> Result<Value, Failure> {
        let text = |bytes: &[u8]| Value::from(String::from_utf8_lossy(bytes).into_owned());
        // Killed by a signal: what a shell says of it.
        let code =
            self.status.code().or_else(|| self.status.signal().map(|signal| 128 + signal)).unwrap_or(-1);
        let result = match output {
            ProcessOutput::Code => return Ok(code.into()),
            ProcessOutput::All => {
                return Ok(json!({"code": code, "stdout": text(&self.stdout), "stderr": text(&self.stderr)}));
            }
            ProcessOutput::Stdout => text(&self.stdout),
            ProcessOutput::Stderr => text(&self.stderr),
            ProcessOutput::None => Value::Null,
        };
        if code == 0 {
            return Ok(result);
        }
        Err(Failure::standard(StandardError::Runtime, format!("the process ended with code {code}")))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // everything here is a test

    use super::*;

    fn limits() -> ProcessLimits {
        ProcessLimits { time: Duration::from_secs(20), output_bytes: 4096, memory_bytes: 4 << 30, at_once: 4 }
    }

    fn shell(command: &str, output: ProcessOutput) -> ProcessCall {
        ProcessCall {
            program: Runnable::Shell(command.to_owned()),
            arguments: vec!["a b".to_owned(), "c".to_owned()],
            environment: vec![("GIVEN".to_owned(), "yes".to_owned())],
            stdin: Some("in".to_owned()),
            output,
            wait: true,
        }
    }

    async fn run(command: &str, output: ProcessOutput) -> Result<Value, Failure> {
        Processes::new(limits()).run(&shell(command, output), None).await
    }

    #[tokio::test]
    async fn a_command_gets_its_arguments_input_and_environment_and_nothing_else() {
        let command = "cat; echo \"|$1|$2|$GIVEN|$CARGO_MANIFEST_DIR|\"; ls; [ \"$PWD\" = \"$HOME\" ]";
        assert_eq!(run(command, ProcessOutput::Stdout).await.unwrap(), "in|a b|c|yes||\n");
        let all = run("echo oh >&2; exit 3", ProcessOutput::All).await.unwrap();
        assert_eq!(all, json!({"code": 3, "stdout": "", "stderr": "oh\n"}));
        assert_eq!(run("kill -9 $$", ProcessOutput::Code).await.unwrap(), 137);
        let failed = run("exit 3", ProcessOutput::Stdout).await.unwrap_err();
        assert_eq!(failed.detail.as_deref(), Some("the process ended with code 3"));
    }

    #[tokio::test]
    async fn scripts_run_in_their_languages() {
        for (language, code) in [
            (Language::JavaScript, "console.log(process.argv.slice(2).join('+'), 6 * 7)"),
            (Language::Python, "import sys\nprint('+'.join(sys.argv[1:]), 6 * 7)"),
        ] {
            let call = ProcessCall {
                program: Runnable::Script(language, code.to_owned()),
                ..shell("", ProcessOutput::Stdout)
            };
            let result = Processes::new(limits()).run(&call, Some((language, code))).await;
            match result {
                Ok(value) => assert_eq!(value, "a b+c 42\n"),
                // A machine without the language says so.
                Err(failure) => {
                    assert_eq!(failure.detail.as_deref(), Some("the process ended with code 127"));
                }
            }
        }
    }

    #[tokio::test]
    async fn too_much_output_and_too_much_time_end_it_with_all_it_started() {
        let failed = run("while :; do echo 0123456789; done", ProcessOutput::None).await.unwrap_err();
        assert_eq!(failed.detail.as_deref(), Some("the process wrote more than 4096 bytes"));
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("pid");
        let command = format!("sleep 600 & echo $! > {}; wait", mark.display());
        let processes = Processes::new(ProcessLimits { time: Duration::from_millis(700), ..limits() });
        let failed = processes.run(&shell(&command, ProcessOutput::None), None).await.unwrap_err();
        assert!(failed.kind.ends_with("/timeout"), "{failed:?}");
        let pid: i32 = std::fs::read_to_string(mark).unwrap().trim().parse().unwrap();
        let is_gone = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        };
        let gone = async {
            while !is_gone() {
                tokio::task::yield_now().await;
            }
        };
        assert!(
            tokio::time::timeout(Duration::from_secs(10), gone).await.is_ok(),
            "the child was killed too"
        );
    }

    #[tokio::test]
    async fn memory_is_bounded() {
        let processes = Processes::new(ProcessLimits { memory_bytes: 64 << 20, ..limits() });
        let call = shell("x=$(head -c 200000000 /dev/zero | tr '\\0' x) && echo ${#x}", ProcessOutput::Code);
        assert_ne!(processes.run(&call, None).await.unwrap(), 0);
    }
}
