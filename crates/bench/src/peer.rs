//! Other systems to be measured beside: each is a folder with a `run.sh` that prints one line of JSON. It exits with 3 when
//! something it needs is not installed: then there is nothing to compare, which is said and is no failure.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::Context as _;
use serde::de::DeserializeOwned;

/// `run.sh`: something is not installed.
const EXIT_SKIPPED: i32 = 3;

/// How a run of a peer ended.
#[derive(Debug, PartialEq)]
pub(crate) enum Ended<T> {
    Measured(T),
    Skipped(String),
}

/// Runs the script of a folder.
pub(crate) async fn measure<T: DeserializeOwned>(folder: &Path, args: &[&str]) -> anyhow::Result<Ended<T>> {
    let script = folder.join("run.sh");
    if !script.is_file() {
        return Ok(Ended::Skipped(format!("there is no {}; an option says where it is", script.display())));
    }
    let mut command = Command::new(&script);
    command.args(args).stdin(std::process::Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await?;
    ended(&output.with_context(|| format!("cannot start {}", script.display()))?)
}

fn ended<T: DeserializeOwned>(output: &Output) -> anyhow::Result<Ended<T>> {
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let last_error = errors.lines().last().unwrap_or("it does not say why");
    if output.status.code() == Some(EXIT_SKIPPED) {
        return Ok(Ended::Skipped(last_error.trim_start_matches("SKIPPED: ").into()));
    }
    anyhow::ensure!(output.status.success(), "the other system failed, {}: {last_error}", output.status);
    let line = text.lines().last().context("the other system printed nothing")?;
    let measured = serde_json::from_str(line).with_context(|| format!("this is not its result: {line}"))?;
    Ok(Ended::Measured(measured))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    fn output(code: i32, stdout: &str, stderr: &str) -> Output {
        Output { status: ExitStatus::from_raw(code << 8), stdout: stdout.into(), stderr: stderr.into() }
    }

    #[test]
    fn the_last_line_is_the_result() {
        let measured = ended::<Vec<u8>>(&output(0, "hello\n[1, 2]\n", "")).unwrap();
        assert_eq!(measured, Ended::Measured(vec![1, 2]));
    }

    #[test]
    fn what_is_not_installed_is_a_reason_and_no_failure() {
        let skipped = output(3, "", "SKIPPED: the comparison with BullMQ needs redis-server\n");
        let reason = "the comparison with BullMQ needs redis-server".to_owned();
        assert_eq!(ended::<u8>(&skipped).unwrap(), Ended::Skipped(reason));
    }

    #[test]
    fn failures_say_why() {
        let check = |output: &Output, expect: &str| {
            let error = ended::<u8>(output).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(&output(1, "", "starting\nonly 5 of 100 were delivered in time\n"), "only 5 of 100");
        check(&output(1, "", ""), "it does not say why");
        check(&output(0, "", ""), "printed nothing");
        check(&output(0, "{}\n", ""), "this is not its result: {}");
    }

    #[tokio::test]
    async fn a_folder_without_a_script_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let ended = measure::<u8>(folder.path(), &[]).await.unwrap();
        assert!(matches!(ended, Ended::Skipped(reason) if reason.contains("run.sh")));
    }
}
