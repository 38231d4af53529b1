// A real HTTP server on this machine, for what the modules ask over the network.

import { once } from "node:events";
import { createServer } from "node:http";

/** The address of a server that answers by `handler`, until the test `t` ends. */
export async function serving(t, handler) {
  const server = createServer(handler);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

export function json(response, body, status = 200) {
  response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
}
