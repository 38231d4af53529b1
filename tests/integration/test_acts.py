"""What users do to their jobs: cancel, dismiss, delete, restore, try again; and who may."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.appkeys import LEADER, POOL
from app.domain.forms import StoredFile
from app.upkeep.deleted import DeletedJobs
from app.upkeep.retention import Retention
from tests.acts import ACTS, SIGNED, USERS, act, made, state, tell
from tests.backend import Backend
from tests.client import Client, running
from tests.databases import Rows, Sql
from tests.sign_in import SENDERS
from tests.tables import add
from tests.webhooks import completion, video, webhook


@pytest.fixture
async def site(database_url: str) -> AsyncIterator[Client]:
    """A server that users sign in to, and that senders know the secret of."""
    async with running(database_url, **SIGNED) as server:
        yield server


STANDS = {"cancel": ["generating"], "dismiss": ["failed"], "retry": ["failed"], "": ["failed"], "restore": ["failed"]}


@pytest.mark.parametrize("name", ACTS)
async def test_author_and_admins_act_members_may_only_look_and_strangers_find_nothing(site: Client, name: str) -> None:
    await made(site, "j1", *STANDS[name])
    if name == "restore":
        assert (await act(site, "j1", "", USERS["author"]))[0] == 200
    done = 202 if name == "retry" else 200
    for who, (status, code) in {
        "nobody": (401, "unauthorized"), "stranger": (404, "not_found"), "member": (403, "not_yours"),
    }.items():  # fmt: skip
        answer = await act(site, "j1", name, USERS.get(who))
        assert (answer[0], answer[1]["code"]) == (status, code)
    assert (await act(site, "j1", name, USERS["admin"]))[0] == done
    await made(site, "j2", *STANDS[name])
    if name == "restore":
        await act(site, "j2", "", USERS["author"])
    assert (await act(site, "j2", name, USERS["author"]))[0] == done
    assert (await act(site, "no-such-job", name, USERS["admin"]))[0] == 404


async def test_cancelled_job_has_failed_and_nothing_that_comes_later_moves_it(site: Client, sql: Sql) -> None:
    await made(site, "j1", "generating")
    async with site.events("/events/j1", headers=USERS["author"]) as source:
        await source.next()
        assert (await act(site, "j1", "cancel", USERS["author"]))[1] == {
            "success": True, "job_id": "j1", "changed": True,
        }  # fmt: skip
        event = await source.next()
    assert (event.event, event.data["failure"]["kind"], event.data["progress"]) == ("failed", "cancelled", 0)
    late = completion("j1", video("k1"), at="2035-10-23T14:30:00Z")
    assert await tell(site, late, webhook("j1", "failed"), webhook("j1", "downloading")) == ["stale"] * 3
    assert await state(site, "j1") == "FAILED"
    assert sql("SELECT status, error FROM video_generations") == (("FAILED", "Génération annulée"),)
    assert sql("SELECT COUNT(*) FROM video_files") == ((0,),)
    assert (await act(site, "j1", "cancel", USERS["author"]))[1]["changed"] is False


async def test_finished_job_cannot_be_cancelled_nor_one_that_goes_on_deleted_nor_a_good_one_dismissed(
    site: Client,
) -> None:
    await made(site, "done", completion("done", video("k1")))
    await made(site, "failed", "failed")
    await made(site, "going", "generating")
    for job_id, name, code in [
        ("done", "cancel", "finished"), ("failed", "cancel", "finished"), ("going", "", "not_finished"),
        ("going", "dismiss", "not_failed"), ("done", "dismiss", "not_failed"),
    ]:  # fmt: skip
        status, answer = await act(site, job_id, name, USERS["author"])
        assert (status, answer["code"], answer["job_id"]) == (409, code, job_id)
    assert (await act(site, "done", "restore", USERS["author"]))[0] == 404


async def test_dismissed_job_stays_so_until_its_sender_tries_again(site: Client, sql: Sql) -> None:
    await made(site, "j1", "failed")
    async with site.events("/events", headers=USERS["author"]) as source:
        await source.next()
        assert (await act(site, "j1", "dismiss", USERS["author"]))[1]["changed"] is True
        event = await source.next()
    assert (event.event, event.data["job_id"], event.data["state"]) == ("dismissed", "j1", "FAILED")
    assert (await act(site, "j1", "dismiss", USERS["author"]))[1]["changed"] is False
    dismissed = "SELECT dismissed_at IS NOT NULL FROM rushes_jobs"
    await tell(site, webhook("j1", "failed", at="2035-10-23T14:30:00Z") | {"error": "again"})
    assert sql(dismissed) == ((1,),)
    await tell(site, webhook("j1", "generating", at="2035-10-23T14:31:00Z"))
    assert sql(dismissed) == ((0,),)


async def test_deleted_job_is_gone_for_everybody_and_comes_back_as_it_was(site: Client, sql: Sql) -> None:
    await made(site, "j1", completion("j1", video("k1")))
    before = await site.read("/api/videos/j1", headers=USERS["author"])
    async with site.events("/events", headers=USERS["author"]) as source:
        await source.next()
        assert (await act(site, "j1", "", USERS["author"]))[0] == 200
        assert (await source.next()).event == "deleted"
    for who in USERS:
        assert await state(site, "j1", who) == 404
    assert (await site.read("/api/videos/user", headers=USERS["author"]))[1]["generations"] == []
    async with site.session.get(f"{site.url}/events/j1", headers=USERS["author"]) as answer:
        assert answer.status == 404
    assert await tell(site, webhook("j1", "failed", at="2035-10-23T14:30:00Z")) == ["stale"]
    order = {"job_id": "j1", "prompt": "p", "user_id": "author"}
    async with site.session.post(f"{site.url}/api/videos", json=order, headers={"X-Webhook-Secret": SENDERS}) as answer:
        assert (answer.status, (await answer.json())["code"]) == (409, "deleted")
    for name in ("cancel", "dismiss", "retry", ""):
        assert (await act(site, "j1", name, USERS["author"]))[0] == 404
    async with site.events("/events", headers=USERS["author"]) as source:
        await source.next()
        assert (await act(site, "j1", "restore", USERS["author"]))[0] == 200
        assert (await source.next()).event == "restored"
    after = await site.read("/api/videos/j1", headers=USERS["author"])
    for body in (before[1], after[1]):
        body.pop("last_event_id")
    assert [step["event"] for step in after[1].pop("events")][-2:] == ["deleted", "restored"]
    before[1].pop("events")
    assert after == before
    assert await tell(site, completion("j1", video("k3"), at="2035-10-23T14:31:00Z")) == [None]
    assert sql("SELECT COUNT(*) FROM video_files") == ((2,),)


@pytest.mark.parametrize("path", ["/events/j1", "/ws/j1"])
async def test_streams_of_a_deleted_job_end(site: Client, path: str) -> None:
    await made(site, "j1", "failed")
    if path.startswith("/ws"):
        async with site.session.ws_connect(site.url + path, headers=USERS["member"]) as socket:
            await socket.receive()
            await act(site, "j1", "", USERS["author"])
            assert (await socket.receive_json())["event"] == "deleted"
            assert (await socket.receive()).data == 4404
    else:
        async with site.events(path, headers=USERS["member"]) as source:
            await source.next()
            await act(site, "j1", "", USERS["author"])
            assert [event.event for event in await source.rest()] == ["deleted"]


async def test_row_of_another_program_is_acted_on_like_ours(site: Client, sql: Sql) -> None:
    add(sql, "j1", authorId="author", status="FAILED", completedAt="2025-10-23 14:00:00")
    # Not so old that it is given up meanwhile.
    add(sql, "j2", "2099-01-01 00:00:00", authorId="author", status="PROCESSING", updatedAt="2099-01-01 00:00:00")
    assert (await act(site, "j1", "dismiss", USERS["author"]))[0] == 200
    assert (await act(site, "j1", "", USERS["author"]))[0] == 200
    assert (await act(site, "j2", "cancel", USERS["author"]))[0] == 200
    assert (await state(site, "j1"), await state(site, "j2")) == (404, "FAILED")


async def test_job_that_gets_the_id_of_a_deleted_one_is_not_deleted(site: Client, sql: Sql) -> None:
    await made(site, "j1", "failed")
    await act(site, "j1", "", USERS["author"])
    sql("DELETE FROM video_generations")
    add(sql, "j1", authorId="author", status="PENDING", createdAt="2031-01-01 00:00:00")
    assert await state(site, "j1") == "PENDING"
    assert await tell(site, webhook("j1", "generating")) == ["generating"]
    assert sql("SELECT deleted_at, deleted_by, dismissed_at FROM rushes_jobs") == ((None, None, None),)


async def test_other_spellings_of_an_id_are_not_acted_on(site: Client, sql: Sql) -> None:
    await made(site, "job", "failed")
    for spelled in ("JOB", "jób", "job%20"):
        assert (await act(site, spelled, "", USERS["author"]))[0] == 404
    assert await state(site, "job") == "FAILED"


@pytest.mark.parametrize("name", ["cancel", ""])
@pytest.mark.parametrize("seed", range(6))
async def test_act_ends_in_the_same_row_whatever_comes_before_it_and_after(
    site: Client, sql: Sql, name: str, seed: int
) -> None:
    """A cancel is accepted while the job goes on, a deletion once it has ended; what follows it changes nothing."""
    chance = random.Random(seed)
    steps = enumerate(["pending", "generating", "failed"])
    bodies = [webhook("j1", status, at=f"2025-10-23T14:00:0{second}Z") for second, status in steps]
    bodies += [completion("j1", video("k1")), completion("j1", video("k2"))]
    bodies *= 2
    chance.shuffle(bodies)
    await made(site, "j1")
    accepted = None
    for place, body in enumerate(bodies):
        if accepted is None and (await act(site, "j1", name, USERS["author"]))[0] == 200:
            accepted = place, rows(sql)
        answers = await tell(site, body)
        if accepted is not None:
            assert answers[0] in ("stale", "duplicate")
    if name == "cancel":
        assert accepted is not None
    assert accepted is None or rows(sql) == accepted[1]


def rows(sql: Sql) -> tuple[Rows, Rows]:
    return sql("SELECT id, status, progress, message, error, completedAt FROM video_generations"), sql(
        "SELECT s3Key, fileUrl FROM video_files ORDER BY s3Key"
    )


async def test_acts_and_webhooks_at_once_in_two_processes_leave_one_end_and_one_event_each(
    database_url: str, sql: Sql
) -> None:
    async with running(database_url, **SIGNED) as one, running(database_url, **SIGNED) as other:
        for number in range(8):
            job_id = f"j{number}"
            await made(one, job_id, "generating")
            answers = await asyncio.gather(
                *(act(server, job_id, "cancel", USERS["author"]) for server in (one, other, one, other)),
                *(tell(server, completion(job_id, video(job_id))) for server in (one, other)),
            )
            changed = [answer[1].get("changed") for answer in answers[:4]]
            cancelled = await state(one, job_id) == "FAILED"
            assert changed.count(True) == (1 if cancelled else 0)
            files = sql("SELECT COUNT(*) FROM video_files WHERE generationId = %s", job_id)
            assert files == ((0 if cancelled else 1,),)
            assert sql("SELECT COUNT(*) FROM rushes_events WHERE job_id = %s", job_id) == ((3,),)


async def test_deleted_jobs_go_once_nobody_may_restore_them_and_no_sooner(
    site: Client, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    for job_id in ("old", "young", "kept"):
        await made(site, job_id, completion(job_id, video(job_id)))
    for job_id in ("old", "young"):
        await act(site, job_id, "", USERS["author"])
    sql("UPDATE rushes_jobs SET deleted_at = NOW(6) - INTERVAL 30 DAY - INTERVAL 1 MINUTE WHERE job_id = 'old'")
    sql("UPDATE rushes_jobs SET deleted_at = NOW(6) - INTERVAL 30 DAY + INTERVAL 1 MINUTE WHERE job_id = 'young'")
    removed = []

    async def remove(file: StoredFile) -> None:
        removed.append(file["s3_key"])

    assert (await Retention(site.app[POOL], site.app[LEADER], days=30, remove=remove).purge())["deleted"] == 1
    assert removed == ["old"]
    assert sql("SELECT id FROM video_generations ORDER BY id") == (("kept",), ("young",))
    assert sql("SELECT s3Key FROM video_files ORDER BY s3Key") == (("kept",), ("young",))
    assert sql("SELECT job_id FROM rushes_jobs ORDER BY job_id") == (("kept",), ("young",))
    assert (await act(site, "old", "restore", USERS["author"]))[0] == 404
    assert (await act(site, "young", "restore", USERS["author"]))[0] == 200
    await made(site, "old")


async def test_deleted_job_that_cannot_go_keeps_no_other_and_is_tried_again(site: Client, sql: Sql) -> None:
    for number in range(3):
        await made(site, f"j{number}", completion(f"j{number}", video(f"k{number}")))
        await act(site, f"j{number}", "", USERS["author"])
    sql("CREATE TABLE likes (job VARCHAR(191) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci,"
        " FOREIGN KEY (job) REFERENCES video_generations (id)) ENGINE=InnoDB")  # fmt: skip
    sql("INSERT INTO likes VALUES ('j0')")
    away = {"k1"}

    async def remove(file: StoredFile) -> None:
        if file["s3_key"] in away:
            raise OSError("bucket away")

    deleted = DeletedJobs(site.app[POOL], remove)
    assert await deleted.purge(4_000_000_000_000_000) == 1
    assert sql("SELECT id FROM video_generations ORDER BY id") == (("j0",), ("j1",))
    assert sql("SELECT COUNT(*) FROM video_files") == ((2,),)
    away.clear()
    sql("DELETE FROM likes")
    assert await deleted.purge(4_000_000_000_000_000) == 2
    assert sql("SELECT COUNT(*) FROM rushes_jobs") == ((0,),)


async def test_retry_is_a_new_job_with_the_same_order_and_its_image(
    database_url: str, sql: Sql, backend: Backend
) -> None:
    order: dict[str, Any] = {
        "aspect_ratio": "9:16",
        "number_of_videos": 2,
        "duration_seconds": 5,
        "person_generation": "DONT_ALLOW",
    }
    async with running(database_url, generator_url=backend.url, **SIGNED) as server:
        await made(server, "j1", "failed", **order, input_image_base64="aGVsbG8=")
        status, answer = await act(server, "j1", "retry", USERS["author"], **{"Idempotency-Key": "once"})
        again = await act(server, "j1", "retry", USERS["author"], **{"Idempotency-Key": "once"})
        other = await act(server, "j1", "retry", USERS["author"])
    assert (status, again[1]["job_id"]) == (202, answer["job_id"])
    assert other[1]["job_id"] != answer["job_id"]
    (asked, _) = backend.started
    assert asked == order | {
        "job_id": answer["job_id"], "user_id": "author", "prompt": "the sea", "input_image_base64": "aGVsbG8=",
    }  # fmt: skip
    columns = "prompt, aspectRatio, numberOfVideos, durationSeconds, personGeneration, authorId, organizationId"
    assert len(set(sql(f"SELECT {columns}, inputImageBase64 FROM video_generations"))) == 1


async def test_retry_counts_among_the_unfinished(database_url: str) -> None:
    async with running(database_url, max_unfinished_per_user=1, **SIGNED) as server:
        await made(server, "j1", "failed")
        await made(server, "j2", "generating")
        status, answer = await act(server, "j1", "retry", USERS["author"])
        assert (status, answer["code"]) == (429, "too_many_unfinished")


async def test_page_of_another_site_cannot_act_by_a_users_cookie(site: Client) -> None:
    await made(site, "j1", "failed")
    cookie = {"Cookie": f"__session={USERS['author']['Authorization'].partition(' ')[2]}"}
    status, answer = await act(site, "j1", "", cookie, Origin="https://evil.example")
    assert (status, answer["code"]) == (403, "origin_not_allowed")
    assert (await act(site, "j1", "", cookie))[0] == 200


FILE = "id, s3Key, generationId, filename, fileUrl, fileSize, durationSeconds, aspectRatio, width, height"
UPDATES = {"older": "2025-10-23T13:30:00Z", "between": "2025-10-23T15:00:00Z", "newer": "2025-10-23T17:00:00Z"}


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("with_file", [True, False])
@pytest.mark.parametrize("ended", ["2025-10-23 14:00:00", None])
@pytest.mark.parametrize("status", ["FAILED", "COMPLETED"])
async def test_acts_do_not_change_which_update_of_another_programs_job_wins(
    site: Client, sql: Sql, status: str, ended: str | None, with_file: bool, update: str
) -> None:
    ways: dict[str, list[str]] = {"plain": [], "undone": ["", "restore"]}
    if status == "FAILED":
        ways["dismissed"] = ["dismiss"]
    found = set()
    for way, names in ways.items():
        add(
            sql, way, "2025-10-23 13:00:00", authorId="author", status=status, completedAt=ended,
            updatedAt="2025-10-23 16:00:00",
        )  # fmt: skip
        if with_file:
            sql(f"INSERT INTO video_files ({FILE}) VALUES (%s, %s, %s, 'new.mp4', 'https://new', 0, 8, '1:1', 1, 1)",
                way, way, way)  # fmt: skip
        for name in names:
            assert (await act(site, way, name, USERS["author"]))[0] == 200
        at = UPDATES[update]
        answers = await tell(site, webhook(way, "generating", at=at), completion(way, video(way, filename="f"), at=at))
        left = sql("SELECT status FROM video_generations WHERE id = %s", way)
        shown = "filename, fileSize, REPLACE(fileUrl, s3Key, '')"
        found.add((*answers, left, sql(f"SELECT {shown} FROM video_files WHERE generationId = %s", way)))
    assert len(found) == 1
