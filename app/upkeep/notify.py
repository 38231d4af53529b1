"""Web Push: whoever has closed the page is told there of the end of his jobs."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress

import orjson
import structlog

from app import times
from app.backoff import backoff
from app.db.errors import PassingError
from app.db.notices import Notice, Notices
from app.db.people import People
from app.db.subscriptions import Stored, Subscriptions
from app.db.videos import Generation, Videos
from app.domain.event import event_name, failure_of
from app.texts import NOTICES, Language
from app.upkeep.leader import Leader
from app.webpush import PAYLOAD_MAX, Answer, WebPush

log = structlog.get_logger(__name__)

# How many browsers are told at once, each through its push service; and how many of one user, who may have chosen
# services that never answer.
_AT_ONCE, _AT_ONCE_OF_USER = 20, 3
# Of one browser: ends that are looked at, those that its message names, and characters of a prompt.
_LOOKED_AT, _NAMED, _TITLE_MAX = 200, 8, 200
_AROUND = 200  # bytes of a message around its ends
# Seconds after a failure, after many in a row, and how many make it a browser that is gone: half a day of them.
_PAUSE_MIN, _PAUSE_MAX, _FAILURES_MAX = 5.0, 3600.0, 20
_JITTER = 0.25
_TIDY_EVERY = 60.0  # seconds


class Notifier:
    """Tells browsers, in the process that leads, of the ends of jobs that the log has, every so many seconds.

    A browser is told of all that waits for it in one message, and has one on its way at a time: what is slow or broken
    keeps nobody else waiting. An end is worth being told for `ttl` seconds, and a browser that did not renew its
    subscription for `max_age` seconds is not told any more.
    """

    def __init__(
        self,
        push: WebPush,
        subscriptions: Subscriptions,
        notices: Notices,
        videos: Videos,
        people: People,
        leader: Leader,
        *,
        every: float,
        ttl: float,
        max_age: float,
    ) -> None:
        self._push = push
        self._subscriptions = subscriptions
        self._notices = notices
        self._videos = videos
        self._people = people
        self._leader = leader
        self._every = every
        self._ttl = ttl
        self._max_age = max_age
        self._tidy_at = 0.0
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._busy_of: Counter[str] = Counter()  # by author

    async def run(self) -> None:
        """Runs until cancelled."""
        try:
            await self._leader.repeat("push", self._round, self._every)
        finally:
            tasks = [*self._busy.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._push.close()

    async def _round(self) -> None:
        await self._tidy()
        while await self._notices.write_down(times.now() - _us(self._ttl)):
            pass
        free = _AT_ONCE - len(self._busy)
        full = [author for author, count in self._busy_of.items() if count >= _AT_ONCE_OF_USER]
        for to in await self._notices.due(free, self._busy, full) if free else ():
            if self._busy_of[to.author_id] < _AT_ONCE_OF_USER:
                self._busy_of[to.author_id] += 1
                self._busy[to.id] = asyncio.create_task(self._tell(to))

    async def _tidy(self) -> None:
        if time.monotonic() < self._tidy_at:
            return
        await self._notices.drop_older(times.now() - _us(self._ttl))
        await self._subscriptions.drop_older(times.now() - _us(self._max_age))
        self._tidy_at = time.monotonic() + _TIDY_EVERY

    async def _tell(self, to: Stored) -> None:
        try:
            with suppress(PassingError):  # the next round finds the same
                await self._tell_all(to)
        except Exception as error:  # noqa: BLE001 - one browser's trouble is not the others'
            log.warning("push_failed", host=to.where.host, error=type(error).__name__)
            with suppress(PassingError):
                await self._pause(to, Answer(0, type(error).__name__))
        finally:
            del self._busy[to.id]
            self._busy_of -= Counter([to.author_id])  # which forgets who has none

    async def _tell_all(self, to: Stored) -> None:
        if not await self._is_still_known(to):
            await self._subscriptions.drop(to.id)
            return
        waiting = await self._notices.of(to.id, _LOOKED_AT)
        if not waiting:
            return
        newest = waiting[0]
        left = self._ttl - (times.now() - newest.created_at) / 1_000_000
        told, more = await self._ends(to, waiting) if left > 0 else ([], 0)
        if told:
            answer = await self._push.send(to.where, message(told, more, to.language), max(int(left), 1))
            if not answer.is_taken and not answer.is_refused:
                await self._pause(to, answer)
                return
            if answer.is_refused:
                log.warning("push_refused", host=to.where.host, why=answer.why)
        await self._notices.told(to.id, newest.event_id)
        if to.failures:
            await self._subscriptions.succeeded(to.id)

    async def _is_still_known(self, to: Stored) -> bool:
        """Whether the site still knows him by the token that he subscribed with, where its tables are looked up."""
        if not self._people.is_asked:
            return True
        person = await self._people.find(to.subject)
        return person is not None and person.author_id == to.author_id

    async def _ends(self, to: Stored, waiting: Iterable[Notice]) -> tuple[list[tuple[Notice, Generation]], int]:
        """Those that hold still, newest first, and how many older ones nobody has looked at: a job that was taken up
        again, deleted, cancelled or given to somebody else meanwhile is not told of."""
        newest: dict[str, Notice] = {}
        for notice in waiting:
            newest.setdefault(notice.job_id, notice)
        found: list[tuple[Notice, Generation]] = []
        for place, notice in enumerate(newest.values()):
            if len(found) == _NAMED:
                return found, len(newest) - place
            job = await self._videos.get(notice.job_id)
            if job is not None and job.author_id == to.author_id and _is_so(job, notice):
                found.append((notice, job))
        return found, 0

    async def _pause(self, to: Stored, answer: Answer) -> None:
        """Of one whose push service did not take its message."""
        failures = to.failures + 1
        if answer.is_gone or failures >= _FAILURES_MAX:
            log.info("push_subscription_gone", host=to.where.host, why=answer.why, failures=failures)
            await self._subscriptions.drop(to.id)
            return
        if failures == 1:
            log.warning("push_not_taken", host=to.where.host, why=answer.why)
        pause = max(backoff(failures, _PAUSE_MIN, _PAUSE_MAX, jitter=_JITTER), answer.retry_after)
        await self._subscriptions.failed(to.id, pause)


def _is_so(job: Generation, notice: Notice) -> bool:
    if event_name(job.state) != notice.event:
        return False
    failure = failure_of(job.state, job.error, job.partial, job.num_videos)
    return failure is None or failure.kind != "cancelled"


def message(ends: Sequence[tuple[Notice, Generation]], more: int, language: Language) -> bytes:
    """What the page's service worker shows (static/sw.js), of `PAYLOAD_MAX` bytes at most: the ends that fit, and how
    many `more` there are."""
    texts = NOTICES[language]
    shown: list[bytes] = []
    room = PAYLOAD_MAX - _AROUND
    for notice, job in ends:
        title = " ".join(job.prompt[:_TITLE_MAX].split()) or texts["untitled"].format(job_id=notice.job_id)
        heading = texts[notice.event]
        one = orjson.dumps(
            {"job_id": notice.job_id, "number": notice.event_id, "event": notice.event, "title": heading, "body": title}
        )
        room -= len(one) + 1
        if room < 0:
            break
        shown.append(one)
    more += len(ends) - len(shown)
    return orjson.dumps({"notices": [*map(orjson.Fragment, shown)], "more": more, "several": texts["several"]})


def _us(seconds: float) -> int:
    return int(seconds * 1_000_000)
