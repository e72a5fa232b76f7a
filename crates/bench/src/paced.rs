//! How long an event takes from its sender to the endpoint when the hub is not busy: a steady 200 a second, one endpoint.

use crate::Plan;
use crate::flow::{Flow, Pace};
use crate::report::{self, Aim, Figures, Latency};
use crate::sink::Sink;

/// Events a second.
const RATE: u32 = 200;

/// Runs the benchmark and prints it.
pub async fn run(plan: &Plan) -> anyhow::Result<()> {
    report::heading(&format!("{RATE} events/s evenly to one endpoint; latency from sender to endpoint"));
    let sink = Sink::start(plan).await?;
    let flow = Flow { pace: Pace::Even(RATE), ..Flow::closed(1) };
    let mut latencies: Vec<Latency> = Vec::new();
    for _ in 0..plan.rounds {
        let figures = Figures { name: "trunkline, paced".into(), ..flow.measure(plan, &sink).await? };
        figures.print();
        latencies.extend(figures.latency);
    }
    let median = |part: fn(&Latency) -> f64| report::median(latencies.iter().map(part));
    Aim::AtMost(10.0).print_ms("p50", median(|latency| latency.p50_ms));
    Aim::AtMost(30.0).print_ms("p99", median(|latency| latency.p99_ms));
    Ok(())
}
