"""Whether a load was recorded as it was answered: a benchmark that lies is worse than none."""

import asyncio
from dataclasses import dataclass

import aiohttp

from bench.load import STEP, Load, Outcome
from bench.seed import connected
from bench.servers import Server

# As webhooks.lua writes it; in the order of text as in that of time.
TIMESTAMP = "%Y-%m-%dT%H:%M:%S.%fZ"

APPLIED_AND_ALL = "SELECT COALESCE(SUM(outcome = 'applied'), 0), COUNT(*) FROM rushes_webhooks"

EVENTS = "SELECT COUNT(*) FROM rushes_events"

APPLIED_BETWEEN = """
SELECT COUNT(*) FROM rushes_webhooks WHERE outcome = 'applied'
  AND JSON_UNQUOTE(JSON_EXTRACT(CONVERT(payload USING utf8mb4), '$.timestamp')) BETWEEN %s AND %s"""


@dataclass(frozen=True, slots=True)
class Record:
    """What a server has recorded so far: webhooks applied, any others, and rows of the event log."""

    applied: int
    others: int
    events: int


async def settled(server: Server) -> Record:
    """Return the server's record once it does not grow any more."""
    seen = await _record(server)
    while True:
        await asyncio.sleep(0.2)
        now = await _record(server)
        if now == seen:
            return now
        seen = now


async def fault(server: Server, load: Load, outcome: Outcome, before: Record) -> str | None:
    """Say why a run does not count: refusals, or a record that is not what was sent; None if it does.

    What was in flight when the load ended belongs in the record too, since a server that is at work on a webhook
    does not stop when its sender hangs up. Of the very last, some may not have been read before that.
    """
    after = await settled(server)
    applied, events = after.applied - before.applied, after.events - before.events
    others = after.others - before.others
    if outcome.refused or outcome.broken or not outcome.answers:
        return f"{outcome.refused} of {outcome.answers} answers were refusals, {outcome.broken} broke off"
    if others:
        return f"{others} webhooks were recorded as something else than applied"
    if not outcome.accepted <= applied <= outcome.sent:
        return f"{outcome.sent} webhooks were sent and {outcome.accepted} answered, but {applied} recorded"
    if events != applied:
        return f"{applied} webhooks were applied, but the log has {events} rows more"
    if applied < outcome.sent and server.database_url:
        earlier = max(0, outcome.sent - 4 * load.connections)
        lost = earlier - await _recorded(server.database_url, outcome, earlier)
        return f"{lost} webhooks are not in the record and were not among the last" if lost else None
    return None


async def _record(server: Server) -> Record:
    if server.database_url is None:
        async with aiohttp.ClientSession() as session, session.get(f"{server.url}/count") as response:
            count = await response.json()
            return Record(count, 0, count)
    async with connected(server.database_url) as cursor:
        await cursor.execute(APPLIED_AND_ALL)
        applied, received = await cursor.fetchone()
        await cursor.execute(EVENTS)
        (events,) = await cursor.fetchone()
        return Record(int(applied), received - int(applied), events)


async def _recorded(database_url: str, outcome: Outcome, first: int) -> int:
    """Return how many of the first webhooks of a load are recorded as applied."""
    span = (outcome.start, outcome.start + first * STEP)
    async with connected(database_url) as cursor:
        await cursor.execute(APPLIED_BETWEEN, [at.strftime(TIMESTAMP) for at in span])
        (count,) = await cursor.fetchone()
        return int(count)
