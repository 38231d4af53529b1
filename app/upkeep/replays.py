"""Replays of many, in the process that leads: some webhooks at a time, with pauses, so that live ones come first."""

import asyncio
import time
from collections import defaultdict

import structlog

from app.db.dead_letters import AT_ONCE, ReceivedWebhooks
from app.db.replays import Replay, Replays
from app.db.webhook_list import WebhookList
from app.db.writer.writer import Writer
from app.upkeep.leader import Leader

log = structlog.get_logger(__name__)

# Seconds between two looks for unfinished replays.
_EVERY = 0.5
# How many times a webhook is tried whose job another program holds, and the seconds between two tries.
_BUSY_TRIES, _BUSY_PAUSE = 5, 1.0


class ReplayRounds:
    """Goes on with all replays in turns, each at most `per_second` webhooks a second and half of the time."""

    def __init__(
        self,
        replays: Replays,
        listed: WebhookList,
        received: ReceivedWebhooks,
        writer: Writer,
        leader: Leader,
        *,
        per_second: float,
    ) -> None:
        self._replays = replays
        self._listed = listed
        self._received = received
        self._writer = writer
        self._leader = leader
        self._per_second = per_second
        # Of each replay: the webhook after which it goes on, and how often those were tried whose jobs are held.
        self._after: dict[str, str] = {}
        self._busy: defaultdict[str, dict[str, int]] = defaultdict(dict)

    async def run(self) -> None:
        """Runs until cancelled."""
        await self._leader.repeat("replays", self._round, _EVERY)

    async def _round(self) -> None:
        while (running := await self._replays.running()) and await self._leader.leads():
            began = time.monotonic()
            tried = sum([await self._step(replay) for replay in running])
            took = time.monotonic() - began
            await asyncio.sleep(max(took, tried / self._per_second - took))
        self._after.clear()
        self._busy.clear()

    async def _step(self, replay: Replay) -> int:
        """How many webhooks it has tried."""
        if replay.place is not None:
            await self._choose(replay, replay.place)
            return 0
        unknown = await self._replays.unknown(replay, "preview", "", AT_ONCE)
        if unknown:
            await self._preview(replay, unknown)
            return 0
        if replay.dry_run:
            await self._replays.end(replay)
            return 0
        return await self._try(replay)

    async def _choose(self, replay: Replay, after: str) -> None:
        async for ids in self._listed.walk(replay.meant, after or None, newest_first=False):
            # Pages in which a search found nothing move the place only at its end.
            if ids:
                await self._replays.choose(replay, ids, ids[-1])
                return
        await self._replays.choose(replay, [], None)

    async def _preview(self, replay: Replay, ids: list[str]) -> None:
        webhooks = await self._replays.rows(ids)
        outcomes = await self._received.outcomes(webhooks)
        became = {webhook.id: outcome for webhook, outcome in zip(webhooks, outcomes, strict=True)}
        await self._replays.previewed(replay, became, ids)

    async def _try(self, replay: Replay) -> int:
        ids = await self._replays.unknown(replay, "outcome", self._after.get(replay.id, ""), AT_ONCE)
        if not ids:
            if self._after.pop(replay.id, ""):
                await asyncio.sleep(_BUSY_PAUSE if self._busy[replay.id] else 0)
            else:
                await self._replays.end(replay)
                self._busy.pop(replay.id, None)
                log.info("replay_done", replay=replay.id)
            return 0
        self._after[replay.id] = ids[-1]
        webhooks = await self._replays.rows(ids)
        # All at once, so that they share transactions; the writer takes them in this order.
        answers = await asyncio.gather(
            *(self._received.replay_or_busy(webhook, self._writer, replay.by, replay.id) for webhook in webhooks)
        )
        busy = self._busy[replay.id]
        became: dict[str, tuple[str, str | None]] = {}
        for answer in answers:
            row_id, outcome = answer["webhook_id"], answer["outcome"]
            if outcome == "busy":
                busy[row_id] = busy.get(row_id, 0) + 1
            if outcome != "busy" or busy[row_id] >= _BUSY_TRIES:
                busy.pop(row_id, None)
                became[row_id] = outcome, answer["code"]
        await self._replays.left(replay, became, [row_id for row_id in ids if row_id not in busy])
        return len(webhooks)
