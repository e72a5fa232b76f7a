// Signs and verifies with the official `standardwebhooks` package.
// {"do": "sign", secret, id, timestamp, body} gives {signature}; {"do": "verify", secret, headers, body} gives {body} or {error}.
import { readFileSync } from "node:fs";
import { Webhook } from "standardwebhooks";

const question = JSON.parse(readFileSync(0, "utf8"));
const webhook = new Webhook(question.secret);

function answer() {
  if (question.do === "sign") {
    return { signature: webhook.sign(question.id, new Date(question.timestamp * 1000), question.body) };
  }
  try {
    return { body: webhook.verify(question.body, question.headers) };
  } catch (error) {
    return { error: error.message };
  }
}

process.stdout.write(JSON.stringify(answer()));
