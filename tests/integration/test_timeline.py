"""The timeline of a job: what the log has of it, and of no other."""

from tests.client import Client
from tests.databases import Sql
from tests.tables import add
from tests.webhooks import completion, video, webhook


async def timeline(server: Client) -> list[tuple[str, str, str | None]]:
    _, job = await server.read("/api/videos/j1")
    return [(step["event"], step["status"], step["message"]) for step in job["events"]]


async def test_timeline_of_long_events_is_whole(server: Client, sql: Sql) -> None:
    await server.register("j1")
    for second in range(4):
        files = [video(f"k{number}", file_url="https://x/" + f"{second}" * 2000) for number in range(100)]
        await server.send(completion("j1", *files, at=f"2025-10-23T14:00:0{second}Z"))
    await server.send(webhook("j1", "failed") | {"error": "quota"})
    _, job = await server.read("/api/videos/j1")
    steps = job["events"]
    assert [step["event"] for step in steps] == ["progress"] + ["completed"] * 4
    assert steps[-1]["id"] == job["last_event_id"]
    assert sql("SELECT MAX(LENGTH(data)) > 200000 FROM rushes_events") == ((1,),)
    assert steps[-1]["message"] == "Génération terminée avec succès"


async def test_timeline_has_the_newest_of_many_events(server: Client) -> None:
    await server.register("j1")
    for _ in range(101):
        await server.send(webhook("j1", "generating"))
        await server.send(webhook("j1", "downloading"))
    await server.send(webhook("j1", "failed"))
    told = await timeline(server)
    assert len(told) == 200
    assert [status for _, status, _ in told[-3:]] == ["generating", "downloading", "failed"]


async def test_timeline_has_nothing_of_an_earlier_job_of_the_same_id_and_author(server: Client, sql: Sql) -> None:
    await server.register("j1")
    await server.send(webhook("j1", "failed"))
    sql("DELETE FROM video_generations")
    await server.register("j1")
    await server.send(webhook("j1", "generating"))
    assert [status for _, status, _ in await timeline(server)] == ["pending", "generating"]


async def test_timeline_of_another_programs_job_has_nothing_that_is_older_than_its_row(
    server: Client, sql: Sql
) -> None:
    await server.register("j1")
    await server.send(webhook("j1", "failed"))
    sql("UPDATE rushes_events SET created_at = created_at - INTERVAL 10 MINUTE")
    sql("DELETE FROM video_generations")
    ((moment,),) = sql("SELECT CAST(UTC_TIMESTAMP(3) AS CHAR)")
    add(sql, "j1", moment)
    await server.send(webhook("j1", "generating"))
    assert [status for _, status, _ in await timeline(server)] == ["generating"]


async def test_timeline_is_told_though_the_row_was_made_by_a_clock_that_is_ahead(server: Client, sql: Sql) -> None:
    ((moment,),) = sql("SELECT CAST(UTC_TIMESTAMP(3) + INTERVAL 2 HOUR AS CHAR)")
    add(sql, "j1", moment)
    await server.send(webhook("j1", "generating"))
    assert [status for _, status, _ in await timeline(server)] == ["generating"]


async def test_text_that_looks_like_the_end_of_what_is_read_is_told_whole(server: Client, sql: Sql) -> None:
    await server.register("j1")
    said = ',"error":' + "x" * 6000
    await server.send(webhook("j1", "generating"))
    sql("UPDATE rushes_events SET data = JSON_SET(data, '$.message', %s) WHERE event = 'progress' AND id = 2", said)
    sql("UPDATE rushes_events SET data = REPLACE(REPLACE(data, '\": ', '\":'), ', \"', ',\"') WHERE id = 2")
    assert (await timeline(server))[-1] == ("progress", "generating", said)
