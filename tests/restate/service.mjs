// The service, as a team would write it: a handler of ten durable steps, one after the other. A thread of measure.mjs.
import { once } from "node:events";
import { createServer } from "node:http2";
import { parentPort, workerData } from "node:worker_threads";
import { Pool } from "undici";

// The SDK wants Node.js 22; on 20 this is what it misses.
Promise.withResolvers ??= function withResolvers() {
  let resolve, reject;
  const promise = new Promise((...both) => ([resolve, reject] = both));
  return { promise, resolve, reject };
};
const restate = await import("@restatedev/restate-sdk");

const { sink, concurrency, nSteps } = workerData;
const url = sink && new URL(sink);
const pool = url && new Pool(url.origin, { connections: concurrency });

async function call(n) {
  const answer = await pool.request({
    method: "POST",
    path: url.pathname,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ n }),
  });
  await answer.body.dump();
  if (answer.statusCode > 299) throw new Error(`status ${answer.statusCode}`);
  return null;
}

const steps = restate.service({
  name: "steps",
  handlers: {
    noop: async (context) => {
      for (let n = 0; n < nSteps; n += 1) await context.run(`step-${n}`, () => null);
      return { n: nSteps };
    },
    http: async (context) => {
      for (let n = 0; n < nSteps; n += 1) await context.run(`step-${n}`, () => call(n));
      return { n: nSteps };
    },
  },
});

const server = createServer(restate.createEndpointHandler({ services: [steps] }));
server.listen(0, "127.0.0.1");
await once(server, "listening");
parentPort.postMessage({ port: server.address().port });
