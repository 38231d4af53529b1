import { PrismaMariaDb } from "@prisma/adapter-mariadb";

import { PrismaClient } from "@/generated/prisma/client";

/** By DATABASE_URL, `mysql://user:password@host:port/database`, with `?unix_socket=` where that is the way in. */
function client(): PrismaClient {
  const url = new URL(process.env.DATABASE_URL ?? "mysql://");
  const socketPath = url.searchParams.get("unix_socket");
  const adapter = new PrismaMariaDb({
    ...(socketPath === null ? { host: url.hostname, port: Number(url.port || 3306) } : { socketPath }),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    database: url.pathname.slice(1),
  });
  return new PrismaClient({ adapter });
}

// One for the process, and so one pool, as Prisma's own guide for Next has it.
const kept = globalThis as unknown as { prisma?: PrismaClient };

export const prisma = (kept.prisma ??= client());
