"""Tables that the site made otherwise than Prisma does, and rows that hold what no program of ours would write."""

import base64
from collections.abc import Callable
from itertools import permutations
from typing import Any

import orjson
import pytest

from tests.backend import Backend, answer, job, reconciling
from tests.client import Client, running
from tests.databases import Sql
from tests.streams import events
from tests.tables import UNASKED, add, alter
from tests.waiting import until
from tests.webhooks import completion, video, webhook
from tests.writing import kinds, writing

EARLY, LATE = "2025-10-23T14:00:00Z", "2025-10-23T14:00:01Z"
KINDS = ["DATETIME", "DATETIME(3)", "DATETIME(6)", "TIMESTAMP(6) NULL"]


@pytest.mark.parametrize("kind", KINDS)
async def test_older_webhook_is_stale_whatever_the_precision_of_the_row_it_is_for(
    database_url: str, sql: Sql, kind: str
) -> None:
    alter(sql, "video_generations", f"MODIFY createdAt {kind}")
    add(sql, "j1")
    async with writing(database_url) as harness:
        for status, at, outcome in (("downloading", LATE, "applied"), ("generating", EARLY, "stale")):
            assert kinds(await harness.submit(webhook("j1", status, at=at))) == [outcome]
    assert sql("SELECT progress FROM video_generations") == ((75,),)


async def test_job_in_a_state_of_the_site_s_own_is_at_its_address_in_no_list_and_moved_by_webhooks(
    database_url: str, sql: Sql
) -> None:
    states = "'QUEUED','PENDING','PROCESSING','GENERATING','DOWNLOADING','COMPLETED','FAILED','REJECTED'"
    alter(sql, "video_generations", f"MODIFY status ENUM({states}) NOT NULL DEFAULT 'PENDING'")
    add(sql, "queued", status="QUEUED")
    add(sql, "rejected", status="REJECTED", completedAt="2099-11-20 00:00:00")
    async with running(database_url, **UNASKED) as server:
        for job_id, state in (("queued", "PENDING"), ("rejected", "FAILED")):
            assert (await server.read(f"/api/videos/{job_id}"))[1]["state"] == state
        _, body = await server.read("/api/videos/user")
        assert (body["active"], body["failed"], body["generations"]) == ([], [], [])
        assert (await server.send(webhook("queued", "generating")))[1]["status"] == "generating"
        _, body = await server.read("/api/videos/user")
        assert [(job["id"], job["state"]) for job in body["active"]] == [("queued", "PROCESSING")]


@pytest.mark.parametrize("kind", KINDS)
async def test_sender_s_last_word_is_told_whatever_the_precision(database_url: str, sql: Sql, kind: str) -> None:
    alter(sql, "video_generations", f"MODIFY createdAt {kind}")
    add(sql, "j1")
    async with running(database_url, **UNASKED) as server:
        await server.send(webhook("j1", "completed"))
        assert (await server.read("/api/videos/j1"))[1]["status"] == "completed"


@pytest.mark.parametrize("kind", KINDS)
async def test_job_that_a_webhook_made_has_its_place_in_the_order(database_url: str, sql: Sql, kind: str) -> None:
    alter(sql, "video_generations", f"MODIFY createdAt {kind}")
    async with writing(database_url, create_unknown=True) as harness:
        for status, at, outcome in (("downloading", LATE, "applied"), ("generating", EARLY, "stale")):
            sent = webhook("j1", status, at=at, data={"user_id": "u1"})
            assert kinds(await harness.submit(sent)) == [outcome]
    assert sql("SELECT COUNT(*) FROM video_generations g JOIN rushes_jobs k ON k.created_at = g.createdAt") == ((1,),)


