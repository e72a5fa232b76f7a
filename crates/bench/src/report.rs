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

/// Latencies in milliseconds, in short.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    /// The median.
    pub p50_ms: f64,
    /// What one in a hundred exceeds.
    pub p99_ms: f64,
}

impl Latency {
    /// Sums up a histogram of microseconds; `None` when it is empty.
    pub fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let ms = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        (!histogram.is_empty()).then(|| Self { p50_ms: ms(0.50), p99_ms: ms(0.99) })
    }
}

/// One measurement.
#[derive(Debug, Clone)]
pub struct Figures {
    /// What was measured.
    pub name: String,
    /// Operations a second.
    pub rate: f64,
    /// How long they took, when known.
    pub latency: Option<Latency>,
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
        let ms = |part: fn(&Latency) -> f64| number(self.latency.as_ref().map(part), 7, 2);
        println!(
            "  {:<34} {:>9.0}/s  p50 {} ms  p99 {} ms  cpu {} us/op  {} B/op  {}",
            self.name,
            self.rate,
            ms(|latency| latency.p50_ms),
            ms(|latency| latency.p99_ms),
            number(self.cpu_us, 6, 1),
            number(self.bytes, 6, 0),
            self.note
        );
    }

    fn p99_ms(&self) -> f64 {
        self.latency.map_or(f64::NAN, |latency| latency.p99_ms)
    }
}

fn number(value: Option<f64>, width: usize, precision: usize) -> String {
    value.map_or_else(|| format!("{:>width$}", "-"), |value| format!("{value:width$.precision$}"))
}

/// The middle value.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Measurements of one thing and of its yardstick, taken in turns.
#[derive(Debug, Clone, Default)]
pub struct Pairs(Vec<(Figures, Figures)>);

impl Pairs {
    /// Adds a round: ours first, the yardstick's second.
    pub fn add(&mut self, ours: Figures, theirs: Figures) {
        self.0.push((ours, theirs));
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ratio of the medians of the rates.
    pub fn ratio(&self) -> f64 {
        median(self.0.iter().map(|(ours, _)| ours.rate))
            / median(self.0.iter().map(|(_, theirs)| theirs.rate))
    }

    /// The median of our p99, and the yardstick's.
    pub fn p99_ms(&self) -> (f64, f64) {
        let theirs = median(self.0.iter().map(|(_, theirs)| theirs.p99_ms()));
        (median(self.0.iter().map(|(ours, _)| ours.p99_ms())), theirs)
    }

    /// Prints the ratio and whether it meets the aim.
    pub fn judge(&self, what: &str, aim: Aim) {
        self.print(what);
        aim.print(what, self.ratio(), share);
    }

    /// Prints the ratio of the medians, and of each round.
    pub fn print(&self, what: &str) {
        let rounds: Vec<String> =
            self.0.iter().map(|(ours, theirs)| share(ours.rate / theirs.rate)).collect();
        println!("  {what}: {} (median of medians; pair by pair {})", share(self.ratio()), rounds.join(", "));
    }
}

/// A ratio for people: per cent, from twice on as a multiple.
fn share(ratio: f64) -> String {
    if ratio < 2.0 { format!("{:.0} %", 100.0 * ratio) } else { format!("{ratio:.1} times") }
}

/// What a figure should come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aim {
    /// This much or more.
    AtLeast(f64),
    /// This much or less.
    AtMost(f64),
}

impl Aim {
    /// Prints whether `value` meets the aim; `show` says how values of the kind read.
    pub fn print(self, what: &str, value: f64, show: impl Fn(f64) -> String) {
        println!("  {}", self.judge(what, value, show));
    }

    /// The same for milliseconds.
    pub fn print_ms(self, what: &str, value: f64) {
        self.print(what, value, |value| format!("{value:.1} ms"));
    }

    fn judge(self, what: &str, value: f64, show: impl Fn(f64) -> String) -> String {
        let (words, limit, is_met) = match self {
            Self::AtLeast(limit) => ("at least", limit, value >= limit),
            Self::AtMost(limit) => ("at most", limit, value <= limit),
        };
        let verdict = if is_met { "met" } else { "NOT MET" };
        format!("aim: {what} {words} {}; it is {}: {verdict}", show(limit), show(value))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(rate: f64, p99_ms: f64) -> Figures {
        let latency = Some(Latency { p50_ms: 1.0, p99_ms });
        Figures { name: String::new(), rate, latency, cpu_us: None, bytes: None, note: String::new() }
    }

    #[test]
    fn medians_are_of_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]).total_cmp(&2.0), std::cmp::Ordering::Equal);
        assert!(median([]).is_nan());
    }

    #[test]
    fn a_ratio_is_of_medians() {
        let mut pairs = Pairs::default();
        for (ours, theirs) in [(10.0, 100.0), (60.0, 120.0), (500.0, 1_000.0)] {
            pairs.add(figures(ours, ours), figures(theirs, theirs));
        }
        assert!((pairs.ratio() - 0.5).abs() < 1e-9);
        let (ours, theirs) = pairs.p99_ms();
        assert!((ours - 60.0).abs() < 1e-9 && (theirs - 120.0).abs() < 1e-9);
    }

    #[test]
    fn ratios_read_well() {
        assert_eq!([0.694, 1.0, 1.99, 5.26].map(share), ["69 %", "100 %", "199 %", "5.3 times"]);
    }

    #[test]
    fn aims_are_judged_at_the_limit() {
        let check = |aim: Aim, value, expect| {
            assert_eq!(aim.judge("it", value, |value| format!("{value}")), expect);
        };
        check(Aim::AtLeast(5.0), 5.0, "aim: it at least 5; it is 5: met");
        check(Aim::AtLeast(5.0), 4.5, "aim: it at least 5; it is 4.5: NOT MET");
        check(Aim::AtMost(10.0), 10.0, "aim: it at most 10; it is 10: met");
        check(Aim::AtMost(10.0), f64::NAN, "aim: it at most 10; it is NaN: NOT MET");
    }

    #[test]
    fn latencies_are_of_the_histogram() {
        let mut histogram = histogram();
        assert_eq!(Latency::of(&histogram), None);
        for us in 1..=1_000 {
            histogram.saturating_record(us * 1_000);
        }
        let latency = Latency::of(&histogram).unwrap();
        assert!((latency.p50_ms - 500.0).abs() < 1.0 && (latency.p99_ms - 990.0).abs() < 1.0, "{latency:?}");
    }
}
