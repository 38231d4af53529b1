"""Several processes with Redis between them: it makes events fast, and whatever it loses is not lost."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import orjson
import pytest

from app.appkeys import BUS, FOLLOWER, LOG
from app.db.errors import DatabaseAwayError
from app.db.log import Log
from app.domain.event import LogEvent
from app.push.bus import Bus, check_url, decode, encode
from tests.client import Client, running
from tests.databases import Databases, Sql
from tests.redis import RedisServer, redis_server
from tests.streams import Wanderer, events
from tests.webhooks import webhook
from tests.writing import log_ids

# Nothing is found in the log by looking into it now and then, so it was told or looked up for a reason.
NEVER = {"log_poll": 3600, "log_poll_with_redis": 3600}


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with redis_server(tmp_path) as started:
        yield started


async def until(condition: Callable[[], Any], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def bus(server: Client) -> Bus:
    found = server.app[BUS]
    assert found is not None
    return found


def linked(*servers: Client) -> Callable[[], bool]:
    return lambda: all(bus(server).connected for server in servers)


def parted(*servers: Client) -> Callable[[], bool]:
    return lambda: not any(bus(server).connected for server in servers)


@asynccontextmanager
async def two(database_url: str, redis: RedisServer, **settings: Any) -> AsyncIterator[tuple[Client, Client]]:
    """Two servers that hear of each other."""
    chosen = {"redis_url": redis.url} | NEVER | settings
    async with running(database_url, **chosen) as one, running(database_url, **chosen) as other:
        await until(linked(one, other))
        await one.register("j1")
        await until(lambda: other.app[FOLLOWER].last_id == 1)
        yield one, other


async def moved(server: Client, *statuses: str) -> None:
    for status in statuses:
        code, _ = await server.send(webhook("j1", status))
        assert code == 200


async def test_commit_reaches_the_other_process_without_a_look_into_the_log(
    database_url: str, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two(database_url, redis) as (one, other):

        async def unreadable(*_args: object, **_kwargs: object) -> NoReturn:
            raise ConnectionError

        async with events(other.session, f"{other.url}/events/j1") as source:
            await source.next()
            monkeypatch.setattr(other.app[LOG], "after", unreadable)
            await moved(one, "processing", "generating")
            assert [(e.id, e.data["progress"]) for e in await source.take(2)] == [(2, 25), (3, 50)]


async def test_registered_job_is_told_too(database_url: str, redis: RedisServer) -> None:
    async with two(database_url, redis) as (one, other):
        async with events(other.session, f"{other.url}/events") as source:
            await source.next()
            await one.register("j2")
            assert (await source.next()).data["job_id"] == "j2"


@pytest.mark.parametrize("setting", ["redis_message_max", "redis_buffer_max"])
async def test_commits_too_large_to_be_told_are_told_by_their_id(
    database_url: str, redis: RedisServer, setting: str
) -> None:
    async with two(database_url, redis, **{setting: 100}) as (one, other):
        async with events(other.session, f"{other.url}/events/j1") as source:
            await source.next()
            await moved(one, "processing", "generating")
            assert [e.id for e in await source.take(2)] == [2, 3]


async def test_restarted_redis_is_a_reason_to_look_into_the_log(database_url: str, redis: RedisServer) -> None:
    async with two(database_url, redis) as (one, other):
        async with events(other.session, f"{other.url}/events/j1") as source:
            await source.next()
            redis.kill()
            await until(parted(one, other))
            # The look for the lost link must be over: what follows is found for the new one.
            await until(lambda: not other.app[FOLLOWER]._must_read)
            await moved(one, "processing", "generating")
            await redis.start()
            assert [e.id for e in await source.take(2)] == [2, 3]
            await until(linked(one, other))
            await moved(one, "downloading")
            assert (await source.next()).id == 4


async def test_without_redis_the_tail_of_the_log_is_followed(database_url: str, redis: RedisServer) -> None:
    async with two(database_url, redis, log_poll=0.05) as (one, other):
        async with events(other.session, f"{other.url}/events/j1") as source:
            await source.next()
            redis.kill()
            await until(parted(one, other))
            await moved(one, "processing", "generating")
            assert [e.id for e in await source.take(2)] == [2, 3]


async def test_redis_that_says_nothing_any_more_is_given_up_and_slows_no_sender(
    database_url: str, redis: RedisServer
) -> None:
    async with two(database_url, redis, log_poll=0.05) as (one, other):
        async with events(other.session, f"{other.url}/events/j1") as source:
            await source.next()
            redis.freeze()
            async with asyncio.timeout(1.5):
                await moved(one, "processing", "generating")
            assert [e.id for e in await source.take(2)] == [2, 3]
            assert not bus(other).connected
            redis.thaw()
            await until(linked(one, other))
            await moved(one, "downloading")
            assert (await source.next()).id == 4


async def test_connections_that_redis_drops_lose_nothing(database_url: str, redis: RedisServer) -> None:
    async with two(database_url, redis) as (one, other):
        async with events(other.session, f"{other.url}/events/j1") as source, redis.client() as client:
            await source.next()
            for number in range(2, 12):
                for kind in ("pubsub", "normal"):
                    await client.client_kill_filter(_type=kind, skipme=True)
                await moved(one, "generating")
                assert (await source.next()).id == number


async def test_flushed_redis_loses_nothing(database_url: str, redis: RedisServer) -> None:
    async with two(database_url, redis) as (one, other), redis.client() as client:
        async with events(other.session, f"{other.url}/events/j1") as source:
            await source.next()
            await client.flushall()
            await moved(one, "processing")
            assert (await source.next()).id == 2


async def test_message_that_got_lost_is_found_by_the_next_one(
    database_url: str, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two(database_url, redis) as (one, other):
        async with events(other.session, f"{other.url}/events/j1") as source:
            await source.next()
            with monkeypatch.context() as patch:
                patch.setattr(bus(one), "publish", lambda _: None)
                await moved(one, "processing")
            await moved(one, "generating")
            assert [e.id for e in await source.take(2)] == [2, 3]


async def test_message_that_got_lost_without_a_next_one_is_found_by_the_slow_look(
    database_url: str, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two(database_url, redis, log_poll_with_redis=0.2) as (one, other):
        async with events(other.session, f"{other.url}/events/j1") as source:
            await source.next()
            monkeypatch.setattr(bus(one), "publish", lambda _: None)
            await moved(one, "processing")
            assert (await source.next()).id == 2


async def test_repeated_and_late_messages_are_not_sent_again(database_url: str, redis: RedisServer) -> None:
    async with two(database_url, redis) as (one, other), redis.client() as client, client.pubsub() as spy:
        await spy.psubscribe("rushes/*")
        await spy.get_message(timeout=5)
        async with events(other.session, f"{other.url}/events/j1") as source:
            await source.next()
            await moved(one, "processing", "generating")
            heard = [await spy.get_message(timeout=5) for _ in range(2)]
            for message in [*heard, *reversed(heard)]:
                await client.publish(message["channel"], message["data"])
            await moved(one, "downloading")
            assert [e.id for e in await source.take(3)] == [2, 3, 4]


MALFORMED = [
    b"",
    b"\xff\xfe",
    b"{",
    b"[]",
    b"null",
    b'{"sender":"x"}',
    b'{"sender":"x","version":2,"last":9,"events":[]}',
    b'{"sender":"x","version":1,"last":-1,"events":[]}',
    b'{"sender":"x","version":1,"last":9,"events":[[2,"j1","dev",null,"progress"]]}',
    b'{"sender":"x","version":1,"last":9,"events":[["2","j1","dev",null,"progress","{}"]]}',
    b'{"sender":"x","version":1,"last":2,"events":[[2,"j1","dev",null,"progress","{}\\n\\nid: 99\\n\\n"]]}',
    b'{"sender":"x","version":1,"last":2,"events":[[2,"j1","dev",null,"progress\\ndata: x","{}"]]}',
    b'{"sender":"x","version":1,"last":99999999999999999999,"events":[]}',
]


@pytest.mark.parametrize("message", MALFORMED)
def test_malformed_message_is_told_as_such_without_its_content(message: bytes) -> None:
    with pytest.raises(ValueError) as error:
        decode(message)
    assert "j1" not in str(error.value)


async def test_malformed_messages_are_ignored_and_do_not_end_the_link(database_url: str, redis: RedisServer) -> None:
    async with two(database_url, redis) as (one, other), redis.client() as client:
        [channel] = await client.pubsub_channels("rushes/*")
        async with events(other.session, f"{other.url}/events/j1") as source:
            await source.next()
            for message in MALFORMED:
                assert await client.publish(channel, message) == 2
            await moved(one, "processing", "generating")
            assert [e.id for e in await source.take(2)] == [2, 3]


def test_message_says_what_was_committed() -> None:
    sent = [
        LogEvent(7, "j\u00e9", "u", None, "progress", b'{"a":"\\n\xc3\xa9"}', "7f3a"),
        LogEvent(8, "j", "u", "o", "failed", b"{}", "0b"),
    ]
    assert decode(encode("me", 8, sent)) == (8, sent)


def test_events_of_a_version_that_tells_no_digits_are_only_known_to_exist() -> None:
    row = b'[8,"j1","dev",null,"progress","{}"]'
    assert decode(b'{"sender":"x","version":1,"last":8,"events":[%b]}' % row) == (8, [])


def test_message_is_understood_by_a_version_that_knows_no_digits() -> None:
    told = orjson.loads(encode("me", 7, [LogEvent(7, "j", "u", None, "progress", b"{}", "7f3a")]))
    assert told["version"] == 1
    assert told["events"] == [[7, "j", "u", None, "progress", "{}"]]


async def test_two_installations_on_one_redis_do_not_mix(
    database_url: str, databases: Databases, redis: RedisServer
) -> None:
    async with two(database_url, redis) as (one, _):
        async with running(databases.make(), redis_url=redis.url, **NEVER) as stranger:
            await until(linked(stranger))
            await moved(one, "processing", "generating")
            await stranger.register("j1")
            async with redis.client() as client:
                assert len(await client.pubsub_channels("rushes/*")) == 2
            assert [e.id for e in stranger.app[FOLLOWER].since(0, 9, job_id="j1") or []] == [1]
            assert one.app[FOLLOWER].last_id == 3


async def test_readiness_names_redis_and_does_not_depend_on_it(database_url: str, redis: RedisServer) -> None:
    async with two(database_url, redis) as (one, _):
        assert await one.read("/readyz") == (200, {"status": "ready", "database": "ok", "redis": "ok"})
        redis.kill()
        await until(parted(one))
        assert await one.read("/readyz") == (200, {"status": "degraded", "database": "ok", "redis": "out of reach"})


async def test_server_starts_without_the_redis_that_it_is_to_use(database_url: str, redis: RedisServer) -> None:
    redis.kill()
    async with running(database_url, redis_url=redis.url, log_poll=0.05) as one:
        await one.register("j1")
        await redis.start()
        await until(linked(one))


def ignore(_: object) -> None:
    """Of what the bus tells."""


async def test_commits_that_wait_for_redis_are_bounded() -> None:
    bus = Bus("unix:///nowhere", on_news=ignore, on_more=ignore, on_link=ignore, buffer_max=10_000, message_max=10_000)
    telling = asyncio.create_task(bus.tell("c"))
    for number in range(1, 5000):
        bus.publish([LogEvent(number, "j", "u", None, "progress", b"{}" * 100)])
        assert bus._size <= 10_000
        assert len(bus._waiting) <= 100
        if number % 500 == 0:
            await asyncio.sleep(0.01)
    telling.cancel()
    with suppress(asyncio.CancelledError):
        await telling


@pytest.mark.parametrize(
    "url", ["redis://:hush@h:port/0", "http://:hush@h", "redis://u:hu#hush@h:1", "redis://h?hush=1"]
)
def test_address_that_cannot_work_is_told_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="REDIS_URL must look like") as error:
        check_url(url)
    assert "hush" not in str(error.value)


@pytest.mark.parametrize("killed", [False, True])
async def test_clients_that_hop_between_processes_see_each_event_once_whatever_becomes_of_redis(
    database_url: str, sql: Sql, redis: RedisServer, killed: bool
) -> None:
    jobs, rounds = [f"j{n}" for n in range(5)], 12
    chosen = {"redis_url": redis.url, "log_poll": 0.1, "log_poll_with_redis": 0.5}
    async with running(database_url, **chosen) as one, running(database_url, **chosen) as other:
        await until(linked(one, other))
        for job in jobs:
            await one.register(job)
        last = len(jobs) * (rounds + 1)
        chooser = random.Random(5)
        wanderers = [Wanderer("/events", seed) for seed in range(8)]
        visits = [asyncio.create_task(w.visit(lambda: chooser.choice([one, other]).url, last)) for w in wanderers]
        await asyncio.gather(*(w.arrived.wait() for w in wanderers))
        for number in range(rounds):
            if killed and number % 4 == 1:
                redis.kill()
            if killed and number % 4 == 3:
                await redis.start()
                await until(linked(one, other))
            posts = (chooser.choice([one, other]).send(webhook(job, "generating")) for job in jobs)
            assert {code for code, _ in await asyncio.gather(*posts)} == {200}
        async with asyncio.timeout(40):
            await asyncio.gather(*visits)
        assert log_ids(sql) == list(range(1, last + 1))
        for wanderer in wanderers:
            assert wanderer.seen == list(range(wanderer.seen[0], last + 1))


async def test_bus_is_joined_also_when_the_log_could_not_tell_its_name_at_the_start(
    database_url: str, sql: Sql, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, name = asyncio.Event(), Log.name

    async def away_at_first(log: Log) -> str:
        if not asked.is_set():
            asked.set()
            raise DatabaseAwayError("for a test")
        return await name(log)

    monkeypatch.setattr(Log, "name", away_at_first)
    async with running(database_url, redis_url=redis.url, log_poll=0.01) as server:
        await asked.wait()
        await until(linked(server))