async def test_job_inserted_again_a_microsecond_later_is_another_one(database_url: str, sql: Sql) -> None:
    alter(sql, "video_generations", "MODIFY createdAt DATETIME(6)")
    async with writing(database_url) as harness:
        for created_at in ("2025-10-23 13:00:00.123456", "2025-10-23 13:00:00.123457"):
            sql("DELETE FROM video_generations")
            add(sql, "j1", created_at)
            assert kinds(await harness.submit(webhook("j1", "generating", at=LATE, data={"again": created_at}))) == [
                "applied"
            ] or created_at.endswith("7")
        older = webhook("j1", "processing", at=EARLY)
        sql("DELETE FROM video_generations")
        add(sql, "j1", "2025-10-23 13:00:00.123458")
        assert kinds(await harness.submit(older)) == ["applied"]


async def pages(server: Client) -> list[str]:
    """The ids of the gallery, one page each."""
    shown: list[str] = []
    cursor = ""
    while cursor is not None:
        code, page = await server.read(f"/api/videos/user?limit=1{cursor and '&cursor=' + cursor}")
        assert code == 200, page
        assert len(shown) < 20
        shown += [one["id"] for one in page["generations"]]
        cursor = page["next_cursor"]
    return shown


async def test_gallery_shows_each_video_once_whose_times_differ_by_microseconds(database_url: str, sql: Sql) -> None:
    alter(sql, "video_generations", "MODIFY createdAt DATETIME(6)")
    for n in range(6):
        add(sql, f"j{n}", f"2025-10-23 13:00:00.12340{n}", status="COMPLETED")
    async with running(database_url, **UNASKED) as server:
        assert await pages(server) == ["j5", "j4", "j3", "j2", "j1", "j0"]


async def test_gallery_shows_each_video_once_though_some_have_no_time(database_url: str, sql: Sql) -> None:
    alter(sql, "video_generations", "MODIFY createdAt DATETIME NULL", "MODIFY updatedAt DATETIME NULL")
    odd = ["2025-10-23 13:00:00", "2025-10-00 00:00:00", "2025-00-00 00:00:00", "2024-01-01 00:00:00"]
    for at in (*odd, "0000-00-00 00:00:00", None):
        for n in range(2):
            add(sql, f"{at} {n}", at, status="COMPLETED")
    async with running(database_url, **UNASKED) as server:
        assert await pages(server) == [f"{at} {n}" for at in (*odd, "0000-00-00 00:00:00", None) for n in (1, 0)]


@pytest.mark.parametrize("at", [5, -1, 2**60, 1.5, "x", "2025-13-01 00:00:00", "2025-02-31 00:00:00", "' OR 1", [], {}])
async def test_cursor_that_nobody_gave_out_is_refused(server: Client, at: object) -> None:
    cursor = base64.urlsafe_b64encode(orjson.dumps([at, "j1"])).decode()
    code, told = await server.read(f"/api/videos/user?cursor={cursor}")
    assert (code, told.get("code")) == ((200, None) if at == 5 else (400, "invalid_request"))


