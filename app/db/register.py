"""How a job is registered: its row, its first event, and the request that it came by, in one transaction."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from pymysql.constants import ER

from app.db import audited, log, requests
from app.db.charsets import AUTHOR, JOB, held
from app.db.columns import Columns
from app.db.connection import Connection
from app.db.errors import DuplicateKeyError, MissingRowError, RetryableError, ValuesRefusedError
from app.db.pool import Pool
from app.db.requests import Request
from app.db.rows import EXACTLY, KEY, LISTED, UNFINISHED, text
from app.db.sql import bind, exact
from app.domain.audit import Act, Actor, Entry
from app.domain.estimate import Estimates, Kind
from app.domain.event import LogEvent, event_data, whole, words
from app.domain.job import DEFAULT_MODEL
from app.ids import cuid
from app.texts import MESSAGES
from app.times import moment, now
from app.turns import Turns

_REGISTER = """
INSERT INTO video_generations (id, prompt, inputImageBase64, aspectRatio, numberOfVideos, durationSeconds,
  personGeneration, status, progress, message, authorId, organizationId, createdAt, updatedAt)
VALUES (%s, %s, %s, %s, %s, %s, %s, 'PENDING', 0, %s, %s, %s, %s, %s)
"""

# A key that an earlier job of this id has left behind is not this job's.
_FORGET_KEY = "DELETE FROM rushes_jobs WHERE job_id = %s AND CAST(job_id AS BINARY) = %s"

# Whoever made them. It ends at the limit, however many there are.
_COUNT = f"""
SELECT COUNT(*) FROM (SELECT 1 FROM video_generations g
  WHERE g.authorId = %s AND g.status IN {UNFINISHED} AND {EXACTLY} = %s LIMIT %s) AS found
"""

_THERE = "SELECT 1 FROM video_generations WHERE id = %s"

# Names of locks are the server's, not the database's, and have 64 characters.
_TAKE_TURN = "SELECT GET_LOCK(CONCAT('rushes_', LEFT(SHA2(CONCAT(DATABASE(), '/', %s), 256), 56)), %s)"

# Seconds that a request waits for others of its user.
_PATIENCE = 8
_BUSY = "other requests of this user are under way"

_TRIES = 4

Registered = Literal["made", "known", "taken"]


class TooManyUnfinishedError(Exception):
    """The author has as many unfinished jobs as he may."""


class UnknownOwnerError(Exception):
    """The site's own tables know no such user or organization."""


_ORDERED = f"""
SELECT g.id, g.authorId, g.organizationId, g.prompt, g.aspectRatio, g.numberOfVideos, g.durationSeconds,
  g.personGeneration, g.inputImageBase64
FROM video_generations g {KEY} WHERE g.id = %s AND {LISTED}
"""

_SIZE = """
SELECT COALESCE(SUM(LENGTH(prompt) + COALESCE(LENGTH(inputImageBase64), 0)), 0) FROM video_generations WHERE id = %s
"""


@dataclass(frozen=True, slots=True)
class NewJob:
    """What is registered. `number_of_videos` and the rest are stored as they come. `by` is an admin who does so for
    somebody else, and how: he is written down."""

    id: str | None
    author_id: str
    organization_id: str | None
    prompt: str
    aspect_ratio: str
    number_of_videos: int
    duration_seconds: int
    person_generation: str
    input_image_base64: str | None
    by: tuple[Actor, Act] | None = None


