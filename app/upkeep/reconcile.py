"""Reconciliation: a job that nobody told us anything about for long is asked for at the generation backend.

Real senders do not send again what failed, so an update that was lost on its way would be lost for good.
"""

import asyncio
import contextlib
import json
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import structlog

from app import lenient, times
from app.backoff import backoff
from app.db.asked import Asked, AskedJobs, Job
from app.db.errors import PassingError
from app.db.pool import Pool
from app.db.writer.writer import Writer
from app.domain import payload
from app.domain.delivery import Delivery, Outcome, made_here
from app.generator import Generator, GeneratorError
from app.texts import GIVEN_UP
from app.upkeep.leader import Leader

log = structlog.get_logger(__name__)

_PER_ROUND = 100
_AT_ONCE = 4
# So many times in a row the backend must fail to answer: a job is not given up because both of us have just started.
_SILENT_MIN = 3
_FIRST_PAUSE_MAX, _PAUSE_MAX = 60.0, 3600.0
_JITTER = 0.2
# How many are asked for at once because somebody wants it now, beside a round's.
_NOW_AT_ONCE = 4
# How many times a round looks for more jobs, when those that were due have moved or finished.
_LOOKS = 5


Said = Literal["status", "unknown", "unreadable", "silent"]


class _Heard(NamedTuple):
    """What the backend answers for a job: its word for the status, with the webhook that says the same; that it does
    not know it; something else, which is "unreadable" even though it `knows` the job; or nothing."""

    said: Said
    delivery: Delivery | None = None
    error: str | None = None
    knows: bool = False


class Answer(NamedTuple):
    """What the backend said of a job when it was asked now, and what became of that: None where it is nothing new.
    `was` and `status` are our word for where the job stood, and the backend's."""

    said: Said
    was: str
    status: str | None
    outcome: str | None
    error: str | None


class Reconciler:
    """Asks for stalled jobs, in the process that leads, and applies the answers as webhooks `reconciled`.

    A job is stalled when it is unfinished, with no update for `stall_after` seconds; it is asked for at once, and
    then after pauses that double up to an hour, as long as nothing changes. One that the backend does not know or
    does not answer for, with no update for `give_up_after` seconds, becomes FAILED.
    """

    def __init__(
        self,
        pool: Pool,
        writer: Writer,
        generator: Generator,
        leader: Leader,
        *,
        language: str,
        stall_after: float,
        give_up_after: float,
    ) -> None:
        self._writer = writer
        self._generator = generator
        self._leader = leader
        self._texts = GIVEN_UP[language]
        self._stall_after = stall_after
        self._give_up_after = give_up_after
        self._every = min(max(stall_after / 20, 0.1), 30.0)
        self._jobs = AskedJobs(pool, stall_after=stall_after, longest=_PAUSE_MAX * (1 + _JITTER))
        self._silence = 0
        self._now = asyncio.Semaphore(_NOW_AT_ONCE)

    async def run(self) -> None:
        """Runs until cancelled."""
        await self._leader.repeat("reconciliation", self._round, self._every)

    async def stalled(self, limit: int) -> tuple[list[Asked], bool]:
        """(at most `limit` stalled jobs, whether there may be more). Raises DatabaseError."""
        return await self._jobs.stalled(limit)

    async def unfinished(self, job_id: str) -> Job | None:
        """Where an unfinished job stands, by its exact id. Raises DatabaseError."""
        return (await self._jobs.unfinished([job_id])).get(job_id)

    async def ask_now(self, job: Job) -> Answer:
        """Asks for it out of its turn, by the rules of every round. No answer, or one that nobody can read, does not
        count: whoever asks again and again would have the job given up before its time. Raises as `Writer.submit` does.
        """
        async with self._now:
            asked = await self._jobs.asked(job)
            heard = await self._hear(job)
            update = heard.delivery.update if heard.delivery else None
            status, outcome = update.status if update else None, None
            delivery = None if heard.error is not None else await self._news(asked, heard)
            if delivery is not None and delivery.dedup_key != asked.told:
                outcome = (await self._apply(job, delivery)).kind
                asked.told = delivery.dedup_key
            if heard.said == "status":
                await self._jobs.heard(job, asked.told)
            return Answer(heard.said, job.status, status, outcome, heard.error)

    async def _round(self) -> None:
        await self._jobs.find()
        for _ in range(_LOOKS):
            due, more = await self._jobs.due(_PER_ROUND)
            if due:
                await self._ask_for(due)
            if due or not more:
                return

    async def _ask_for(self, due: list[Asked]) -> None:
        # Their turn is noted before it begins: nobody is asked for again at once, whatever ends this process.
        await self._jobs.save([replace(asked, tries=asked.tries + 1, due_at=self._next(asked)) for asked in due])
        self._silence = 0
        gate = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as asking:
            for asked in due:
                asking.create_task(self._ask(asked, gate))
        await self._jobs.save(due)

    async def _ask(self, asked: Asked, gate: asyncio.Semaphore) -> None:
        async with gate:
            if self._silence >= _AT_ONCE:
                return  # nobody answers: the others keep their turn
            job = asked.job
            asked.due_at = self._next(asked)
            asked.tries += 1
            try:
                heard = await self._hear(job)
                self._silence = self._silence + 1 if heard.said == "silent" else 0
                delivery = await self._news(asked, heard)
                if delivery is not None and delivery.dedup_key != asked.told:
                    await self._apply(job, delivery)
                    asked.told = delivery.dedup_key
            except Exception as error:
                known = isinstance(error, PassingError)
                log.warning("stalled_job_not_reconciled", job_id=job.job_id, error=str(error), exc_info=not known)

    async def _apply(self, job: Job, delivery: Delivery) -> Outcome:
        outcome = await self._writer.submit(delivery)
        word = delivery.update.status if delivery.update else None
        if outcome.kind in ("stale", "duplicate") and word in ("completed", "failed"):
            # Finished there and not here, as we know by now whatever the clocks say.
            timeless = _body(lenient.read(delivery.body) | {"timestamp": None})
            outcome = await self._writer.submit(made_here(timeless, "reconciled", unique=True))
        log.info("stalled_job_reconciled", job_id=job.job_id, status=word, outcome=outcome.kind)
        return outcome

    async def _hear(self, job: Job) -> _Heard:
        try:
            answer = await self._generator.status(job.job_id)
        except GeneratorError as error:
            return _Heard("silent", error=str(error))
        if answer is None:
            return _Heard("unknown")
        try:
            return _Heard("status", made_here(webhook_of(job.job_id, answer), "reconciled"), knows=True)
        except payload.InvalidPayloadError as error:
            # It knows the job, whatever its word for the status means.
            knows = answer.get("job_id") == job.job_id and isinstance(answer.get("status"), str)
            return _Heard("unreadable", error=str(error), knows=knows)

    async def _news(self, asked: Asked, heard: _Heard) -> Delivery | None:
        """What is to be applied, None when there is nothing new."""
        job = asked.job
        if heard.error is not None:
            asked.silent = 0 if heard.knows else asked.silent + 1
            if asked.silent <= 1:
                log.warning("stalled_job_not_answered_for", job_id=job.job_id, error=heard.error)
            return await self._give_up(job, "silent") if asked.silent >= _SILENT_MIN else None
        asked.silent = 0
        if heard.delivery is None:
            return await self._give_up(job, "unknown")
        update = heard.delivery.update
        if update is None or (update.status == job.status and not update.has_data):
            return None
        return heard.delivery

    async def _give_up(self, job: Job, why: str) -> Delivery | None:
        """The failure of a job without news for too long, None while there is time."""
        if times.now() - job.moved_at < self._give_up_after * 1e6:
            return None
        # A webhook may have come while the backend was asked.
        if (await self._jobs.unfinished([job.job_id])).get(job.job_id) != job:
            return None
        document = {
            "job_id": job.job_id,
            "status": "failed",
            "content_type": "video",
            "timestamp": times.rfc3339(times.now()),
            "has_data": False,
            "data": None,
            "error": self._texts[why].format(span=_span(self._give_up_after)),
        }
        return made_here(_body(document), "reconciled")

    def _next(self, asked: Asked) -> int:
        """When it is due after it was asked for now, in microseconds."""
        at = times.now()
        first = min(self._stall_after, _FIRST_PAUSE_MAX)
        pause = backoff(asked.tries + 1, first, _PAUSE_MAX, jitter=_JITTER)
        left = self._give_up_after - (at - asked.job.moved_at) / 1e6
        return at + int((min(pause, left) if left > 0 else pause) * 1e6)


