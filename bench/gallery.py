"""How fast a user's 100 videos are read: rushes' gallery beside the site's own route, over the same rows, in one run.

Both servers run at once and are read in turn. Before anything is measured both must hold the same videos of each of 16
users with the same files; one of them was completed by the site's own webhook. A run whose answers were not whole does
not count, nor one after or during which a server did not show what another program had committed before it was asked.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import product
from typing import Any, Literal

import aiohttp
import jwt

from bench import library, load, payload, servers
from bench.ingest import Options
from bench.other_program import OtherProgram, other_program

PATH = f"/api/videos/user?limit={library.VIDEOS}"
CONNECTIONS = (1, 16)
ROWS = (20_000,)

CaseName = Literal["at rest", "16 users in turn", "304", "another program inserts"]
CASES: tuple[CaseName, ...] = ("at rest", "16 users in turn", "304", "another program inserts")

_WARM_UP_SECONDS = 3
_INSERT_EVERY = 0.05  # seconds
_ASK_EVERY = 1.0  # seconds, while the other program inserts
SECRET = "of-the-benchmark-and-nobody-else"

# What a video has in both servers' answers.
_FIELDS = (
    "prompt", "status", "created_at", "completed_at", "model", "model_version", "processing_time", "generation_time",
    "download_time", "aspect_ratio", "num_videos",
)  # fmt: skip


class GalleryError(Exception):
    """The servers do not show what they must, so that there is nothing to measure; the message says what."""


@dataclass(frozen=True, slots=True)
class Read:
    """One server under one load, over a table of so many rows. `cpu` is what its process used of the processor for
    each answer, in seconds; `fault` says why the figures do not count, if so."""

    round: int
    server: str
    case: CaseName
    rows: int
    connections: int
    answers: load.Answers
    cpu: float
    fault: str | None

    def as_json(self) -> dict[str, Any]:
        """The run as plain values, with the rate worked out."""
        return asdict(self) | {"answers": asdict(self.answers) | {"rate": self.answers.rate}}


async def gallery(options: Options, tell: Callable[[str], None]) -> list[Read]:
    """Measure every case at every number of connections on both servers, for each size of the table, in turn; `tell`
    hears how far. Raises GalleryError, ServerError and LoadError."""
    runs: list[Read] = []
    for rows in options.rows or ROWS:
        tell(f"{rows:,} rows: filling the tables, starting the servers")
        async with _servers(rows) as (site, rushes):
            for number in range(options.rounds):
                for case, connections in product(CASES, options.connections or CONNECTIONS):
                    peers = [rushes] if case == "304" else [site, rushes]
                    for reader in peers[:: -1 if number % 2 else 1]:
                        part = f"{rows:,} rows, round {number + 1}/{options.rounds}"
                        tell(f"{part}: {case}, {connections}, {reader.name}")
                        cpu, asked = servers.cpu_seconds(reader.pid), reader.asked
                        answers, fault = await reader.measure(case, connections, options.seconds)
                        count = answers.answers + reader.asked - asked
                        cpu = (servers.cpu_seconds(reader.pid) - cpu) / count
                        runs.append(Read(number, reader.name, case, rows, connections, answers, cpu, fault))
    return runs


class Reader:
    """Who reads the gallery of one server, as the user whose it is, mostly the first. `asked` is how often, beside the
    load."""

    def __init__(self, server: servers.Server, session: aiohttp.ClientSession) -> None:
        assert server.database_url is not None
        self.name, self.pid, self.asked = server.name, server.pid, 0
        self._url, self._database_url = server.url, server.database_url
        self._session = session
        self._tokens = [*map(_token, library.READERS)]
        self._headers = self._signed(self._tokens[0])

    @staticmethod
    def _signed(token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}

    async def ask(self, tag: str | None = None, user: int = 0) -> tuple[int, str | None, bytes]:
        """(status, `ETag`, body); what comes is wanted only if it is not what has that tag."""
        self.asked += 1
        headers = self._signed(self._tokens[user]) | ({} if tag is None else {"If-None-Match": tag})
        async with self._session.get(self._url + PATH, headers=headers) as answer:
            return answer.status, answer.headers.get("ETag"), await answer.read()

    async def videos(self, user: int = 0) -> dict[str, Any]:
        """By id, newest first, in a form that does not depend on the server. Raises GalleryError."""
        status, _, body = await self.ask(user=user)
        if status != 200:
            raise GalleryError(f"{self.name} answers {status}: {body[:200].decode(errors='replace')}")
        return compared(json.loads(body))

    async def warm_up(self) -> None:
        """As many answers as make its code hot."""
        await load.read(self._url + PATH, self._headers, 16, _WARM_UP_SECONDS)

    async def measure(self, case: CaseName, connections: int, seconds: int) -> tuple[load.Answers, str | None]:
        """What came, and why it does not count, if so."""
        status, tag, body = await self.ask()
        if status != 200:
            raise GalleryError(f"{self.name} answers {status}")
        if case == "another program inserts":
            return await self._among_inserts(tag, len(body), connections, seconds)
        if case == "16 users in turn":
            answers = await load.read(self._url + PATH, self._headers, connections, seconds, self._tokens)
            return answers, unfit(answers, connections, len(body))
        headers, expected = self._headers, len(body)
        if case == "304":
            if tag is None or (await self.ask(tag))[0] != 304:
                raise GalleryError(f"{self.name} does not answer 304 to the tag that it gave")
            headers, expected = headers | {"If-None-Match": tag}, 0
        answers = await load.read(self._url + PATH, headers, connections, seconds)
        return answers, unfit(answers, connections, expected)

    async def _among_inserts(
        self, tag: str | None, expected: int, connections: int, seconds: int
    ) -> tuple[load.Answers, str | None]:
        async with other_program(self._database_url, _INSERT_EVERY) as other:
            asking = asyncio.create_task(self.ask_meanwhile(other))
            answers = await load.read(self._url + PATH, self._headers, connections, seconds)
            other.stopping.set()
            fault = await asking or await self.stale(tag) or unfit(answers, connections, expected)
        return answers, fault

    async def stale(self, tag: str | None) -> str | None:
        """How what it shows is not what the database has by now, if so. `tag` is of what it showed before."""
        if list(await self.videos()) != list(await library.newest(self._database_url)):
            return "it did not show the newest videos"
        if tag is not None and (await self.ask(tag))[0] == 304:
            return "it said that nothing had changed"
        return None

    async def ask_meanwhile(self, other: OtherProgram) -> str | None:
        """Whether an answer lacked what was committed before it was asked for; told in words."""
        while not other.stopping.is_set():
            newest = other.written[-1]
            if newest not in await self.videos():
                return "it did not show a video that was committed before"
            await asyncio.sleep(_ASK_EVERY)
        return None


def _token(user: str) -> str:
    claims = {"sub": user, "iat": int(time.time()), "exp": int(time.time()) + 86_400}
    return jwt.encode(claims, SECRET, algorithm="HS256")


@asynccontextmanager
async def _servers(rows: int) -> AsyncIterator[tuple[Reader, Reader]]:
    """The site and rushes over a table of so many rows, warm, and seen to hold the same. Raises GalleryError."""
    async with AsyncExitStack() as stack:
        folder, database_url = await stack.enter_async_context(servers.fresh_database())
        await servers.migrate(folder, database_url)
        await library.fill(database_url, rows)
        secrets = {"AUTH_JWT_SECRET": SECRET, "WEBHOOK_SECRET": SECRET}
        site = await stack.enter_async_context(servers.site(folder, database_url, secrets))
        rushes = await stack.enter_async_context(servers.rushes(folder, database_url, settings=secrets))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        await _complete_one(site, session)
        peers = Reader(site, session), Reader(rushes, session)
        await agree(database_url, *peers)
        for peer in peers:
            await peer.warm_up()
        yield peers


async def _complete_one(site: servers.Server, session: aiohttp.ClientSession) -> None:
    """Have the site's own webhook complete the reader's newest job. Raises GalleryError."""
    assert site.database_url is not None
    job_id = next(iter(await library.newest(site.database_url)))
    await library.reopen(site.database_url, job_id)
    body = payload.template("completed").replace(payload.JOB, job_id)
    body = body.replace(payload.AT, datetime.now().astimezone().isoformat())
    headers = {"Content-Type": "application/json", "X-Webhook-Secret": SECRET}
    async with session.post(site.url + payload.PATH, data=body.encode(), headers=headers) as answer:
        if answer.status != 200:
            raise GalleryError(f"the site's webhook answers {answer.status}: {(await answer.text())[:200]}")


async def agree(database_url: str, *readers: Reader, users: Sequence[str] = library.READERS) -> None:
    """Raises GalleryError unless all show what the database has of each user: 100 videos, each with a file."""
    for number, user in enumerate(users):
        expected = await library.newest(database_url, user)
        if len(expected) != library.VIDEOS or not all(expected.values()):
            raise GalleryError(f"the database does not hold {library.VIDEOS} videos with files of {user}")
        shown = [await reader.videos(number) for reader in readers]
        for reader, videos in zip(readers, shown, strict=True):
            if {job_id: sorted(video["files"]) for job_id, video in videos.items()} != expected:
                raise GalleryError(f"{reader.name} does not show the videos that the database holds")
            if list(videos) != list(expected):
                raise GalleryError(f"{reader.name} does not show the newest first")
            if (other := difference(shown[0], videos)) is not None:
                raise GalleryError(f"{readers[0].name} and {reader.name} differ in {other}")


def compared(page: Mapping[str, Any]) -> dict[str, Any]:
    """A page's videos by id, in its order: what both servers tell of them, times as times, files by id."""
    return {
        video["id"]: {name: _value(name, video[name]) for name in _FIELDS}
        | {"files": {file["id"]: _file(file) for file in video["videos"]}}
        for video in page["generations"]
    }


def _file(file: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _value(name, value) for name, value in file.items()}


def _value(name: str, value: Any) -> Any:
    return datetime.fromisoformat(value) if name.endswith("_at") and value is not None else value


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """Where two pages' videos, as `compared` gives them, are not the same; None if they are."""
    for job_id in {**one, **other}:
        for name in (*_FIELDS, "files"):
            values = [page.get(job_id, {}).get(name) for page in (one, other)]
            if values[0] != values[1]:
                return f"{name} of {job_id}: {values[0]!r}, {values[1]!r}"
    return None


def unfit(answers: load.Answers, connections: int, expected: int) -> str | None:
    """Why answers were not all what was asked for; those that have a body, `expected` bytes or nearly so."""
    if answers.refused or answers.broken or not answers.answers:
        return f"{answers.answers} answers, {answers.refused} refused, {answers.broken} broken"
    # Headers come on top, and at the end what was still on its way.
    least, most = 0.9 * expected, 1.1 * expected + 1500
    if not least * answers.answers <= answers.bytes <= most * (answers.answers + connections):
        return f"{answers.bytes / answers.answers:,.0f} bytes an answer, where {expected:,} were expected"
    return None
