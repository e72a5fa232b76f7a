// Follows rooms with the `ws` package and is cut off again and again; a question on standard input, an answer on standard output.
// {"url", "token", "rooms", "n_events", "cut_after"} gives {"subjects": [...], "n_connections"}. Prints "ready" on standard error once
// it has joined for the first time.
import { readFileSync } from "node:fs";
import WebSocket from "ws";

const { url, token, rooms, n_events, cut_after } = JSON.parse(readFileSync(0, "utf8"));
const subjects = [];
let at = null;
let n_connections = 0;

function follow() {
  const live = new WebSocket(url, { headers: { authorization: `Bearer ${token}` } });
  let n_seen = 0;
  n_connections += 1;
  live.on("open", () => live.send(JSON.stringify({ type: "subscribe", rooms, after: at })));
  live.on("message", (text) => {
    if (live.readyState !== WebSocket.OPEN) return;
    const frame = JSON.parse(text);
    if (frame.type === "subscribed" || frame.type === "heartbeat") {
      if (at === null) process.stderr.write("ready\n");
      at = frame.at;
    } else if (frame.type === "event") {
      subjects.push(frame.event.subject);
      at[frame.shard] = frame.seq;
      n_seen += 1;
      // Cut without a word, in the middle of what comes.
      if (n_seen === cut_after) live.terminate();
      if (subjects.length === n_events) live.close();
    } else if (frame.type !== "authenticated") {
      throw new Error(`unexpected: ${text}`);
    }
  });
  live.on("error", () => {});
  live.on("close", () => {
    if (subjects.length < n_events) return follow();
    process.stdout.write(JSON.stringify({ subjects, n_connections }));
  });
}

follow();