ODD: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "DECIMAL": (
        (
            "MODIFY progress DECIMAL(5,2) NULL, MODIFY processingTime DECIMAL(10,3),"
            " MODIFY generationTime DECIMAL(10,3), MODIFY downloadTime VARCHAR(20)"
        ),
        "MODIFY fileSize DECIMAL(20,2), MODIFY durationSeconds DECIMAL(8,3), MODIFY width VARCHAR(20)",
        {"progress": "50.00", "processingTime": "61.5", "downloadTime": "soon"},
        {"fileSize": "12345.00", "durationSeconds": "8.000", "width": "wide"},
    ),
    "numbers beyond JSON": (
        "MODIFY progress DOUBLE NOT NULL, MODIFY numberOfVideos DECIMAL(40,0) NOT NULL",
        "MODIFY fileSize DECIMAL(30,0) NOT NULL, MODIFY width DECIMAL(30,0) NOT NULL, MODIFY height DOUBLE NOT NULL",
        {"progress": 1e300, "numberOfVideos": 10**30},
        {"fileSize": 10**25, "width": 10**25, "height": -1e300},
    ),
    "bytes that are no text": (
        "MODIFY prompt BLOB NOT NULL, MODIFY message BLOB NULL",
        "MODIFY filename VARBINARY(191) NOT NULL",
        {"prompt": b"\xff\xfe", "message": b"\xff"},
        {"filename": b"\xff\xfe"},
    ),
    "zero dates": (
        "MODIFY createdAt DATETIME NULL, MODIFY updatedAt DATETIME NULL",
        "MODIFY createdAt DATETIME NULL",
        dict.fromkeys(["createdAt", "updatedAt", "completedAt"], "0000-00-00 00:00:00"),
        {"createdAt": "0000-00-00 00:00:00"},
    ),
    "half dates": (
        "MODIFY createdAt DATETIME NULL, MODIFY updatedAt DATETIME NULL",
        "MODIFY createdAt DATETIME NULL",
        dict.fromkeys(["createdAt", "updatedAt", "completedAt"], "2025-00-00 00:00:00"),
        {"createdAt": "2025-10-00 00:00:00"},
    ),
    "nothing": (
        (
            "MODIFY createdAt DATETIME NULL, MODIFY updatedAt DATETIME NULL, MODIFY progress INT NULL,"
            " MODIFY prompt TEXT NULL, MODIFY model VARCHAR(191) NULL, MODIFY modelVersion VARCHAR(191) NULL,"
            " MODIFY aspectRatio VARCHAR(191) NULL"
        ),
        (
            "MODIFY createdAt DATETIME NULL, MODIFY filename VARCHAR(191) NULL, MODIFY format VARCHAR(191) NULL,"
            " MODIFY fileSize INT NULL, MODIFY durationSeconds INT NULL, MODIFY aspectRatio VARCHAR(191) NULL,"
            " MODIFY width INT NULL, MODIFY height INT NULL"
        ),
        dict.fromkeys(["createdAt", "updatedAt", "progress", "prompt", "model", "modelVersion", "aspectRatio"]),
        dict.fromkeys(
            ["createdAt", "filename", "format", "fileSize", "durationSeconds", "aspectRatio", "width", "height"]
        ),
    ),
    "states of the site's": (
        "MODIFY status VARCHAR(20) NULL",
        "MODIFY metadata LONGTEXT",
        {"status": "ARCHIVED|2"},
        {"metadata": "{"},
    ),
}


@pytest.fixture(params=ODD)
def odd(request: pytest.FixtureRequest, sql: Sql) -> Callable[[str], None]:
    """Puts an odd row, a job with a file, in a state, beside one as it should be."""
    jobs, files, job_columns, file_columns = ODD[request.param]
    # The column is JSON, which has a check of its own.
    sql("ALTER TABLE video_files MODIFY metadata LONGTEXT")
    alter(sql, "video_generations", jobs)
    alter(sql, "video_files", files)

    def put(state: str) -> None:
        add(sql, "odd", **({"status": state} | job_columns))
        row = {
            "id": "f", "generationId": "odd", "s3Key": "odd/1", "filename": "1.mp4", "fileSize": 1, "format": "mp4",
            "durationSeconds": 8, "aspectRatio": "16:9", "width": 1, "height": 1,
        } | file_columns  # fmt: skip
        sql(f"INSERT INTO video_files ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})", *row.values())
        add(sql, "plain", status=state)

    return put


async def test_odd_row_ends_no_gallery_and_no_page_of_a_job(odd: Callable[[str], None], database_url: str) -> None:
    odd("COMPLETED")
    async with running(database_url, **UNASKED) as server:
        code, page = await server.read("/api/videos/user")
        assert code == 200, page
        assert "plain" in [one["id"] for one in page["generations"]]
        code, shown = await server.read("/api/videos/odd")
        assert (code, shown["videos"][0]["id"]) == (200, "f")


async def test_odd_row_ends_no_snapshot_of_a_stream(odd: Callable[[str], None], database_url: str) -> None:
    odd("PROCESSING")
    async with running(database_url, **UNASKED) as server:
        for path in ("/events/odd", "/events"):
            async with events(server.session, server.url + path) as source:
                first = await source.next()
                assert first.event in ("progress", "failed"), first


