// Delivers webhooks through BullMQ and prints what it measured as one line of JSON. `run.sh` starts it beside a Redis of its
// own; README.md says what is measured, and why it is set up as it is.
import { randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";
import { Worker as Thread } from "node:worker_threads";
import { Queue } from "bullmq";
import { Redis } from "ioredis";

function fail(text) {
  console.error(text);
  process.exit(2);
}

function read() {
  try {
    return parseArgs({
      options: {
        redis: { type: "string", default: process.env.REDIS_URL ?? "redis://127.0.0.1:6379" },
        queue: { type: "string", default: `webhooks-${randomBytes(4).toString("hex")}` },
        sink: { type: "string" },
        jobs: { type: "string", default: "20000" },
        mode: { type: "string", default: "drain" },
        concurrency: { type: "string", default: "64" },
        threads: { type: "string", default: "1" },
        window: { type: "string", default: "1024" },
        "limit-s": { type: "string", default: "120" },
      },
    }).values;
  } catch (error) {
    return fail(error.message);
  }
}

const given = read();

function number(name, min) {
  const value = Number(given[name]);
  if (!Number.isSafeInteger(value) || value < min) fail(`--${name} must be a number from ${min}`);
  return value;
}

if (!URL.canParse(given.sink ?? "")) fail("--sink must be the URL to post to");
if (!["drain", "flow"].includes(given.mode)) fail("--mode must be drain or flow");
const [nJobs, nThreads] = [number("jobs", 100), number("threads", 1)];
const concurrency = number("concurrency", nThreads);
const counts = new Int32Array(new SharedArrayBuffer(4));
const redisUrl = new URL(given.redis);
const connection = { host: redisUrl.hostname, port: Number(redisUrl.port || 6379), maxRetriesPerRequest: null };
const common = {
  connection,
  queueName: given.queue,
  counts,
  nJobs,
  sink: given.sink,
  mode: given.mode,
  secret: process.env.WEBHOOK_SECRET ?? `whsec_${randomBytes(32).toString("base64")}`,
  firstMark: Math.floor(nJobs / 10),
  lastMark: Math.floor((nJobs * 9) / 10),
};

const redis = new Redis(connection);
const marks = new Map();

// CPU time of the Redis server and its children so far, in microseconds.
async function redisCpu() {
  const fields = [...(await redis.info("cpu")).matchAll(/^used_cpu_(?:sys|user)(?:_children)?:(\d+\.\d+)/gm)];
  return fields.reduce((sum, field) => sum + Number(field[1]), 0) * 1e6;
}

// Starts a thread; `until` settles with the first message of that kind.
function start(file, data) {
  const thread = new Thread(new URL(file, import.meta.url), { workerData: { ...common, ...data } });
  thread.on("error", (error) => {
    console.error(`${file}:`, error);
    process.exit(1);
  });
  thread.on("message", async (message) => {
    if (message.is === "mark") marks.set(message.n, { ...message, redis: await redisCpu() });
  });
  const until = (kind) =>
    new Promise((resolve) => thread.on("message", (message) => message.is === kind && resolve(message)));
  return { thread, until };
}

const startDeliverers = () =>
  Array.from({ length: nThreads }, () =>
    start("deliver.mjs", { concurrency: Math.max(1, Math.floor(concurrency / nThreads)) }),
  );

async function allDelivered() {
  const limit = performance.now() + number("limit-s", 1) * 1000;
  while (Atomics.load(counts, 0) < nJobs || marks.size < 2) {
    if (performance.now() > limit) {
      console.error(`only ${Atomics.load(counts, 0)} of ${nJobs} were delivered in time`);
      process.exit(1);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function run() {
  let deliverers;
  if (given.mode === "drain") {
    await start("produce.mjs", { window: 0 }).until("produced");
    deliverers = startDeliverers();
    await allDelivered();
  } else {
    deliverers = startDeliverers();
    const produced = start("produce.mjs", { window: number("window", 256) }).until("produced");
    await Promise.all([produced, allDelivered()]);
  }
  const answers = deliverers.map(({ thread, until }) => {
    const answer = until("latencies");
    thread.postMessage("stop");
    return answer;
  });
  return (await Promise.all(answers)).flatMap((answer) => answer.latencies).sort((a, b) => a - b);
}

async function remaining() {
  const queue = new Queue(given.queue, { connection });
  const left = await queue.getJobCounts("wait", "active", "delayed", "prioritized", "failed");
  await queue.close();
  return Object.values(left).reduce((sum, n) => sum + n, 0);
}

const round = (value, digits) => Number(value.toFixed(digits));

async function report(latencies) {
  const [first, last] = [marks.get(common.firstMark), marks.get(common.lastMark)];
  const deliveries = common.lastMark - common.firstMark;
  const seconds = (last.at - first.at) / 1000;
  const node = (last.cpu.user + last.cpu.system - first.cpu.user - first.cpu.system) / deliveries;
  const ofRedis = (last.redis - first.redis) / deliveries;
  const at = (share) => round(latencies[Math.min(latencies.length - 1, Math.floor(share * latencies.length))], 2);
  const version = (name) => createRequire(import.meta.url)(`${name}/package.json`).version;
  return {
    mode: given.mode,
    deliveries,
    seconds: round(seconds, 3),
    rate: round(deliveries / seconds, 1),
    p50_ms: at(0.5),
    p99_ms: at(0.99),
    cpu_us_per_delivery: round(node + ofRedis, 1),
    cpu_us_node: round(node, 1),
    cpu_us_redis: round(ofRedis, 1),
    jobs: nJobs,
    concurrency,
    threads: nThreads,
    appendonly: (await redis.config("GET", "appendonly"))[1],
    appendfsync: (await redis.config("GET", "appendfsync"))[1],
    versions: {
      bullmq: version("bullmq"),
      undici: version("undici"),
      node: process.versions.node,
      redis: /^redis_version:(\S+)/m.exec(await redis.info("server"))[1],
    },
  };
}

const latencies = await run();
const nLeft = await remaining();
if (nLeft > 0) {
  console.error(`${nLeft} jobs are left in the queue or have failed`);
  process.exitCode = 1;
} else {
  console.log(JSON.stringify(await report(latencies)));
}
await redis.quit();
