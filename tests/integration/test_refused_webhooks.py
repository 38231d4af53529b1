"""Webhooks that are refused, over HTTP: what the sender is answered, and what is kept of them."""

import asyncio
import io
from collections.abc import AsyncIterator

import pytest

from tests.client import Client, running
from tests.databases import Sql
from tests.webhooks import completion, video, webhook


async def test_invalid_payload_names_its_fields_and_is_kept(server: Client, sql: Sql) -> None:
    code, body = await server.send({"job_id": "j1", "status": "exploded", "content_type": "video"})
    assert (code, body["code"]) == (400, "invalid_payload")
    assert body["error"].startswith("Invalid payload: status")
    assert [detail["field"] for detail in body["details"]] == ["status"]
    assert sql("SELECT outcome, error_code, payload LIKE '%%exploded%%' FROM rushes_webhooks") == (
        ("dead", "invalid_payload", 1),
    )


async def test_invalid_webhook_is_found_by_the_job_that_it_names(server: Client, sql: Sql) -> None:
    code, body = await server.send(webhook("inv", "Exploded"))
    assert (code, body["job_id"]) == (400, "inv")
    await server.send(b"[]")
    _, page = await server.read("/api/admin/webhooks", params={"job_id": "inv"})
    assert [(w["id"], w["job_id"], w["status"], w["version"], w["outcome"]) for w in page["webhooks"]] == [
        (body["webhook_id"], "inv", "exploded", "v1", "dead")
    ]
    # What was kept by an older program is found once it has been tried again.
    sql("UPDATE rushes_webhooks SET job_id = NULL, status = NULL, version = NULL")
    url = f"{server.url}/api/admin/webhooks/{body['webhook_id']}/replay"
    async with server.session.post(url) as answer:
        replayed = await answer.json()
    assert (replayed["outcome"], replayed["job_id"], replayed["status"]) == ("dead", "inv", "exploded")
    assert sql("SELECT job_id, status, version FROM rushes_webhooks WHERE attempts = 2") == (("inv", "exploded", "v1"),)


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe\x00", b"[]"])
async def test_body_that_is_no_webhook_is_kept_byte_for_byte(server: Client, sql: Sql, body: bytes) -> None:
    code, answer = await server.send(body)
    assert (code, answer["code"]) == (400, "invalid_payload")
    assert sql("SELECT payload FROM rushes_webhooks") == ((body,),)


async def test_key_of_another_job_is_a_conflict_that_changes_nothing(server: Client, sql: Sql) -> None:
    await server.register("j1")
    await server.register("j2")
    await server.send(completion("j1", video("k/1")))
    code, body = await server.send(completion("j2", video("k/2"), video("k/1")))
    assert (code, body["code"]) == (409, "key_conflict")
    assert sql("SELECT status FROM video_generations WHERE id = 'j2'") == (("PENDING",),)
    assert sql("SELECT s3Key FROM video_files") == (("k/1",),)
    assert sql("SELECT outcome FROM rushes_webhooks WHERE job_id = 'j2'") == (("dead",),)


async def test_key_that_differs_only_by_the_tables_collation_is_a_conflict(server: Client, sql: Sql) -> None:
    await server.register("j1")
    await server.register("j2")
    await server.send(completion("j1", video("clé")))
    code, body = await server.send(completion("j2", video("CLE")))
    assert (code, body["code"]) == (409, "key_conflict")
    code, body = await server.send(completion("j2", video("a"), video("A")))
    assert (code, body["code"]) == (409, "key_conflict")
    assert sql("SELECT COUNT(*) FROM video_files") == ((1,),)


async def test_value_that_the_table_cannot_hold_is_a_dead_letter(server: Client, sql: Sql) -> None:
    await server.register("j1")
    code, body = await server.send(completion("j1", video("k/1", file_size=3_000_000_000)))
    assert (code, body["code"]) == (422, "apply_failed")
    assert "fileSize" in body["error"]
    assert sql("SELECT status FROM video_generations") == (("PENDING",),)
    assert sql("SELECT outcome, error_code FROM rushes_webhooks") == (("dead", "apply_failed"),)


@pytest.mark.parametrize(
    ("content_type", "code", "word"), [("text/plain", 415, "not_json"), ("application/vnd.x+json", 404, "unknown_job")]
)
async def test_only_json_media_types_are_read(server: Client, content_type: str, code: int, word: str) -> None:
    status, body = await server.send(b'{"job_id": "x", "status": "pending", "content_type": "video"}',
                                     {"Content-Type": content_type})  # fmt: skip
    assert (status, body["code"]) == (code, word)


@pytest.mark.parametrize("declared", [True, False])
async def test_body_over_the_limit_is_refused(server: Client, sql: Sql, declared: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield b" " * 65536

    body = io.BytesIO(b" " * (1024 * 1024 + 1)) if declared else pieces()
    url = server.url + "/api/webhooks/video-completion"
    async with server.session.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
        assert (answer.status, (await answer.json())["code"]) == (413, "too_large")
    assert sql("SELECT COUNT(*) FROM rushes_webhooks") == ((0,),)


async def test_body_over_the_limit_is_refused_also_where_it_comes_whole_and_undeclared(
    database_url: str, sql: Sql
) -> None:
    async with running(database_url, max_body_bytes=100) as server:
        head = "POST /api/webhooks/video-completion HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        writer.write(f"{head}Transfer-Encoding: chunked\r\n\r\n65\r\n{' ' * 101}\r\n0\r\n\r\n".encode())
        answer = await reader.readline()
        writer.close()
        assert answer.split()[1] == b"413"
    assert sql("SELECT COUNT(*) FROM rushes_webhooks") == ((0,),)


async def test_body_with_thousands_of_faults_is_refused_shortly_and_harms_no_other(server: Client, sql: Sql) -> None:
    await server.register("j1")
    bad = completion("j1", *([{}] * 3000))
    (code, body), (other, _) = await asyncio.gather(server.send(bad), server.send(webhook("j1", "generating")))
    assert (code, body["code"], other) == (400, "invalid_payload", 200)
    assert len(body["details"]) <= 20
    assert sql("SELECT COUNT(*) FROM rushes_webhooks WHERE outcome = 'dead'") == ((1,),)


async def test_body_that_does_not_arrive_is_given_up(database_url: str) -> None:
    async def never() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with running(database_url, body_timeout=0.2) as server:
        url = server.url + "/api/webhooks/video-completion"
        async with server.session.post(url, data=never(), headers={"Content-Type": "application/json"}) as answer:
            assert (answer.status, (await answer.json())["code"]) == (408, "too_slow")


async def test_dead_letter_names_its_job_though_the_body_is_no_json(server: Client, sql: Sql) -> None:
    for at, raw in enumerate(
        (b'{"job_id": "cut", "status": "completed", "data": {"vi', b"{'job_id': 'cut', 'x': True}")
    ):
        code, body = await server.send(raw)
        assert (code, body["code"], body["job_id"]) == (400, "invalid_payload", "cut"), at
    assert sql("SELECT job_id, outcome FROM rushes_webhooks") == (("cut", "dead"), ("cut", "dead"))