async def test_odd_row_refuses_no_webhook_for_it_nor_one_beside_it(
    odd: Callable[[str], None], database_url: str, sql: Sql
) -> None:
    odd("PROCESSING")
    sent = [webhook("odd", "downloading"), webhook("plain", "downloading"), completion("odd", video("odd/2"))]
    async with writing(database_url) as harness:
        outcomes = await harness.submit(*sent)
        assert [(o.kind, o.error) for o in outcomes] == [("applied", None)] * 3
        # The keys of both count.
        assert kinds(await harness.submit(completion("odd", video("odd/2"), at=EARLY))) == ["stale"]
    assert sql("SELECT id, status FROM video_generations ORDER BY id") == (
        ("odd", "COMPLETED"),
        ("plain", "PROCESSING"),
    )


async def test_odd_row_ends_no_round_of_reconciliation(
    odd: Callable[[str], None], database_url: str, sql: Sql, backend: Backend
) -> None:
    odd("PROCESSING")
    backend.jobs["stalled"] = answer("stalled", "failed", error="quota")
    add(sql, "stalled", status="PROCESSING")
    async with reconciling(database_url, backend):
        await until(lambda: job(sql, "stalled")[0] == "FAILED")


async def test_preview_of_a_replay_shows_an_odd_row(odd: Callable[[str], None], database_url: str, sql: Sql) -> None:
    odd("PROCESSING")
    async with running(database_url, **UNASKED) as server:
        _, refused = await server.send(webhook("odd", "exploded"))
        sql("UPDATE rushes_webhooks SET payload = REPLACE(payload, 'exploded', 'downloading')")
        code, shown = await server.read(f"/api/admin/webhooks/{refused['webhook_id']}")
        assert (code, shown["replay"]["outcome"]) == (200, "applied")
        assert "progress" in shown["replay"]["columns"]


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one by one"])
async def test_address_of_a_file_is_stored_whichever_completion_of_one_time_came_first(
    database_url: str, sql: Sql, together: bool
) -> None:
    sent = [
        completion("j1", video("k/1", file_url=url, file_size=size))
        for url, size in [(None, 0), ("https://u", 0), (None, 7)]
    ]
    for n, one in enumerate(sent):
        one["data"]["metadata"]["take"] = n
    found = set()
    async with writing(database_url) as harness:
        for order in permutations(sent):
            for table in ("video_generations", "rushes_jobs", "rushes_webhooks"):
                sql(f"DELETE FROM {table}")
            add(sql, "j1")
            for batch in [order] if together else [[one] for one in order]:
                await harness.submit(*batch)
            found |= set(sql("SELECT fileUrl, fileSize, JSON_EXTRACT(metadata, '$.take') FROM video_files"))
            shown = orjson.loads(harness.events[-1].data)["videos"][0]
            assert (shown["file_url"], shown["file_size"]) == ("https://u", 7)
    # The metadata are those of the completion that gave the file the rest.
    assert [row[:2] for row in found] == [("https://u", 7)]


async def test_numbers_that_no_webhook_may_bring_are_shown_within_what_one_may(server: Client, sql: Sql) -> None:
    columns: dict[str, Any] = {"processingTime": 1e300, "generationTime": -1.0, "downloadTime": 2.5, "progress": 300}
    add(sql, "j1", status="COMPLETED", completedAt="2025-10-23 13:01:00", **columns)
    sql(
        "INSERT INTO video_files (id, filename, s3Key, fileUrl, fileSize, durationSeconds, aspectRatio, width, height,"
        " generationId) VALUES ('f', 'f', 'k', NULL, -1, -8, '16:9', 1280, -720, 'j1')"
    )
    _, job = await server.read("/api/videos/j1")
    (listed,) = (await server.read("/api/videos/user"))[1]["generations"]
    async with server.events("/events/j1") as source:
        event = (await source.next()).data
    for told in (job, listed, event):
        (file,) = told["videos"]
        assert (file["file_size"], file["duration_seconds"]) == (0, 0)
        assert file["dimensions"] == {"width": 1280, "height": 0}
    for told in (job, listed):
        assert (told["processing_time"], told["generation_time"], told["download_time"]) == (None, None, 2.5)
    assert (job["progress"], event["progress"]) == (100, 100)
