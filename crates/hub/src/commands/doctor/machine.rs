//! Checks of the machine: disk space, disk speed, clock, port, names of the network.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use trunkline_config::Settings;
use trunkline_connect::{ClientConfig, EgressPolicy, HttpClient, Target};
use trunkline_model::{Clock as _, SystemClock, Timestamp};
use trunkline_store::sqlite::backup;

use super::Finding;
use crate::cli::{DoctorArgs, RemoteArgs};
use crate::client::Api;

/// Below this the hub will soon answer 503.
const DISK_FAIL_BYTES: u64 = 256 << 20;
const DISK_WARN_BYTES: u64 = 2 << 30;
/// Below this rate group commit gets sluggish; a hard disk does about 100.
const FSYNC_WARN_PER_S: f64 = 150.0;
const N_FSYNCS: u32 = 40;
/// No build of this program is older: 2026-01-01.
const EARLIEST_S: i64 = 1_767_225_600;
/// A clock beyond 2100 is wrong, too.
const LATEST_S: i64 = 4_102_444_800;

/// Runs the checks of the machine.
pub(super) async fn check(settings: &Settings, args: &DoctorArgs) -> Vec<Finding> {
    let folder = existing_folder(settings.store_path().and_then(Path::parent).unwrap_or(&settings.data_dir));
    let mut findings = vec![disk_space(&folder)];
    if settings.store_path().is_some() {
        findings.push(disk_speed(&folder));
    }
    findings.push(clock(SystemClock.now()));
    findings.push(listen(settings).await);
    findings.push(names(settings, &args.dns_name).await);
    findings
}

/// The folder itself, or the nearest one above it that exists.
fn existing_folder(path: &Path) -> PathBuf {
    let found = path.ancestors().find(|folder| folder.is_dir());
    found.map_or_else(|| PathBuf::from("."), Path::to_owned)
}

fn disk_space(folder: &Path) -> Finding {
    let check = "disk space";
    let stat = match rustix::fs::statvfs(folder) {
        Ok(stat) => stat,
        Err(error) => {
            return Finding::warn(
                check,
                format!("{}: {error}", folder.display()),
                "check the path of the store",
            );
        }
    };
    let n_free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let text = format!("{:.1} GiB free at {}", n_free as f64 / f64::from(1 << 30), folder.display());
    let fix = "make room, lower [journal] retention_days or retention_bytes, or move the store";
    match n_free {
        n if n < DISK_FAIL_BYTES => Finding::fail(check, text, fix),
        n if n < DISK_WARN_BYTES => Finding::warn(check, text, fix),
        _ => Finding::ok(check, text),
    }
}

fn disk_speed(folder: &Path) -> Finding {
    let check = "disk speed";
    match fsync_rate(folder) {
        Ok(rate) if rate < FSYNC_WARN_PER_S => Finding::warn(
            check,
            format!("{rate:.0} fsyncs a second"),
            "put the store on a faster disk: every accepted webhook waits for one",
        ),
        Ok(rate) => Finding::ok(check, format!("{rate:.0} fsyncs a second")),
        Err(error) => Finding::fail(
            check,
            format!("{} cannot be written: {error:#}", folder.display()),
            "give the hub's user the right to write there",
        ),
    }
}

fn fsync_rate(folder: &Path) -> anyhow::Result<f64> {
    let mut file = tempfile::tempfile_in(folder).context("no file can be made")?;
    let page = [0_u8; 4096];
    let started = Instant::now();
    for _ in 0..N_FSYNCS {
        file.write_all(&page)?;
        file.sync_data()?;
    }
    Ok(f64::from(N_FSYNCS) / started.elapsed().as_secs_f64())
}

fn clock(now: Timestamp) -> Finding {
    let check = "clock";
    if (EARLIEST_S..LATEST_S).contains(&now.as_secs()) {
        return Finding::ok(check, now.to_rfc3339());
    }
    let fix = "set the clock and keep it by NTP: signatures are good for five minutes only";
    Finding::fail(check, format!("{now} cannot be"), fix)
}

async fn listen(settings: &Settings) -> Finding {
    let check = "listen";
    let addr = settings.server.listen;
    // Just bound and let go again, so that a hub started next is not in its own way.
    let Err(error) = TcpListener::bind(addr) else {
        return Finding::ok(check, format!("{addr} is free"));
    };
    let hub = RemoteArgs { url: format!("http://{addr}"), token: None, json: false };
    let health = match Api::new(&hub) {
        Ok(api) => api.get("healthz", &[]).await,
        Err(error) => Err(error),
    };
    let runs_here = settings.store_path().is_some_and(backup::is_in_use);
    match health {
        Ok(_) => Finding::ok(check, format!("a hub answers at {addr}")),
        Err(_) if runs_here => {
            let fix = "wait for it, or look into its log";
            Finding::fail(check, format!("a hub holds the store but does not answer at {addr}"), fix)
        }
        Err(_) => Finding::fail(
            check,
            format!("{addr} cannot be used: {error}"),
            "stop what uses it, or choose another [server] listen",
        ),
    }
}

async fn names(settings: &Settings, name: &str) -> Finding {
    let check = "names";
    let fix = "check /etc/resolv.conf and the network; deliveries to host names fail without";
    let policy = EgressPolicy::new(settings.egress.allow.clone());
    let vetted = async {
        let client = HttpClient::new(&ClientConfig::default(), policy)?;
        let target = Target::parse(&format!("https://{name}/"), client.policy())?;
        client.vet(&target).await.map_err(anyhow::Error::from)
    };
    match vetted.await {
        Ok(()) => Finding::ok(check, format!("{name} resolves")),
        Err(error) => Finding::warn(check, format!("{name}: {error:#}"), fix),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_clock_that_cannot_be_is_found() {
        assert_eq!(clock(Timestamp::from_secs(0)).verdict, Verdict::Fail);
        assert_eq!(clock(SystemClock.now()).verdict, Verdict::Ok);
    }
}
