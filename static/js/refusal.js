/** What a response other than 2xx says. `message` is undefined without one; `retryAfter` is in seconds, or null. */
export async function refusalOf(response) {
  // A proxy's body may be any JSON, null too.
  const body = Object(await response.json().catch(() => null));
  return {
    message: body.error,
    code: body.code ?? null,
    details: Array.isArray(body.details) ? body.details : [],
    retryAfter: Number(response.headers.get("Retry-After")) || null,
  };
}
