"""Videos in an S3 that checks signatures: seen and saved by those who may, for as long as they may."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from multidict import CIMultiDictProxy
from redis.asyncio import Redis
from yarl import URL

from app.appkeys import LEADER, POOL, STORAGE
from app.lifecycle import _retention
from app.upkeep import objects
from app.upkeep.retention import Retention
from tests.client import Client, running
from tests.databases import Sql
from tests.processes import run
from tests.redis import RedisServer
from tests.s3 import S3, SECRET, s3_server
from tests.sign_in import SECRET as TOKENS
from tests.sign_in import SENDERS, bearer
from tests.webhooks import completion, video, webhook

DELETES = {"s3_delete": True, "retention_days": 30}
KEYS = ["j1/plain.mp4", "j1/l'été & la mer+1.mp4"]


@pytest.fixture
async def s3(tmp_path: Path) -> AsyncIterator[S3]:
    async with s3_server(tmp_path / "s3") as server:
        yield server


async def get(
    server: Client, address: str, headers: dict[str, str] | None = None
) -> tuple[int, bytes, CIMultiDictProxy[str]]:
    async with server.session.get(URL(address, encoded=True), headers=headers, allow_redirects=False) as answer:
        return answer.status, await answer.read(), answer.headers


async def finished(server: Client, *keys: str, job_id: str = "j1") -> None:
    await server.register(job_id)
    await server.send(completion(job_id, *(video(key, filename=key.rpartition("/")[2]) for key in keys)))


@pytest.mark.parametrize("key", KEYS)
async def test_video_is_read_by_the_address_that_is_told_and_by_no_other(database_url: str, s3: S3, key: str) -> None:
    s3.put(key, b"0123456789")
    async with running(database_url, **s3.settings) as server:
        await finished(server, key)
        address = (await server.read("/api/videos/j1"))[1]["videos"][0]["file_url"]
        assert (await get(server, address))[:2] == (200, b"0123456789")
        part = await get(server, address, {"Range": "bytes=2-4"})
        assert part[:2] == (206, b"234")
        for tampered in (
            address.replace("X-Amz-Expires=3600", "X-Amz-Expires=9999"),
            address.replace("j1/", "j2/"),
            address[:-1] + ("0" if address[-1] != "0" else "1"),
            address.partition("?")[0],
        ):
            assert (await get(server, tampered))[0] == 403


async def test_address_that_has_expired_is_refused_and_a_new_one_is_told_before(database_url: str, s3: S3) -> None:
    s3.put("k", b"video")
    async with running(database_url, s3_url_ttl=2, **s3.settings) as server:
        await finished(server, "k")
        first = (await server.read("/api/videos/j1"))[1]["videos"][0]["file_url"]
        assert (await get(server, first))[0] == 200
        async with asyncio.timeout(10):
            while (await get(server, first))[0] == 200:
                fresh = (await server.read("/api/videos/j1"))[1]["videos"][0]["file_url"]
                assert (await get(server, fresh))[0] == 200
                await asyncio.sleep(0.1)
        assert (await get(server, first))[0] == 403
        fresh = (await server.read("/api/videos/j1"))[1]["videos"][0]["file_url"]
        assert (await get(server, fresh))[0] == 200


async def test_every_way_to_hear_of_a_video_tells_an_address_and_keeps_none(
    database_url: str, sql: Sql, s3: S3, tmp_path: Path
) -> None:
    s3.put("k", b"video")
    redis = RedisServer(tmp_path)
    await redis.start()
    told = []
    async with running(database_url, redis_url=redis.url, **s3.settings) as server, Redis.from_url(redis.url) as spy:
        pubsub = spy.pubsub()
        await pubsub.psubscribe("*")
        await server.register("j1")
        async with server.events("/events/j1") as live, server.session.ws_connect(f"{server.url}/ws/j1") as socket:
            await live.next()
            await socket.receive_json()
            await server.send(completion("j1", video("k")))
            first = await live.next()
            told += [first.data, (await socket.receive_json())["data"]]
        async with server.events("/events/j1") as snapshot:
            told.append((await snapshot.next()).data)
        assert first.id is not None
        async with server.events("/events", last_id=first.id - 1) as replay:
            told.append((await replay.next()).data)
        told += [(await server.read("/api/videos/user"))[1]["generations"][0], (await server.read("/api/videos/j1"))[1]]
        for shown in told:
            (file,) = shown["videos"]
            assert not [name for name in file if name.startswith("s3")]
            assert (await get(server, file["file_url"]))[:2] == (200, b"video")
        heard = str([await pubsub.get_message(timeout=0.2) for _ in range(20)])
    redis.kill()
    assert "j1" in heard
    kept = [sql(f"SELECT * FROM {table}") for (table,) in sql("SHOW TABLES")]
    for secret in ("X-Amz-", SECRET):
        assert secret not in heard + str(kept)


async def test_download_saves_the_file_under_its_name(database_url: str, s3: S3) -> None:
    name = KEYS[1].rpartition("/")[2]
    for key in KEYS:
        s3.put(key, key.encode())
    async with running(database_url, **s3.settings) as server:
        await finished(server, *KEYS)
        files = (await server.read("/api/videos/j1"))[1]["videos"]
        (file,) = [file for file in files if file["filename"] == name]
        status, _, headers = await get(server, f"{server.url}/api/videos/j1/files/{file['id']}/download")
        assert (status, headers["Cache-Control"]) == (302, "private, no-store")
        address = URL(headers["Location"], encoded=True)
        assert (await get(server, str(address)))[:2] == (200, KEYS[1].encode())
        # S3 answers with this header; nanio checks that it was signed, and goes without.
        said = address.query["response-content-disposition"]
        assert said.endswith("filename*=UTF-8''l%27%C3%A9t%C3%A9%20%26%20la%20mer%2B1.mp4")
        first = await get(server, f"{server.url}/api/videos/j1/download")
        assert (await get(server, first[2]["Location"]))[1] == min(KEYS).encode()


async def test_without_a_bucket_a_download_leads_to_the_stored_address_where_that_is_one_of_the_web(
    server: Client, sql: Sql
) -> None:
    await finished(server, "k1")
    status, _, headers = await get(server, f"{server.url}/api/videos/j1/download")
    assert (status, headers["Location"]) == (302, (await server.read("/api/videos/j1"))[1]["videos"][0]["file_url"])
    sql("UPDATE video_files SET fileUrl = 'javascript:alert(1)'")
    assert (await get(server, f"{server.url}/api/videos/j1/download"))[0] == 404
    for path in ("j1/files/other", "none", "none/files/k1"):
        assert (await get(server, f"{server.url}/api/videos/{path}/download"))[0] == 404
    await server.register("j2")
    assert (await get(server, f"{server.url}/api/videos/j2/download"))[0] == 404


async def test_stored_address_that_no_browser_may_be_sent_to_is_answered_404(server: Client, sql: Sql) -> None:
    await finished(server, "k1")
    for url in (
        "https://ok.example/x\r\nSet-Cookie: a=b",
        "https://ok.example/\0x",
        "http://\1",
        "http://[::1",
        "https://",
    ):
        sql("UPDATE video_files SET fileUrl = %s", url)
        assert (await get(server, f"{server.url}/api/videos/j1/download"))[0] == 404


async def test_only_who_may_see_a_job_may_save_its_files(database_url: str, s3: S3) -> None:
    async with running(database_url, auth_jwt_secret=TOKENS, webhook_secret=SENDERS, **s3.settings) as server:
        headers = {"X-Webhook-Secret": SENDERS}
        order = {"job_id": "j1", "user_id": "author", "prompt": "p"}
        async with server.session.post(f"{server.url}/api/videos", json=order, headers=headers) as answer:
            assert answer.status == 201
        await server.send(completion("j1", video("k")), headers)
        url = f"{server.url}/api/videos/j1/download"
        assert [(await get(server, url, who))[0] for who in ({}, bearer("other"), bearer("author"))] == [401, 404, 302]


@pytest.mark.parametrize("wanted", [True, False])
async def test_files_of_a_deleted_job_go_from_the_bucket_only_where_that_is_wanted(
    database_url: str, sql: Sql, s3: S3, wanted: bool
) -> None:
    s3.put("k1", b"video")
    async with running(database_url, **DELETES | {"s3_delete": wanted}, **s3.settings) as server:
        await finished(server, "k1", "gone/already")
        async with server.session.delete(f"{server.url}/api/videos/j1") as answer:
            assert answer.status == 200
        sql("UPDATE rushes_jobs SET deleted_at = NOW(6) - INTERVAL 31 DAY")
        async with asyncio.timeout(20):
            while sql("SELECT COUNT(*) FROM video_generations") != ((0,),):  # the server's own purge may be at it
                await _retention(server.app).purge()
    assert s3.has("k1") is not wanted


async def test_rushes_purge_deletes_files_as_the_server_does(
    database_url: str, sql: Sql, s3: S3, tmp_path: Path
) -> None:
    s3.put("k1", b"video")
    async with running(database_url, **s3.settings) as server:
        await finished(server, "k1")
        await deleted(server, sql, "j1")
    given = {name.upper(): value for name, value in (DELETES | s3.settings).items()}
    code, _, err = await run(tmp_path, "purge", DATABASE_URL=database_url, **given)
    assert code == 0, err
    assert sql("SELECT COUNT(*) FROM video_generations") == ((0,),)
    assert not s3.has("k1")


async def deleted(server: Client, sql: Sql, job_id: str) -> None:
    """Long ago."""
    async with server.session.delete(f"{server.url}/api/videos/{job_id}") as answer:
        assert answer.status == 200
    sql("UPDATE rushes_jobs SET deleted_at = NOW(6) - INTERVAL 31 DAY WHERE job_id = %s", job_id)


async def test_object_of_a_key_is_shown_and_deleted_however_its_address_was_written_and_no_other_is(
    database_url: str, sql: Sql, s3: S3
) -> None:
    s3.put("j1/what?.mp4", b"own")
    s3.put("j1/what", b"of somebody else")
    async with running(database_url, **DELETES, **s3.settings) as server:
        await server.register("j1")
        await server.send(completion("j1", video("j1/what?.mp4", file_url=f"{s3.url}/videos/j1/what?.mp4")))
        address = (await server.read("/api/videos/j1"))[1]["videos"][0]["file_url"]
        assert (await get(server, address))[:2] == (200, b"own")
        await deleted(server, sql, "j1")
        assert (await _retention(server.app).purge())["deleted"] == 1
    assert (s3.has("j1/what?.mp4"), s3.has("j1/what")) == (False, True)


@pytest.mark.parametrize("written", ["my%20video.mp4", "my+video.mp4?x=1", "my%20vide%6F.mp4", None])
async def test_object_that_is_another_jobs_too_is_left(
    database_url: str, sql: Sql, s3: S3, written: str | None
) -> None:
    key = "both/my+video.mp4" if written and "+" in written else "both/my video.mp4"
    s3.put(key, b"video")
    s3.put("j1", b"alone")
    async with running(database_url, **DELETES, **s3.settings) as server:
        await finished(server, key, "j1")
        await finished(server, "k2", job_id="j2")
        if written is None:
            sql("ALTER TABLE video_files DROP INDEX video_files_s3Key_key")
            sql("UPDATE video_files SET s3Key = %s WHERE generationId = 'j2'", key)
        else:
            sql("UPDATE video_files SET fileUrl = %s WHERE s3Key = 'k2'", f"{s3.url}/videos/both/{written}")
        await deleted(server, sql, "j1")
        assert (await _retention(server.app).purge())["deleted"] == 1
        assert (s3.has(key), s3.has("j1")) == (True, False)
        address = (await server.read("/api/videos/j2"))[1]["videos"][0]["file_url"]
        assert (await get(server, address))[:2] == (200, b"video")
        await deleted(server, sql, "j2")
        assert (await _retention(server.app).purge())["deleted"] == 1
        assert s3.has(key) is (written is not None)  # that an address alone names


async def test_object_that_is_named_twice_by_one_job_or_in_another_bucket_by_another_goes(
    database_url: str, sql: Sql, s3: S3
) -> None:
    s3.put("k1", b"video")
    async with running(database_url, **DELETES, **s3.settings) as server:
        await finished(server, "k1", "a/path")
        await finished(server, "k2", job_id="j2")
        sql("UPDATE video_files SET fileUrl = %s WHERE s3Key = 'a/path'", f"{s3.url}/videos/k1")
        sql("UPDATE video_files SET fileUrl = %s WHERE s3Key = 'k2'", f"{s3.url}/others/k1")
        await deleted(server, sql, "j1")
        assert (await _retention(server.app).purge())["deleted"] == 1
    assert not s3.has("k1")


async def test_look_for_other_jobs_of_an_object_passes_all_files_some_at_a_time(
    database_url: str, sql: Sql, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_PASSED", 2)
    s3.put("k1", b"video")
    async with running(database_url, **DELETES, **s3.settings) as server:
        await finished(server, "k1")
        await finished(server, *(f"other/{number}" for number in range(7)), job_id="j2")
        await deleted(server, sql, "j1")
        sql(
            "UPDATE video_files SET fileUrl = %s WHERE generationId = 'j2' ORDER BY id DESC LIMIT 1",
            f"{s3.url}/videos/k1",
        )
        assert (await _retention(server.app).purge())["deleted"] == 1
    assert s3.has("k1")


async def test_bucket_that_is_away_keeps_the_mark_until_it_is_back(database_url: str, sql: Sql, s3: S3) -> None:
    away = s3.settings | {"s3_endpoint_url": "http://127.0.0.1:9"}
    async with running(database_url, **DELETES, **away) as server:
        await finished(server, "k1")
        async with server.session.delete(f"{server.url}/api/videos/j1") as answer:
            assert answer.status == 200
        sql("UPDATE rushes_jobs SET deleted_at = NOW(6) - INTERVAL 31 DAY")
        retention = Retention(server.app[POOL], server.app[LEADER], days=30, remove=server.app[STORAGE].remove)
        assert (await retention.purge())["deleted"] == 0
    assert sql("SELECT COUNT(*) FROM video_files") == ((1,),)


async def test_events_of_earlier_versions_go_out_with_the_address_that_they_hold(
    database_url: str, sql: Sql, s3: S3
) -> None:
    async with running(database_url, **s3.settings) as server:
        await finished(server, "k1")
        await server.send(webhook("j1", "failed"))
        sql("UPDATE rushes_events SET data = JSON_REMOVE(data, '$.videos[0].s3_key')")
    async with running(database_url, **s3.settings) as server, server.events("/events", last_id=1) as replay:
        assert (await replay.next()).data["videos"][0]["file_url"] == video("k1")["file_url"]
