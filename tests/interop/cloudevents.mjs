// Writes and reads events with the official `cloudevents` package.
// {"do": "write", mode, event} gives {headers, body}; {"do": "read", headers, body} gives {events: [...]}.
// The package reads batches and does not write them.
import { readFileSync } from "node:fs";
import { CloudEvent, HTTP } from "cloudevents";

const question = JSON.parse(readFileSync(0, "utf8"));

function answer() {
  if (question.do === "write") {
    return HTTP[question.mode](new CloudEvent(question.event));
  }
  const read = HTTP.toEvent({ headers: question.headers, body: question.body });
  const events = Array.isArray(read) ? read : [read];
  for (const event of events) {
    event.validate();
  }
  return { events: events.map((event) => event.toJSON()) };
}

process.stdout.write(JSON.stringify(answer()));
