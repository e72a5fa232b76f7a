//! The whole way under load: events posted to the hub and delivered to 1, 10 and 100 endpoints, beside a bare client loop
//! to the same sink, which receives, stores and signs nothing.

use crate::Plan;
use crate::flow::Flow;
use crate::outbound::client_loop;
use crate::report::{self, Figures, Pairs};
use crate::sink::Sink;

/// How many endpoints get every event.
const ENDPOINTS: [usize; 3] = [1, 10, 100];

/// Runs the benchmark and prints it.
pub async fn run(plan: &Plan) -> anyhow::Result<()> {
    report::heading(
        "end to end: accept a signed 1 KiB webhook and deliver it; latency from sender to endpoint",
    );
    let sink = Sink::start(plan).await?;
    let mut pairs = ENDPOINTS.map(|_| Pairs::default());
    for _ in 0..plan.rounds {
        let theirs = client_loop(plan, &sink).await?;
        theirs.print();
        for (n, pairs) in ENDPOINTS.into_iter().zip(&mut pairs) {
            let ours = Flow::closed(n).measure(plan, &sink).await?;
            let ours = Figures { name: format!("trunkline, deliveries to {n}"), ..ours };
            ours.print();
            pairs.add(ours, theirs.clone());
        }
    }
    for (n, pairs) in ENDPOINTS.into_iter().zip(&pairs) {
        pairs.print(&format!("deliveries to {n} / bare client loop"));
    }
    Ok(())
}
