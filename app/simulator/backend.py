"""The jobs of the simulated backend: each goes through its stages, and is told of by signed webhooks."""

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import Any, Self

import orjson
import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

from app.backoff import backoff
from app.deliver import proof
from app.simulator import bodies
from app.simulator.bodies import Order
from app.simulator.films import FORMATS, USUAL
from app.simulator.reasons import REASONS
from app.simulator.words import Script, WordError, read
from app.times import now, rfc3339

log = structlog.get_logger(__name__)

JOBS_MAX = 1000
BYTES_MAX = 64 * 1024 * 1024
"""What all jobs that are remembered may take, reckoned by their prompts and videos."""

_STAGES = ("processing", "generating", "downloading")
_OF_VIDEO = 1024  # bytes, about
_ANSWER_WAIT = 30.0
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
_TRIES = 8


class RefusedError(Exception):
    """An order is not taken; the message says why, `status` is that of HTTP."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        super().__init__(reason)


@dataclass
class _Job:
    order: Order
    script: Script
    began: int
    told: dict[str, Any]
    held: list[dict[str, Any]] = field(default_factory=list)
    task: asyncio.Task[None] | None = None

    @property
    def size(self) -> int:
        return len(self.order.prompt.encode()) + (1 + self.order.number_of_videos) * _OF_VIDEO


class Backend:
    """Makes the videos of orders, `step` seconds a stage, and posts each change to `webhooks`, proven with `secret`.

    `films` is what the addresses of videos begin with; `always` are words that count for every prompt, before its own.
    At most `jobs_max` jobs are known at once, those that go on among them. Used in an `async with`.
    """

    def __init__(
        self,
        webhooks: str,
        secret: str | None,
        *,
        step: float,
        films: str,
        always: str = "",
        jobs_max: int = JOBS_MAX,
        first_wait: float = _FIRST_WAIT,
    ) -> None:
        self._webhooks = webhooks
        self._secret = secret
        self._step = step
        self._films = films
        self._always = always
        self._jobs_max = jobs_max
        self._first_wait = first_wait
        self._jobs: dict[str, _Job] = {}
        self._bytes = 0

    async def __aenter__(self) -> Self:
        # Sends are bounded by the jobs that go on. A queue in the session would count for the time-out of all.
        self._session = ClientSession(connector=TCPConnector(limit=0), timeout=ClientTimeout(total=_ANSWER_WAIT))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends all jobs where they are."""
        tasks = [job.task for job in self._jobs.values() if job.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._session.close()

    def start(self, order: Order) -> None:
        """Takes an order; one that is known already is not made twice. Raises RefusedError."""
        try:
            script = read(f"{self._always} {order.prompt}")
        except WordError as error:
            raise RefusedError(400, f"400 INVALID_ARGUMENT: {error}") from None
        if script.refuse is not None:
            raise RefusedError(*REASONS[script.refuse])
        if order.aspect_ratio not in FORMATS:
            order = order.model_copy(update={"aspect_ratio": USUAL})
        if order.job_id in self._jobs:
            return
        job = _Job(order, script, now(), {})
        self._make_room(job.size)
        self._jobs[order.job_id] = job
        self._bytes += job.size
        self._note(job, bodies.update(order, "pending", job.began))
        job.task = asyncio.create_task(self._run(job))

    def status(self, job_id: str) -> dict[str, Any] | None:
        """What is known of a job, as GET tells it; None of one that is not known, or was to be forgotten."""
        job = self._jobs.get(job_id)
        return None if job is None or job.script.forget else job.told

    def _make_room(self, size: int) -> None:
        """Forgets the oldest jobs that do not go on. Raises RefusedError where that is not enough."""
        ended = [job_id for job_id, job in self._jobs.items() if job.task is None or job.task.done()]
        while len(self._jobs) >= self._jobs_max or self._bytes + size > BYTES_MAX:
            if not ended:
                raise RefusedError(429, "429 RESOURCE_EXHAUSTED: too many videos are being made; try again later.")
            self._bytes -= self._jobs.pop(ended.pop(0)).size

    async def _run(self, job: _Job) -> None:
        await asyncio.sleep(self._step / 4)
        for status in _STAGES:
            await self._say(job, bodies.update(job.order, status, now()))
            await asyncio.sleep(self._step)
            if status == "generating" and (job.script.stall or job.script.forget):
                return
        last = self._ending(job)
        self._note(job, last)
        if job.script.lost:
            return
        await asyncio.sleep(job.script.late)
        if job.script.shuffle:
            job.held.append(last)
            job.held.reverse()
        for update in job.held or [last]:
            await self._send(job, update)

    def _ending(self, job: _Job) -> dict[str, Any]:
        order, script, at = job.order, job.script, now()
        if script.fail is None:
            data = bodies.completion(order, script, job.began, at, self._films)
            return bodies.update(order, "completed", at, data=data)
        if script.fail:
            return bodies.update(order, "failed", at, error=REASONS[script.fail].text)
        return bodies.update(order, "failed", at, data={"metadata": {"prompt_used": order.prompt}})

    async def _say(self, job: _Job, update: dict[str, Any]) -> None:
        self._note(job, update)
        if job.script.shuffle:
            job.held.append(update)
        else:
            await self._send(job, update)

    def _note(self, job: _Job, update: dict[str, Any]) -> None:
        data, at = update["data"] or {}, rfc3339(now())
        done = update["status"] in ("completed", "failed")
        job.told = {
            "job_id": job.order.job_id,
            "status": update["status"],
            "message": None,
            "progress": None,
            "videos": bodies.as_asked(data, job.order, now(), self._films) if "videos" in data else [],
            "generation_metadata": data.get("metadata"),
            "error": update.get("error"),
            "created_at": rfc3339(job.began),
            "updated_at": at,
            "completed_at": at if done else None,
        }

    async def _send(self, job: _Job, update: dict[str, Any]) -> None:
        body, webhook_id = orjson.dumps(update), f"msg_{secrets.token_hex(12)}"
        for _ in range(2 if job.script.twice else 1):
            await self._deliver(webhook_id, body, job.order.job_id, update["status"])

    async def _deliver(self, webhook_id: str, body: bytes, job_id: str, status: str) -> None:
        """Posts it until it is taken or refused; after the last try it is lost, and the log says so."""
        why = ""
        for attempt in range(1, _TRIES + 1):
            wait = backoff(attempt, self._first_wait, _LONGEST_WAIT, jitter=0.25)
            try:
                headers = proof(webhook_id, body, self._secret)
                async with self._session.post(
                    self._webhooks, data=body, headers=headers, allow_redirects=False
                ) as answer:
                    if answer.status < 500 and answer.status not in (408, 429):  # noqa: PLR2004
                        if answer.status >= 300:  # noqa: PLR2004
                            log.warning("webhook_refused", job_id=job_id, status=status, answer=answer.status)
                        return
                    why, asked = str(answer.status), answer.headers.get("Retry-After", "")
                    wait = max(wait, min(float(asked), _LONGEST_WAIT) if asked.isdecimal() else 0.0)
            except (ClientError, TimeoutError) as error:
                why = type(error).__name__
            if attempt < _TRIES:
                log.info("webhook_tried_again", job_id=job_id, status=status, why=why, wait=round(wait, 1))
                await asyncio.sleep(wait)
        log.warning("webhook_lost", job_id=job_id, status=status, why=why)