class Registrar:
    """Registers jobs, at most `max_unfinished` that go on for a user who registers for himself.

    Every method raises DatabaseAwayError.
    """

    def __init__(self, pool: Pool, language: str, max_unfinished: int, estimates: Estimates) -> None:
        self._pool = pool
        self._estimates = estimates
        self._language = language
        self._max_unfinished = max_unfinished
        self._turns = Turns()
        self._columns = Columns()

    async def register(
        self, new: NewJob, request: Request | None = None, *, limited: bool = False
    ) -> tuple[str, Registered, list[LogEvent]]:
        """(id, what became of it, the log's new rows).

        Nothing is made when the same request came before ("known"), or when the id is "taken": then the caller looks
        who has it. Raises UnknownOwnerError, RetryableError, ValuesRefusedError, KeyReusedError for another request of
        that key, and if `limited` TooManyUnfinishedError.
        """
        if not limited:
            async with self._pool.connection() as connection:
                return await self._register(connection, new, request)
        async with self._turn(new.author_id) as connection:
            return await self._register(connection, new, request, limited=True)

    async def ordered(self, job_id: str, take: Callable[[int], None]) -> NewJob | None:
        """The order of a job, to be made again; None where there is no such job. `take` is told its bytes first."""
        ((size,),) = await self._pool.rows(bind(_SIZE, held(JOB, job_id)))
        take(int(size))
        for found, author, organization, prompt, ratio, number, seconds, persons, image in await self._pool.rows(
            bind(_ORDERED, held(JOB, job_id))
        ):
            if found == job_id:
                return NewJob(
                    None, words(author), organization, words(prompt), words(ratio), whole(number), whole(seconds),
                    words(persons), text(image),
                )  # fmt: skip
        return None

    @asynccontextmanager
    async def _turn(self, author_id: str) -> AsyncIterator[Connection]:
        """A session while which no other registers for this author, in any process: else each of many requests at once
        would count before the others have made their jobs. Here they wait without a session. Raises RetryableError."""
        try:
            end = await self._turns.take(author_id, _PATIENCE)
        except TimeoutError:
            raise RetryableError(_BUSY, ER.LOCK_WAIT_TIMEOUT) from None
        try:
            async with self._pool.connection() as connection:
                ((taken,),) = await connection.rows(bind(_TAKE_TURN, exact(author_id), _PATIENCE // 2))
                if not taken:
                    raise RetryableError(_BUSY, ER.LOCK_WAIT_TIMEOUT)
                try:
                    yield connection
                finally:
                    if not connection.closed:
                        await connection.run("DO RELEASE_ALL_LOCKS()")
        finally:
            end()

    async def _register(
        self, connection: Connection, new: NewJob, request: Request | None, *, limited: bool = False
    ) -> tuple[str, Registered, list[LogEvent]]:
        if request is not None and (known := await requests.find(connection, request)) is not None:
            return known, "known", []
        if limited and await self._has_too_many(connection, new.author_id):
            if new.id is None or not await connection.rows(bind(_THERE, held(JOB, new.id))):
                raise TooManyUnfinishedError
            return new.id, "taken", []
        job_id = new.id or cuid()
        events = await self._make(connection, job_id, new, request)
        if events is not None:
            return job_id, "made", events
        if request is not None and (known := await _known_by_now(connection, request, job_id)) is not None:
            return known, "known", []
        return job_id, "taken", []

    async def _make(
        self, connection: Connection, job_id: str, new: NewJob, request: Request | None
    ) -> list[LogEvent] | None:
        """The log's new rows; None where the id, or the request's key, is there already."""
        for tries in itertools.count(1):
            try:
                return await self._insert(connection, job_id, new, request)
            except RetryableError:
                if connection.closed or tries == _TRIES:
                    raise
                await connection.run("ROLLBACK")
                await asyncio.sleep(0.05 * tries)
            except MissingRowError as error:
                await connection.run("ROLLBACK")
                raise UnknownOwnerError(new.author_id) from error
            except DuplicateKeyError:
                await connection.run("ROLLBACK")
                return None
            except ValuesRefusedError as error:
                await connection.run("ROLLBACK")
                if tries == _TRIES or not await self._columns.learn(connection, error):
                    raise
        raise AssertionError("counting has no end")

    async def _has_too_many(self, connection: Connection, author_id: str) -> bool:
        ((count,),) = await connection.rows(
            bind(_COUNT, held(AUTHOR, author_id), exact(author_id), self._max_unfinished)
        )
        return int(count) >= self._max_unfinished

    async def _insert(
        self, connection: Connection, job_id: str, new: NewJob, request: Request | None
    ) -> list[LogEvent]:
        at = now()
        message = MESSAGES[self._language]["pending"]
        kind = Kind(DEFAULT_MODEL, new.duration_seconds, new.number_of_videos)
        estimate = self._estimates.of(kind, "pending", 0)
        data = event_data(
            job_id=job_id, status="pending", state="PENDING", progress=0, message=message,
            occurred_at=at, error=None, estimate=estimate,
        )  # fmt: skip
        events = [LogEvent(0, job_id, new.author_id, new.organization_id, "progress", data)]
        fitting = self._columns.fit("video_generations", {"prompt": new.prompt, "message": message})
        insert = bind(
            _REGISTER,
            job_id, fitting["prompt"], new.input_image_base64, new.aspect_ratio, new.number_of_videos,
            new.duration_seconds, new.person_generation, fitting["message"], new.author_id, new.organization_id,
            moment(at), moment(at),
        )  # fmt: skip
        remember = [] if request is None else [requests.remember(request, job_id, at)]
        if new.by is not None:
            actor, act = new.by
            remember += audited.write([Entry(actor, act, job_id=job_id, became={"author_id": new.author_id})], at)
        results = await connection.run_text(
            "START TRANSACTION",
            insert,
            bind(_FORGET_KEY, job_id, exact(job_id)),
            *remember,
            *log.append(events, at),
            "COMMIT",
        )
        log.number(events, results)
        return events


async def _known_by_now(connection: Connection, request: Request, job_id: str) -> str | None:
    """The job of the same request, made meanwhile; None if the id is taken by another's. This one is remembered then:
    sent again when the id is free, it must not make what it did not make now."""
    known = await requests.find(connection, request)
    if known is None:
        try:
            await connection.run(requests.remember(request, job_id, now()))
        except DuplicateKeyError:
            known = await requests.find(connection, request)
    return known
