import { createHmac, timingSafeEqual } from "node:crypto";

/** The `sub` of a bearer token signed with AUTH_JWT_SECRET (HS256), or null of any other request. */
export function userOf(request: Request): string | null {
  const secret = process.env.AUTH_JWT_SECRET;
  const parts = request.headers.get("authorization")?.match(/^Bearer ([\w-]+)\.([\w-]+)\.([\w-]+)$/);
  if (!secret || !parts) return null;
  const [, header, payload, signature] = parts;
  const expected = createHmac("sha256", secret).update(`${header}.${payload}`).digest();
  const given = Buffer.from(signature, "base64url");
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return null;
  if (decoded(header)?.alg !== "HS256") return null;
  const claims = decoded(payload);
  return typeof claims?.sub === "string" && typeof claims.exp === "number" && claims.exp * 1000 > Date.now()
    ? claims.sub
    : null;
}

function decoded(part: string): Record<string, unknown> | null {
  try {
    return JSON.parse(Buffer.from(part, "base64url").toString());
  } catch {
    return null;
  }
}
