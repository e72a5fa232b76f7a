//! What an endpoint that takes connections and never answers costs the others: 99 that answer, with and without it.

use std::net::SocketAddr;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

use crate::Plan;
use crate::flow::Flow;
use crate::report::{self, Aim, Figures, Pairs};
use crate::sink::Sink;

/// Endpoints that answer.
const LIVE: usize = 99;

/// Runs the benchmark and prints it.
pub async fn run(plan: &Plan) -> anyhow::Result<()> {
    report::heading(&format!(
        "{LIVE} endpoints, with and without one more that never answers; figures of the {LIVE}"
    ));
    let sink = Sink::start(plan).await?;
    let silent = Silent::start().await?;
    let (alone, beside) = (Flow::closed(LIVE), Flow { others: vec![silent.url()], ..Flow::closed(LIVE) });
    let mut pairs = Pairs::default();
    for _ in 0..plan.rounds {
        let theirs = alone.measure(plan, &sink).await?;
        let theirs = Figures { name: format!("{LIVE} live ones only"), ..theirs };
        theirs.print();
        let ours = beside.measure(plan, &sink).await?;
        let ours = Figures { name: format!("{LIVE} live ones beside a dead one"), ..ours };
        ours.print();
        pairs.add(ours, theirs);
    }
    pairs.judge("beside a dead one / live ones only", Aim::AtLeast(0.9));
    let (beside, alone) = pairs.p99_ms();
    report::line(&format!("p99 of the live ones: {beside:.1} ms beside a dead one, {alone:.1} ms without"));
    Ok(())
}

/// A receiver that takes connections and requests, and never answers.
struct Silent {
    addr: SocketAddr,
    task: AbortHandle,
}

impl Silent {
    async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    let mut buffer = [0; 4096];
                    while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { addr, task: task.abort_handle() })
    }

    fn url(&self) -> String {
        format!("http://{}/", self.addr)
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.task.abort();
    }
}
