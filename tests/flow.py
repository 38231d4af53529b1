"""All that the server does for its users, as one function: to be run on databases that are set otherwise."""

import asyncio

from app import times
from app.db.pool import Pool
from app.upkeep.leader import Leader
from app.upkeep.retention import Retention
from tests.client import Client, running
from tests.databases import Sql
from tests.streams import events
from tests.webhooks import completion, video, webhook

# To gbk, E4 BD A0 27 is one character and half of the next, and the quote is gone. In sjis and big5 a backslash is the
# second half of a character.
TRICKY = "你', `aspectRatio` = (SELECT 1) -- \\ 表ソ功許蓋 \" %s é 😀"
EIGHT = "2025-10-23T08:00:0{}Z"


async def flow(url: str, sql: Sql) -> None:
    """On a migrated database; `sql` is an administrator's session in it."""
    sql(
        "INSERT INTO video_generations (id, prompt, authorId, updatedAt) VALUES ('bystander', %s, 'other', NOW(3))",
        TRICKY,
    )
    before = sql("SELECT * FROM video_generations WHERE id = 'bystander'")
    async with running(url, parked_poll=0.05) as server:
        last_id = await _moves(server, sql)
        await _is_parked(server)
        await _conflicts(server, sql)
        await _is_discarded(server, sql)
    async with running(url) as server:
        await _is_replayed(server, last_id)
    await _is_purged(url, sql)
    assert sql("SELECT * FROM video_generations WHERE id = 'bystander'") == before


async def _moves(server: Client, sql: Sql) -> int:
    """A job from its order to its video; the id of its first event."""
    assert (await server.read("/readyz"))[0] == 200
    await server.register("j1", prompt=TRICKY, aspect_ratio="1:1")
    assert (await server.read("/api/videos/j1"))[1]["prompt"] == TRICKY
    async with events(server.session, f"{server.url}/events/j1") as source:
        first = await source.next()
        sent = webhook("j1", "generating", at=EIGHT.format(2))
        assert (await server.send(sent))[0] == 200
        assert (await source.next()).data["progress"] == 50
        assert (await server.send(sent))[1]["status"] == "duplicate"
        assert (await server.send(webhook("j1", "processing", at=EIGHT.format(1))))[1]["status"] == "stale"
        named = completion("j1", video(f"one/{TRICKY}", filename=f"{TRICKY}.mp4"), video("two"))
        named["data"]["metadata"]["prompt_used"] = TRICKY
        assert (await server.send(named))[0] == 200
        done = await source.next()
        assert (done.event, len(done.data["videos"])) == ("completed", 2)
    _, gallery = await server.read("/api/videos/user")
    (job,) = gallery["generations"]
    assert (job["prompt"], job["aspect_ratio"]) == (TRICKY, "1:1")
    assert [file["file_path"] for file in job["videos"]] == [f"one/{TRICKY}", "two"]
    assert sql("SELECT status, HEX(prompt) FROM video_generations WHERE id = 'j1'") == (
        ("COMPLETED", TRICKY.encode().hex().upper()),
    )
    assert sql("SELECT COUNT(*) FROM video_files WHERE metadata LIKE '%%表ソ%%'") == ((2,),)
    assert first.id is not None
    return first.id


async def _is_parked(server: Client) -> None:
    assert (await server.send(webhook("late", "generating")))[0] == 404
    await server.register("late")
    async with asyncio.timeout(10):
        while (await server.read("/api/videos/late"))[1]["progress"] != 50:
            await asyncio.sleep(0.02)


async def _conflicts(server: Client, sql: Sql) -> None:
    """A key of another job's changes nothing; when it is free, the dead letter can be tried again."""
    await server.register("j2")
    code, body = await server.send(completion("j2", video("other"), video("two")))
    assert (code, body["code"]) == (409, "key_conflict")
    assert sql("SELECT status FROM video_generations WHERE id = 'j2'") == (("PENDING",),)
    assert sql("SELECT COUNT(*) FROM video_files WHERE generationId = 'j2'") == ((0,),)
    sql("UPDATE video_files SET s3Key = 'moved' WHERE s3Key = 'two'")
    async with server.session.post(f"{server.url}/api/admin/webhooks/{body['webhook_id']}/replay") as answer:
        assert ((await answer.json())["outcome"], answer.status) == ("applied", 200)
    assert sql("SELECT status FROM video_generations WHERE id = 'j2'") == (("COMPLETED",),)


async def _is_discarded(server: Client, sql: Sql) -> None:
    code, body = await server.send({"job_id": TRICKY})
    assert (code, body["code"], body["job_id"]) == (400, "invalid_payload", TRICKY)
    async with server.session.post(f"{server.url}/api/admin/webhooks/{body['webhook_id']}/discard") as answer:
        assert (await answer.json())["changed"] is True
    assert sql("SELECT outcome FROM rushes_webhooks WHERE id = %s", body["webhook_id"]) == (("discarded",),)
    _, listed = await server.read("/api/admin/webhooks?outcome=discarded")
    assert [(found["id"], found["job_id"]) for found in listed["webhooks"]] == [(body["webhook_id"], TRICKY)]


async def _is_replayed(server: Client, last_id: int) -> None:
    """A client that comes back to another process gets all that it missed, in order, and then what follows."""
    async with events(server.session, f"{server.url}/events", last_id=last_id) as source:
        missed = [await source.next() for _ in range(6)]
        assert [event.id for event in missed] == list(range(last_id + 1, last_id + 7))
        assert [event.event for event in missed] == ["progress", "completed"] + ["progress"] * 3 + ["completed"]
        await server.register("j3", prompt=TRICKY)
        assert (await server.send(webhook("j3", "generating")))[0] == 200
        assert [(await source.next()).id for _ in range(2)] == [last_id + 7, last_id + 8]


async def _is_purged(url: str, sql: Sql) -> None:
    old = times.sql(times.now() - 40 * 86_400_000_000)
    for table, column in (("rushes_webhooks", "received_at"), ("rushes_events", "created_at")):
        sql(f"UPDATE {table} SET {column} = %s", old)
    webhooks, events_ = (sql(f"SELECT COUNT(*) FROM {name}")[0][0] for name in ("rushes_webhooks", "rushes_events"))
    pool, leader = Pool(url, 1, 10.0), Leader(url)
    deleted = await Retention(pool, leader, days=30).purge()
    pool.close()
    leader.close()
    assert (deleted["webhooks"], deleted["events"]) == (webhooks, events_ - 1)
    assert sql("SELECT COUNT(*) FROM rushes_webhooks") == ((0,),)
