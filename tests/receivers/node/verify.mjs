// Verifies webhooks signed by Standard Webhooks, versions v1 and v1a, with what Node.js brings along.
import { createHmac, createPublicKey, timingSafeEqual, verify as verifySignature } from "node:crypto";

const TOLERANCE_S = 300;

/** The call is not to be trusted. The message is `headers`, `timestamp` or `signature`. */
export class Refused extends Error {}

/**
 * Gives the `webhook-id` of a call, or throws Refused. `secret` is `whsec_…`, or `whpk_…` for v1a; `headers` has
 * lower-case names, `body` is the Buffer that came over the wire.
 */
export function verify(secret, headers, body, now = Date.now() / 1000) {
  const id = headers["webhook-id"] ?? "";
  const timestamp = headers["webhook-timestamp"] ?? "";
  const signatures = headers["webhook-signature"] ?? "";
  // A full stop in the id would let the same bytes be read as another id, timestamp and body.
  if (!/^[!-\-/-~]{1,256}$/.test(id) || !/^[0-9]{1,15}$/.test(timestamp) || !signatures) throw new Refused("headers");
  if (Math.abs(now - Number(timestamp)) > TOLERANCE_S) throw new Refused("timestamp");
  // Signed is the text of the headers, not a number read from it and printed again.
  const signed = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  const fits = secret.startsWith("whpk_") ? fitsV1a : fitsV1;
  if (!signatures.split(" ").some((entry) => fits(secret, signed, entry))) throw new Refused("signature");
  return id;
}

function fitsV1(secret, signed, entry) {
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const expected = Buffer.from("v1," + createHmac("sha256", key).update(signed).digest("base64"));
  const given = Buffer.from(entry);
  return given.length === expected.length && timingSafeEqual(given, expected);
}

function fitsV1a(secret, signed, entry) {
  const [version, encoded] = entry.split(",", 2);
  if (version !== "v1a" || !encoded) return false;
  const x = Buffer.from(secret.slice("whpk_".length), "base64").toString("base64url");
  const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  return verifySignature(null, signed, key, Buffer.from(encoded, "base64"));
}
