//! Signed webhooks accepted a second, beside an axum server that only answers 202 to the same POST.

use crate::hub::Hub;
use crate::load::Load;
use crate::process::{Running, free_addr};
use crate::report::{self, Aim, Figures, Latency, Pairs};
use crate::{Plan, roles};

/// Runs the benchmark and prints it.
pub async fn run(plan: &Plan) -> anyhow::Result<()> {
    report::heading(&format!("accept a signed 1 KiB webhook durably, {} connections", plan.connections));
    let folder = tempfile::tempdir_in(&plan.folder)?;
    let hub = Hub::new(plan, folder.path())?;
    let bare = roles::start(plan, "bare-server", free_addr()?).await?;
    let server = hub.start().await?;
    let idle = server.resident_bytes()? as f64 / 1e6;
    let pairs = in_turns(plan, &bare, (&hub, &server)).await?;
    pairs.judge("trunkline / bare", Aim::AtLeast(0.7));
    Aim::AtMost(25.0).print_ms("p99", pairs.p99_ms().0);
    let busy = server.resident_bytes()? as f64 / 1e6;
    Aim::AtMost(60.0).print("memory after start", idle, |mb| format!("{mb:.0} MB"));
    report::line(&format!("resident memory after the load: {busy:.0} MB"));
    if plan.history > 0 {
        drop(server);
        with_history(plan, &hub, &bare, pairs.ratio()).await?;
    }
    Ok(())
}

/// Measures again after storing `plan.history` events, each with its dedupe key.
async fn with_history(plan: &Plan, hub: &Hub, bare: &Running, before: f64) -> anyhow::Result<()> {
    report::heading(&format!("the same after {} stored events", plan.history));
    hub.fill(plan.history).await?;
    let began = std::time::Instant::now();
    let server = hub.start().await?;
    report::line(&format!("start with that history: {:.0} ms", began.elapsed().as_secs_f64() * 1e3));
    let after = in_turns(plan, bare, (hub, &server)).await?;
    after.print("trunkline / bare");
    let change = after.ratio() / before - 1.0;
    report::line(&format!("change against the start, relative to bare: {:+.0} %", 100.0 * change));
    Aim::AtMost(0.1).print("loss relative to bare", -change, |loss| format!("{:.0} %", 100.0 * loss));
    Ok(())
}

/// Measures both in turns. The first round warms them up and does not count.
async fn in_turns(plan: &Plan, bare: &Running, (hub, server): (&Hub, &Running)) -> anyhow::Result<Pairs> {
    let mut pairs = Pairs::default();
    for round in 0..=plan.rounds {
        let theirs = measure(plan, "bare axum 202", (None, bare)).await?;
        let ours = measure(plan, "trunkline", (Some(hub), server)).await?;
        if round > 0 {
            theirs.print();
            ours.print();
            pairs.add(ours, theirs);
        }
    }
    Ok(pairs)
}

async fn measure(
    plan: &Plan,
    name: &str,
    (hub, server): (Option<&Hub>, &Running),
) -> anyhow::Result<Figures> {
    let stored = || hub.and_then(Hub::stored_bytes);
    let stored_before = stored();
    let cpu_before = server.cpu_us()?;
    let load = Load {
        addr: server.addr,
        path: "/in/bench",
        connections: plan.connections,
        duration: plan.duration,
        permits: None,
    };
    let outcome = load.run().await?;
    let n = outcome.latency.len() as f64;
    let note = if outcome.n_refused > 0 { format!("{} REFUSED", outcome.n_refused) } else { String::new() };
    Ok(Figures {
        name: name.into(),
        rate: n / outcome.elapsed.as_secs_f64(),
        cpu_us: Some((server.cpu_us()? - cpu_before) / n),
        latency: Latency::of(&outcome.latency),
        bytes: stored().zip(stored_before).map(|(after, before)| (after - before) / n),
        note,
    })
}
