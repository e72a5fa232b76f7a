// The delivering side, as a team would deploy it: a BullMQ worker that signs each job by Standard Webhooks v1 and posts it
// over kept-alive connections. A thread of worker.mjs, which says when to stop.
import { createHmac } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";
import { UnrecoverableError, Worker } from "bullmq";
import { Pool } from "undici";

const { connection, queueName, sink, concurrency, secret, mode, counts, firstMark, lastMark } = workerData;
const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
const url = new URL(sink);
const path = url.pathname + url.search;
const pool = new Pool(url.origin, { connections: concurrency, headersTimeout: 10_000, bodyTimeout: 10_000 });
const latencies = [];
const now = () => performance.timeOrigin + performance.now();

async function post(job) {
  const id = `${queueName}_${job.id}`;
  const timestamp = Math.floor(Date.now() / 1000);
  const body = JSON.stringify(job.data);
  const tag = createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64");
  const answer = await pool.request({
    method: "POST",
    path,
    headers: {
      "content-type": "application/json",
      "webhook-id": id,
      "webhook-timestamp": String(timestamp),
      "webhook-signature": `v1,${tag}`,
    },
    body,
  });
  await answer.body.dump();
  return answer.statusCode;
}

async function deliver(job) {
  const began = mode === "flow" ? job.timestamp : now();
  const status = await post(job);
  if (status === 410) throw new UnrecoverableError("the endpoint is gone");
  if (status < 200 || status > 299) throw new Error(`the endpoint answered with status ${status}`);
  count(began);
  return status;
}

function count(began) {
  const n = Atomics.add(counts, 0, 1) + 1;
  if (n > firstMark && n <= lastMark) latencies.push(now() - began);
  if (n === firstMark || n === lastMark) {
    parentPort.postMessage({ is: "mark", n, at: now(), cpu: process.cpuUsage() });
  }
}

const worker = new Worker(queueName, deliver, { connection, concurrency, autorun: false });
worker.on("error", (error) => console.error("worker:", error.message));
parentPort.on("message", async () => {
  await worker.close();
  await pool.close();
  parentPort.postMessage({ is: "latencies", latencies });
  parentPort.close();
});
await worker.waitUntilReady();
worker.run();
