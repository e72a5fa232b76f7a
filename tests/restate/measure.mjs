// Runs workflows of ten steps on a Restate server and prints what it measured as one line of JSON. `run.sh` starts it beside
// a server of its own; README.md says what is measured, and why it is set up as it is.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";
import { Worker as Thread } from "node:worker_threads";
import { Pool } from "undici";

const N_STEPS = 10;

function fail(text) {
  console.error(text);
  process.exit(2);
}

function read() {
  try {
    return parseArgs({
      options: {
        ingress: { type: "string" },
        admin: { type: "string" },
        pid: { type: "string" },
        effects: { type: "string", default: "noop" },
        sink: { type: "string" },
        workflows: { type: "string", default: "1500" },
        concurrency: { type: "string", default: "64" },
      },
    }).values;
  } catch (error) {
    return fail(error.message);
  }
}

const given = read();
const number = (name) => {
  const value = Number(given[name]);
  return Number.isSafeInteger(value) && value > 0 ? value : fail(`--${name} must be a number from 1`);
};
const [nWorkflows, concurrency, pid] = [number("workflows"), number("concurrency"), number("pid")];
if (!["noop", "http"].includes(given.effects)) fail("--effects must be noop or http");
if (given.effects === "http" && !URL.canParse(given.sink ?? "")) fail("--sink must be the URL to post to");

// CPU time of a process and its threads in microseconds; the clock of proc(5) ticks a hundred times a second.
function cpuOf(process) {
  const fields = readFileSync(`/proc/${process}/stat`, "utf8").replace(/^.*\) /s, "").split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

const workerData = { sink: given.sink, concurrency, nSteps: N_STEPS };
const service = new Thread(new URL("service.mjs", import.meta.url), { workerData });
service.on("error", (error) => {
  console.error("the service failed:", error);
  process.exit(1);
});
const [{ port }] = await once(service, "message");
const registered = await fetch(`${given.admin}/deployments`, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ uri: `http://127.0.0.1:${port}` }),
});
if (!registered.ok) {
  console.error("the service was not registered:", registered.status, await registered.text());
  process.exit(1);
}

const pool = new Pool(given.ingress, { connections: concurrency });
const latencies = [];
const marks = [];
let [nBegun, nDone] = [0, 0];
const [first, last] = [Math.floor(nWorkflows / 10), Math.floor((nWorkflows * 9) / 10)];
const mark = () => marks.push({ at: performance.now(), node: cpuOf(process.pid), server: cpuOf(pid) });

async function work() {
  while (nBegun < nWorkflows) {
    nBegun += 1;
    const began = performance.now();
    const answer = await pool.request({ method: "POST", path: `/steps/${given.effects}`, body: "" });
    const text = await answer.body.text();
    if (answer.statusCode !== 200 || JSON.parse(text).n !== N_STEPS) throw new Error(`${answer.statusCode} ${text}`);
    nDone += 1;
    if (nDone > first && nDone <= last) latencies.push(performance.now() - began);
    if (nDone === first || nDone === last) mark();
  }
}
await Promise.all(Array.from({ length: concurrency }, work));

const [from, to] = marks;
const nSteps = (last - first) * N_STEPS;
const seconds = (to.at - from.at) / 1000;
latencies.sort((a, b) => a - b);
const at = (share) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] / N_STEPS;
const round = (value, digits) => Number(value.toFixed(digits));
const require = createRequire(import.meta.url);
const version = (name) => {
  const path = new URL(`node_modules/@restatedev/${name}/package.json`, import.meta.url);
  return require(path.pathname).version;
};
console.log(
  JSON.stringify({
    effects: given.effects,
    workflows: nWorkflows,
    concurrency,
    seconds: round(seconds, 3),
    rate: round(nSteps / seconds, 1),
    p50_ms: round(at(0.5), 3),
    p99_ms: round(at(0.99), 3),
    cpu_us_per_step: round((to.node - from.node + to.server - from.server) / nSteps, 1),
    cpu_us_node: round((to.node - from.node) / nSteps, 1),
    cpu_us_server: round((to.server - from.server) / nSteps, 1),
    versions: { restate: version("restate-server"), sdk: version("restate-sdk"), node: process.versions.node },
  }),
);
process.exit(0);