def webhook_of(job_id: str, answer: dict[str, Any]) -> bytes:
    """The webhook that says what the backend's answer says. Pure.

    Only a completed job has files to bring; an answer without a list of them leaves it waiting for them. What is
    wrong in the answer is wrong in the webhook, too. Raises InvalidPayloadError when it is about another job.
    """
    if answer.get("job_id", job_id) != job_id:
        raise payload.InvalidPayloadError([{"field": "job_id", "message": "the answer is about another job"}])
    status = answer.get("status")
    word = status.lower() if isinstance(status, str) else None
    completed_at, metadata = answer.get("completed_at"), answer.get("generation_metadata")
    document: dict[str, Any] = {
        "job_id": job_id,
        "status": status,
        "content_type": "video",
        "timestamp": _told_time(answer),
        "has_data": False,
        "data": None,
    }
    if word == "completed" and isinstance(answer.get("videos"), list):
        document["has_data"] = True
        document["data"] = {
            "job_id": job_id,
            "videos": answer["videos"],
            "metadata": metadata,
            "generated_at": completed_at,
        }
    elif word == "failed":
        document |= {"error": answer.get("error"), "message": answer.get("message")}
        if isinstance(metadata, dict):
            document |= {"has_data": True, "data": {"metadata": metadata}}
    return _body(document)


def _told_time(answer: dict[str, Any]) -> Any:
    """When the answer says it became so; None leaves it to the time of its receipt."""
    for value in (answer.get("updated_at"), answer.get("completed_at")):
        with contextlib.suppress(ValueError):
            if times.read(value) is not None:
                return value
    return None


def _body(document: dict[str, Any]) -> bytes:
    """As orjson does not write it: with lone surrogates where the answer has them, for payload.py to judge."""
    return json.dumps(document).encode()


def _span(seconds: float) -> str:
    """24 h, 90 min or 20 s."""
    if seconds >= 3600 and seconds % 3600 == 0:  # noqa: PLR2004
        return f"{seconds / 3600:g} h"
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"  # noqa: PLR2004
