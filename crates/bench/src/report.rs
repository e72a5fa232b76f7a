//! Prints figures: always with what they were measured on.

#![allow(clippy::print_stdout, reason = "the report is the product")]

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::Plan;

/// Prints what the figures below were measured on.
pub fn machine(plan: &Plan) -> anyhow::Result<()> {
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(" : unknown");
    let n_cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    println!("trunkline {} bench", env!("CARGO_PKG_VERSION"));
    println!("  cpu       {} × {}", n_cpus, model.trim_start_matches([' ', '\t', ':']));
    println!("  kernel    {}", kernel.trim());
    println!(
        "  folder    {}",
        if plan.store_url.is_some() { "given store url" } else { "sqlite in the given folder" }
    );
    println!("  fsync     {:.0}/s of 4 KiB appends", fsync_rate(plan)?);
    println!("  plan      {} rounds × {:?}, {} connections", plan.rounds, plan.duration, plan.connections);
    Ok(())
}

/// How many appends of 4 KiB the folder's disk syncs a second, one after the other.
fn fsync_rate(plan: &Plan) -> anyhow::Result<f64> {
    use std::io::Write as _;
    let mut file = tempfile::tempfile_in(&plan.folder)?;
    let block = [1_u8; 4096];
    let started = std::time::Instant::now();
    let mut n = 0;
    while n < 1_000 && started.elapsed() < Duration::from_secs(2) {
        file.write_all(&block)?;
        file.sync_data()?;
        n += 1;
    }
    Ok(f64::from(n) / started.elapsed().as_secs_f64())
}

/// One measurement.
#[derive(Debug, Clone)]
pub struct Figures {
    /// What was measured.
    pub name: String,
    /// Operations a second.
    pub rate: f64,
    /// Latencies in microseconds.
    pub latency: Histogram<u64>,
    /// CPU microseconds of the measured process per operation, when known.
    pub cpu_us: Option<f64>,
    /// Bytes on the disk per operation, when known.
    pub bytes: Option<f64>,
    /// Anything else worth a word.
    pub note: String,
}

impl Figures {
    /// Prints the measurement as one line.
    pub fn print(&self) {
        let ms = |quantile| self.latency.value_at_quantile(quantile) as f64 / 1e3;
        let cpu = self.cpu_us.map_or_else(|| "     -".into(), |us| format!("{us:6.1}"));
        let bytes = self.bytes.map_or_else(|| "     -".into(), |bytes| format!("{bytes:6.0}"));
        println!(
            "  {:<34} {:>9.0}/s  p50 {:>7.2} ms  p99 {:>7.2} ms  cpu {cpu} us/op  {bytes} B/op  {}",
            self.name,
            self.rate,
            ms(0.50),
            ms(0.99),
            self.note
        );
    }
}

/// The middle value.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Prints the ratio of two measurements' medians, and of their pairs.
pub fn ratio(what: &str, ours: &[Figures], theirs: &[Figures]) {
    let ratio = median(ours.iter().map(|f| f.rate)) / median(theirs.iter().map(|f| f.rate));
    let pairs: Vec<String> =
        ours.iter().zip(theirs).map(|(a, b)| format!("{:.0} %", 100.0 * a.rate / b.rate)).collect();
    println!("  {what}: {:.0} % (median of medians; pair by pair {})", 100.0 * ratio, pairs.join(", "));
}

/// Prints a heading.
pub fn heading(text: &str) {
    println!("\n{text}");
}

/// Prints a line of text.
pub fn line(text: &str) {
    println!("  {text}");
}

/// An empty histogram for latencies in microseconds, up to a minute.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("invariant: the bounds are valid")
}
