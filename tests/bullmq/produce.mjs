// The application's side: queues events as jobs of 1 KiB. A thread of worker.mjs.
import { setTimeout as sleep } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { Queue } from "bullmq";

const { connection, queueName, nJobs, window, counts } = workerData;
const CHUNK = 256;

// Options of each job: attempts and waits as in Trunkline's defaults, and a bounded history.
const OPTIONS = {
  attempts: 5,
  backoff: { type: "exponential", delay: 5000, jitter: 0.2 },
  removeOnComplete: { count: 1000 },
  removeOnFail: { count: 5000 },
};

// An event whose JSON has exactly 1,024 bytes.
function event(n) {
  const made = { type: "order.created", timestamp: "2026-01-01T00:00:00Z", data: { order: n, note: "" } };
  made.data.note = "x".repeat(1024 - JSON.stringify(made).length);
  return made;
}

const queue = new Queue(queueName, { connection });
await queue.waitUntilReady();
for (let nAdded = 0; nAdded < nJobs; ) {
  // Whoever emits faster than is delivered has to wait, or the latencies would only tell how long the queue has grown.
  if (window && nAdded - Atomics.load(counts, 0) > window - CHUNK) {
    await sleep(1);
    continue;
  }
  const size = Math.min(CHUNK, nJobs - nAdded);
  await queue.addBulk(
    Array.from({ length: size }, (_, index) => ({ name: "webhook", data: event(nAdded + index), opts: OPTIONS })),
  );
  nAdded += size;
}
await queue.close();
parentPort.postMessage({ is: "produced" });
