"""A stream of a job is for whom it was opened: he sees nothing of the next owner of the job's id."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType

from app.appkeys import FOLLOWER, HUB
from app.routes import streams
from tests.client import Client, running
from tests.databases import Sql
from tests.sign_in import SECRET, bearer
from tests.streams import number_of
from tests.webhooks import completion, video, webhook

SENDER = {"X-Webhook-Secret": "geheim"}
ALICE, COLLEAGUE, ADMIN = bearer("alice", 3600), bearer("bert", 3600, org_id="o1"), bearer("boss", 3600, role="admin")


@pytest.fixture
async def server(database_url: str) -> AsyncIterator[Client]:
    async with running(database_url, webhook_secret="geheim", auth_jwt_secret=SECRET) as started:
        await register(started, "alice", "o1")
        yield started


async def register(server: Client, owner: str, organization: str | None = None) -> None:
    order = {"job_id": "j1", "prompt": "the sea", "user_id": owner, "organization_id": organization}
    async with server.session.post(f"{server.url}/api/videos", json=order, headers=SENDER) as answer:
        assert answer.status == 201, await answer.text()


async def moved(server: Client, status: str = "generating", **fields: Any) -> None:
    assert (await server.send(webhook("j1", status) | fields, SENDER))[0] == 200


async def ends(socket_: ClientWebSocketResponse) -> int:
    """The close code; until then nothing may come."""
    message = await socket_.receive(timeout=5)
    assert message.type is WSMsgType.CLOSE, message.data
    return int(message.data)


async def inserted_again(server: Client, sql: Sql) -> None:
    sql("DELETE FROM video_generations")
    await register(server, "carol")


async def given_away(server: Client, sql: Sql) -> None:
    sql("UPDATE video_generations SET authorId = 'carol', organizationId = NULL")
    await moved(server)


async def given_away_and_finished(server: Client, sql: Sql) -> None:
    sql("UPDATE video_generations SET authorId = 'carol', organizationId = 'o2'")
    assert (await server.send(completion("j1", video("k")), SENDER))[0] == 200


@pytest.mark.parametrize("viewer", [ALICE, COLLEAGUE])
@pytest.mark.parametrize("change", [inserted_again, given_away, given_away_and_finished])
async def test_stream_ends_when_its_job_becomes_somebody_elses_and_tells_nothing_of_it(
    server: Client, sql: Sql, viewer: dict[str, str], change: Callable[[Client, Sql], Awaitable[None]]
) -> None:
    path = "/events/j1"
    async with (
        server.session.ws_connect(f"{server.url}/ws/j1", headers=viewer) as socket_,
        server.session.get(server.url + path, headers=viewer) as sse,
    ):
        assert number_of((await socket_.receive_json())["id"]) == 1
        await sse.content.readuntil(b"id: 1-")
        await change(server, sql)
        assert await ends(socket_) == 4404
        async with asyncio.timeout(5):
            assert b"id: " not in await sse.content.read()
    async with asyncio.timeout(5):
        while len(server.app[HUB]):
            await asyncio.sleep(0.01)
    assert (await server.read(path, headers=viewer))[0] == 404


async def test_who_may_still_see_the_job_goes_on(server: Client, sql: Sql) -> None:
    async with (
        server.session.ws_connect(f"{server.url}/ws/j1", headers=ADMIN) as admin,
        server.session.ws_connect(f"{server.url}/ws/j1", headers=COLLEAGUE) as colleague,
        server.session.ws_connect(f"{server.url}/ws/j1", headers=ALICE) as author,
    ):
        for socket_ in (admin, colleague, author):
            await socket_.receive_json()
        sql("UPDATE video_generations SET authorId = 'carol'")
        await moved(server)
        assert [number_of((await socket_.receive_json())["id"]) for socket_ in (admin, colleague)] == [2, 2]
        assert await ends(author) == 4404
        sql("UPDATE video_generations SET authorId = 'alice', organizationId = 'o2'")
        await moved(server, "downloading")
        assert number_of((await admin.receive_json())["id"]) == 3
        assert await ends(colleague) == 4404


async def test_job_that_comes_to_an_organisation_and_leaves_it_is_shown_for_that_time(server: Client, sql: Sql) -> None:
    sql("UPDATE video_generations SET organizationId = NULL")
    async with server.session.ws_connect(f"{server.url}/ws/j1", headers=ALICE) as author:
        assert await author.receive_json()
        sql("UPDATE video_generations SET organizationId = 'o1'")  # which nobody tells the channel yet
        async with server.session.ws_connect(f"{server.url}/ws/j1", headers=COLLEAGUE) as colleague:
            assert number_of((await colleague.receive_json())["id"]) == 1
            await moved(server)
            assert [number_of((await socket_.receive_json())["id"]) for socket_ in (author, colleague)] == [2, 2]
            sql("UPDATE video_generations SET organizationId = NULL")
            await moved(server, "downloading")
            assert number_of((await author.receive_json())["id"]) == 3
            assert await ends(colleague) == 4404


async def test_listener_who_came_after_an_unseen_change_does_not_hear_what_is_changed_back(
    server: Client, sql: Sql
) -> None:
    async with server.session.ws_connect(f"{server.url}/ws/j1", headers=ALICE) as author:
        assert await author.receive_json()
        await moved(server, "processing")
        assert await author.receive_json()
        sql("UPDATE video_generations SET organizationId = 'o2'")
        headers = bearer("stranger", org_id="o2")
        async with server.session.ws_connect(f"{server.url}/ws/j1", headers=headers) as stranger:
            assert await stranger.receive_json()
            sql("UPDATE video_generations SET organizationId = 'o1'")
            await moved(server)
            assert number_of((await author.receive_json())["id"]) == 3
            assert await ends(stranger) == 4404


async def test_log_that_is_taken_back_shows_nobody_the_next_owners_job(server: Client, sql: Sql) -> None:
    async with (
        server.session.ws_connect(f"{server.url}/ws/j1", headers=ALICE) as author,
        server.session.ws_connect(f"{server.url}/ws/j1", headers=ADMIN) as admin,
    ):
        assert [number_of((await socket_.receive_json())["id"]) for socket_ in (author, admin)] == [1, 1]
        sql("UPDATE rushes_events SET data = '{}'")
        sql("UPDATE video_generations SET authorId = 'carol', organizationId = NULL")
        server.app[FOLLOWER]._was_away = True
        assert await ends(author) == 4404
        assert [(await admin.receive_json())["event"] for _ in range(2)] == ["reset", "progress"]


async def test_log_that_is_taken_back_ends_the_stream_of_a_job_that_is_gone(server: Client, sql: Sql) -> None:
    async with server.session.ws_connect(f"{server.url}/ws/j1", headers=ALICE) as author:
        assert await author.receive_json()
        sql("UPDATE rushes_events SET data = '{}'")
        sql("DELETE FROM video_generations")
        server.app[FOLLOWER]._was_away = True
        assert await ends(author) == 4404


@pytest.mark.parametrize("ring_size", [1, 1000])
async def test_replay_tells_only_what_he_who_comes_back_may_see(database_url: str, sql: Sql, ring_size: int) -> None:
    """The job went from one organisation to another, and its author stayed."""
    settings = {"webhook_secret": "geheim", "auth_jwt_secret": SECRET, "ring_size": ring_size}
    async with running(database_url, **settings) as server:
        await register(server, "alice", "o2")
        await moved(server, error="of the time before", status="failed")
        sql("UPDATE video_generations SET organizationId = 'o1'")
        await moved(server, "generating")
        await moved(server, "downloading")
        for viewer, seen in ((COLLEAGUE, [3, 4]), (ALICE, [2, 3, 4])):
            async with server.session.ws_connect(f"{server.url}/ws/j1?last_event_id=1", headers=viewer) as socket_:
                assert [number_of((await socket_.receive_json())["id"]) for _ in seen] == seen


async def test_change_while_a_stream_is_opened_ends_it_too(
    server: Client, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the job and the replay it became somebody else's."""
    first, changed = streams._first, asyncio.Event()

    async def slow(*args: Any) -> Any:
        found = await first(*args)
        if not changed.is_set():
            changed.set()
            await given_away(server, sql)
            async with asyncio.timeout(5):
                while server.app[FOLLOWER].last_id < 2:
                    await asyncio.sleep(0.01)
        return found

    monkeypatch.setattr(streams, "_first", slow)
    async with server.session.ws_connect(f"{server.url}/ws/j1", headers=ALICE) as author:
        assert number_of((await author.receive_json())["id"]) == 1
        assert await ends(author) == 4404


async def test_finished_job_whose_id_had_another_owner_stops_a_reader_who_comes_back(
    database_url: str, sql: Sql
) -> None:
    settings = {"webhook_secret": "geheim", "auth_jwt_secret": SECRET, "stream_end_completed": 0.01}
    async with running(database_url, **settings) as server:
        await register(server, "carol")
        await moved(server)
        sql("DELETE FROM video_generations")
        sql(
            "INSERT INTO video_generations (id, prompt, authorId, status, progress, createdAt, updatedAt, completedAt)"
            " VALUES ('j1', 'the sea', 'alice', 'COMPLETED', 100, NOW(3), '2025-01-01', '2025-01-01')"
        )
        async with server.session.get(f"{server.url}/events/j1?last_event_id=1", headers=ALICE) as answer:
            assert answer.status == 204
