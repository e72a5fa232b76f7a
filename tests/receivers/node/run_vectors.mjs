// Judges every vector of ../vectors.json with verify.mjs and prints the outcomes as a JSON list. Called by ../check.py.
import { readFileSync } from "node:fs";
import { Refused, verify } from "./verify.mjs";

function outcome({ secret, headers, body, body_base64, now }) {
  const bytes = body === undefined ? Buffer.from(body_base64, "base64") : Buffer.from(body);
  try {
    return verify(secret, headers, bytes, now) === headers["webhook-id"] ? "accepted" : "another id";
  } catch (error) {
    if (error instanceof Refused) return error.message;
    throw error;
  }
}

const { vectors } = JSON.parse(readFileSync(new URL("../vectors.json", import.meta.url), "utf8"));
process.stdout.write(JSON.stringify(vectors.map(outcome)));
