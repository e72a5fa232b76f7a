//! Child processes of the benchmark, and what the system says about their use of CPU and memory.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

/// A child process that is killed when the value is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// Where it listens.
    pub addr: SocketAddr,
}

impl Running {
    /// Starts `program` and waits until something accepts connections at `addr`.
    pub async fn start(
        program: &Path,
        args: &[String],
        env: &[(&str, String)],
        addr: SocketAddr,
    ) -> anyhow::Result<Self> {
        let child = Command::new(program)
            .args(args)
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::null())
            .stderr(if std::env::var_os("TRUNKLINE_BENCH_VERBOSE").is_some() {
                Stdio::inherit()
            } else {
                Stdio::null()
            })
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut running = Self { child, addr };
        for _ in 0..3_000 {
            if let Some(status) = running.child.try_wait()? {
                anyhow::bail!("{} {args:?} ended at once: {status}", program.display());
            }
            if connect(addr).await.is_ok() {
                return Ok(running);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::bail!("{} {args:?} does not listen on {addr}", program.display())
    }

    /// CPU time used so far, in microseconds.
    pub fn cpu_us(&self) -> anyhow::Result<f64> {
        cpu_us(self.child.id())
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        self.status_bytes("VmRSS:")
    }

    /// The most memory that was resident so far, in bytes.
    pub fn peak_resident_bytes(&self) -> anyhow::Result<u64> {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, name: &str) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        status_bytes(&status, name).with_context(|| format!("the system does not say {name}"))
    }
}

/// A size in the text of `/proc/PID/status`, in bytes.
fn status_bytes(status: &str, name: &str) -> Option<u64> {
    let size = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = size.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[allow(clippy::disallowed_methods, reason = "the load generator talks to its own children on loopback")]
pub(crate) async fn connect(addr: SocketAddr) -> std::io::Result<tokio::net::TcpStream> {
    let stream = tokio::net::TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A loopback address with a port that was free a moment ago.
pub fn free_addr() -> anyhow::Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// CPU time of a process, user and system, in microseconds.
pub fn cpu_us(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    stat_cpu_us(&stat).context("the system does not say how much CPU time was used")
}

/// The CPU time in the text of `/proc/PID/stat`.
fn stat_cpu_us(stat: &str) -> Option<f64> {
    // The name may hold spaces and parentheses; the fields after its closing one do not.
    let (_, fields) = stat.rsplit_once(')')?;
    // Fields 14 and 15 of proc(5), in ticks of 1/100 s; the state after the name is field 3.
    let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<f64>);
    let (user, system) = (ticks.next()?.ok()?, ticks.next()?.ok()?);
    Some((user + system) * 10_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_the_status() {
        let status = "Name:\thub\nVmHWM:\t   61440 kB\nVmRSS:\t 1024 kB\nThreads:\t5\n";
        assert_eq!(status_bytes(status, "VmHWM:"), Some(60 << 20));
        assert_eq!(status_bytes(status, "VmRSS:"), Some(1 << 20));
        assert_eq!(status_bytes(status, "VmSwap:"), None);
        assert_eq!(status_bytes(status, "Threads:"), None);
    }

    #[test]
    fn cpu_time_is_read_behind_any_name() {
        let stat = "12 (a b) c) S 1 12 12 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 4 0 100 1 1";
        assert_eq!(stat_cpu_us(stat), Some(2_000_000.0));
        assert_eq!(stat_cpu_us("12 (hub) S 1"), None);
        assert_eq!(stat_cpu_us(""), None);
    }
}
