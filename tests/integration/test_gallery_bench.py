"""What the benchmark of galleries reads, and what it finds out about servers that do not show it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bench import library
from bench.gallery import SECRET, GalleryError, Reader, agree
from bench.other_program import other_program
from bench.servers import Server
from tests.client import running
from tests.databases import Sql

FIRST = library.READERS[:1]

Make = Callable[[bytes], Awaitable[Reader]]


def reader(name: str, url: str, database_url: str, session: aiohttp.ClientSession) -> Reader:
    return Reader(Server(name, url, 0, database_url, lambda: None), session)


@pytest.fixture
async def filled(database_url: str) -> str:
    await library.fill(database_url, 2000)
    return database_url


@pytest.fixture
async def rushes(filled: str) -> AsyncIterator[Reader]:
    async with running(filled, auth_jwt_secret=SECRET) as server:
        yield reader("rushes", server.url, filled, server.session)


@pytest.fixture
async def answering(rushes: Reader, filled: str, aiohttp_client: Callable[..., Any]) -> Make:
    """Makes a server that always answers what is given, with a tag."""

    async def make(body: bytes) -> Reader:
        async def answer(request: web.Request) -> web.Response:
            if "If-None-Match" in request.headers:
                return web.Response(status=304)
            return web.Response(body=body, headers={"ETag": '"always"'})

        app = web.Application()
        app.router.add_get("/api/videos/user", answer)
        client = await aiohttp_client(app)
        return reader("other", str(client.make_url("/")).rstrip("/"), filled, client.session)

    return make


async def test_reader_has_100_videos_with_files_spread_among_all_others(filled: str, sql: Sql) -> None:
    newest = await library.newest(filled)
    assert [len(files) for files in newest.values()] == [1] * 100
    assert sql("SELECT COUNT(*), COUNT(DISTINCT authorId) FROM video_generations") == ((2000, 20),)
    assert sql(
        "SELECT COUNT(*), COUNT(DISTINCT authorId) FROM video_generations WHERE authorId IN %s", library.READERS
    ) == ((1600, 16),)
    numbers = [number for (number,) in sql(
        "SELECT (SELECT COUNT(*) FROM video_generations o WHERE o.createdAt < g.createdAt)"
        " FROM video_generations g WHERE authorId = %s ORDER BY createdAt", library.READER,
    )]  # fmt: skip
    assert numbers == list(range(19, 2000, 20))


async def test_every_finished_job_of_the_table_has_its_file_and_its_position(filled: str, sql: Sql) -> None:
    assert sql("SELECT COUNT(*) FROM video_generations WHERE status = 'FAILED'")[0][0] >= 100
    assert sql(
        "SELECT g.status, COUNT(*) = COUNT(k.job_id), COUNT(f.id) / COUNT(*) FROM video_generations g"
        " LEFT JOIN video_files f ON f.generationId = g.id"
        " LEFT JOIN rushes_jobs k ON k.job_id = g.id AND k.created_at = g.createdAt GROUP BY g.status ORDER BY 1"
    ) == (("COMPLETED", 1, 1), ("FAILED", 1, 0))


async def test_rushes_shows_what_was_filled_in(rushes: Reader, filled: str) -> None:
    await agree(filled, rushes)


async def test_server_that_leaves_out_a_video_or_shows_another_prompt_is_not_measured(
    rushes: Reader, filled: str, answering: Make
) -> None:
    _, _, body = await rushes.ask()
    await agree(filled, rushes, await answering(body), users=FIRST)
    with pytest.raises(GalleryError, match="does not show the videos"):
        await agree(filled, rushes, await answering(body.replace(b'"id":"cm', b'"id":"xm', 1)), users=FIRST)
    with pytest.raises(GalleryError, match="differ in prompt"):
        await agree(filled, rushes, await answering(body.replace(b"Un coucher", b"Un lever", 1)), users=FIRST)


async def test_other_programs_rows_are_shown_and_then_gone(rushes: Reader, filled: str, sql: Sql) -> None:
    before = await library.newest(filled)
    _, tag, _ = await rushes.ask()
    async with other_program(filled, 0.001) as other:
        while len(other.written) < 3:
            assert await rushes.stale(None) in (None, "it did not show the newest videos")  # between two of its rows
        other.stopping.set()
    assert await library.newest(filled) == before
    async with other_program(filled, 3600) as other:
        assert other.written[-1] == next(iter(await library.newest(filled)))
        assert await rushes.stale(tag) is None
        other.stopping.set()
    assert sql("SELECT COUNT(*) FROM video_generations") == ((2000,),)
    assert sql("SELECT COUNT(*) FROM video_files f LEFT JOIN video_generations g ON g.id = f.generationId"
               " WHERE g.id IS NULL") == ((0,),)  # fmt: skip


async def test_server_that_still_shows_what_was_before_is_found_out(
    rushes: Reader, filled: str, answering: Make
) -> None:
    _, _, body = await rushes.ask()
    old = await answering(body)
    assert await old.stale(None) is None
    async with other_program(filled, 3600) as other:
        assert await old.ask_meanwhile(other) == "it did not show a video that was committed before"
        assert await old.stale(None) == "it did not show the newest videos"
        _, _, now = await rushes.ask()
        assert await (await answering(now)).stale('"always"') == "it said that nothing had changed"
