"""Jobs with many files, or long ones: bounded wherever they are shown, and nothing of them lost."""

from typing import Any

import pytest

from app.appkeys import FOLLOWER
from app.domain.event import EVENT_MAX
from tests.client import Client, running
from tests.databases import Sql
from tests.streams import events
from tests.webhooks import completion, video

# In the order of their bytes, which is not that of the site's collation.
ODD = ["A", "B/0", "a/1", "b", "z", "É", "é/2", "ü", "表", "😀"]


async def complete(server: Client, job_id: str, keys: list[str], **fields: Any) -> None:
    for at in range(0, len(keys), 100):
        code, body = await server.send(completion(job_id, *(video(key, **fields) for key in keys[at : at + 100])))
        assert code == 200, body


async def all_files(server: Client, job_id: str) -> list[str]:
    """Their paths, page by page."""
    seen: list[str] = []
    path = f"/api/videos/{job_id}"
    while True:
        code, job = await server.read(path)
        assert code == 200
        if not job["videos"]:
            assert job["num_videos"] == len(seen)
            return seen
        seen += [file["file_path"] for file in job["videos"]]
        path = f"/api/videos/{job_id}?files_after={job['videos'][-1]['id']}"


async def test_files_beyond_a_hundred_are_counted_everywhere_and_can_be_asked_for(server: Client) -> None:
    keys = sorted([*ODD, *(f"k/{n:03}" for n in range(240))])
    await server.register("j1")
    async with events(server.session, f"{server.url}/events") as source:
        await source.next()
        await complete(server, "j1", keys)
        told = (await source.take(3))[-1].data
    assert [file["file_path"] for file in told["videos"]] == keys[:100]
    _, gallery = await server.read("/api/videos/user")
    _, job = await server.read("/api/videos/j1")
    async with events(server.session, f"{server.url}/events/j1") as source:
        state = (await source.next()).data
    for shown in (told, gallery["generations"][0], job, state):
        assert (shown["videos"], shown["num_videos"]) == (told["videos"], 250)
    assert await all_files(server, "j1") == keys


async def test_file_that_is_none_of_the_jobs_is_refused(server: Client) -> None:
    for name in ("j1", "j2"):
        await server.register(name)
        await complete(server, name, [f"{name}/k"])
    _, other = await server.read("/api/videos/j2")
    for file_id in (other["videos"][0]["id"], "nobody", "x" * 192):
        code, body = await server.read(f"/api/videos/j1?files_after={file_id}")
        assert (code, body["code"]) == (400, "invalid_request")


async def test_long_addresses_are_bounded_by_their_bytes_and_can_all_be_asked_for(database_url: str, sql: Sql) -> None:
    keys = [f"k/{n:03}" for n in range(100)]
    async with running(database_url) as server:
        await server.register("j1")
        await complete(server, "j1", keys, file_url="https://x/" + "y" * 8000)
        assert await all_files(server, "j1") == keys
        sql("UPDATE video_files SET fileUrl = REPEAT('\"', 65000), filePath = REPEAT('x', 65000)")
        _, job = await server.read("/api/videos/j1")
        assert (len(job["videos"]), job["num_videos"]) == (1, 100)
        async with server.session.get(f"{server.url}/api/videos/user") as answer:
            assert len(await answer.read()) < EVENT_MAX
        ((largest,),) = sql("SELECT MAX(LENGTH(data)) FROM rushes_events")
        assert EVENT_MAX * 0.9 < largest <= EVENT_MAX


async def test_job_takes_as_many_files_as_it_may_and_a_completion_beyond_is_kept_as_a_dead_letter(
    database_url: str, sql: Sql
) -> None:
    async with running(database_url, max_files_per_job=5) as server:
        await server.register("j1")
        await complete(server, "j1", ["a", "b", "c"])
        code, body = await server.send(completion("j1", *(video(key) for key in "cdef")))
        assert (code, body["code"]) == (422, "too_many_files")
        assert await all_files(server, "j1") == ["a", "b", "c"]
        _, whole = await server.read(f"/api/admin/webhooks/{body['webhook_id']}")
        assert (whole["outcome"], whole["replay"]["code"]) == ("dead", "too_many_files")
        await complete(server, "j1", ["a", "d", "e"])
    async with running(database_url, max_files_per_job=6) as server:
        async with server.session.post(f"{server.url}/api/admin/webhooks/{body['webhook_id']}/replay") as answer:
            assert (await answer.json())["outcome"] == "applied"
        assert await all_files(server, "j1") == list("abcdef")
    async with running(database_url, max_files_per_job=1) as server:  # those that it has can be sent again
        await complete(server, "j1", ["b"], filename="again.mp4")


@pytest.mark.timeout(300)
async def test_120_completions_of_100_new_files_each_make_little_log_and_memory(database_url: str, sql: Sql) -> None:
    """5.9 MB made 400 MB of log, and 660 MB of memory."""
    async with running(database_url) as server:
        await server.register("j1")
        answers = []
        for number in range(120):
            body = completion("j1", *(video(f"{number}/{n}", file_url=f"https://x/{number}/{n}") for n in range(100)))
            answers.append((await server.send(body))[0])
        assert answers == [200] * 10 + [422] * 110
        ((total, largest),) = sql("SELECT SUM(LENGTH(data)), MAX(LENGTH(data)) FROM rushes_events")
        assert largest <= EVENT_MAX
        assert total < 1024 * 1024
        assert server.app[FOLLOWER]._ring.bytes < 1024 * 1024
        assert sql("SELECT COUNT(*), SUM(outcome = 'dead') FROM rushes_webhooks") == ((120, 110),)
