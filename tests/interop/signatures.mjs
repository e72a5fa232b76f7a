// Has an official library verify a call: {library, secret, headers, body} gives {verified: true} or {error}. The body is
// text; `secret` and `headers` are what the receiver has.
import { readFileSync } from "node:fs";
import { verifyWebhookSignature } from "hook0-client";
import { Webhook as StandardWebhook } from "standardwebhooks";
import Stripe from "stripe";
import { Webhook as SvixWebhook } from "svix";

const TOLERANCE_S = 300;

const LIBRARIES = {
  standardwebhooks: ({ secret, headers, body }) => new StandardWebhook(secret).verify(body, headers),
  svix: ({ secret, headers, body }) => new SvixWebhook(secret).verify(body, headers),
  stripe: ({ secret, headers, body }) =>
    new Stripe("sk_test_unused").webhooks.constructEvent(body, headers["stripe-signature"], secret, TOLERANCE_S),
  hook0: ({ secret, headers, body }) => {
    const signature = headers["x-hook0-signature"];
    const outcome = verifyWebhookSignature(signature, Buffer.from(body), new Headers(headers), secret, TOLERANCE_S);
    if (outcome !== true) throw outcome;
  },
};

const question = JSON.parse(readFileSync(0, "utf8"));

function answer() {
  try {
    LIBRARIES[question.library](question);
    return { verified: true };
  } catch (error) {
    return { error: String(error?.message ?? error) };
  }
}

process.stdout.write(JSON.stringify(answer()));
