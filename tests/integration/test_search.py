"""What prompts say: what is found, and how much is looked through for it, whoever asks and whatever the prompts are."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.db.gallery import Gallery, Page, Wanted
from app.db.pool import Pool
from app.db.search import BYTES_MAX, PROMPT_MAX
from tests.databases import Sql
from tests.tables import add

NEARLY = "a" * 99 + "b"


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    made = Pool(database_url, 1, 10.0)
    yield made
    made.close()


async def found(pool: Pool, says: str, **wanted: Any) -> Page:
    return await Gallery(pool, 4_000_000, 30).page(Wanted("dev", wanted.pop("limit", 50), says=says, **wanted))


def ids(page: Page) -> list[str]:
    return [job.id for job in page.jobs]


def fill(sql: Sql, count: int, prompt: str, status: str = "COMPLETED") -> None:
    """`prompt` is SQL."""
    sql(
        "INSERT INTO video_generations (id, prompt, authorId, status, createdAt, updatedAt)"
        f" SELECT CONCAT(%s, LPAD(seq, 5, '0')), {prompt}, 'dev', %s, '2026-01-01' + INTERVAL seq SECOND, NOW()"
        f" FROM seq_1_to_{count}",
        status, status,
    )  # fmt: skip


def prompts(sql: Sql, *said: str, status: str = "COMPLETED") -> None:
    for number, prompt in enumerate(said, start=1):
        add(sql, f"j{number}", f"2025-10-23 13:00:0{number}", authorId="dev", status=status, prompt=prompt)


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        ("cafe", ["j2", "j1"]),  # an accent of its own, and one that is put on
        ("strasse", ["j3"]),
        ("日", ["j4"]),
        ("e\u0301", ["j3", "j2", "j1"]),
        ("\u0301", []),  # an accent alone has no weight of its own
        ("  ", []),
    ],
)
async def test_same_text_is_found_however_it_is_spelled(pool: Pool, sql: Sql, says: str, expected: list[str]) -> None:
    prompts(sql, "Café", "CAFE\u0301", "Straße", "日本")
    assert ids(await found(pool, says)) == expected


async def test_what_only_looks_like_it_between_two_characters_is_not_found(pool: Pool, sql: Sql) -> None:
    """The weight of 与 ends in 0E, that of 日 begins with FB, and 0EFB is that of an i."""
    prompts(sql, "与日", "与日 film")
    assert ids(await found(pool, "i")) == ["j2"]


async def test_prompt_is_looked_through_as_far_as_is_said(pool: Pool, sql: Sql) -> None:
    prompts(sql, "é" * (PROMPT_MAX - 3) + "end", "é" * (PROMPT_MAX - 2) + "end")
    assert ids(await found(pool, "end")) == ["j1"]


async def test_search_goes_no_further_than_so_many_bytes_of_prompts(pool: Pool, sql: Sql) -> None:
    fill(sql, 2000, f"REPEAT('a', {PROMPT_MAX})")
    searched = (await found(pool, "zzz")).searched
    assert searched is not None
    assert BYTES_MAX // PROMPT_MAX <= searched < BYTES_MAX // PROMPT_MAX + 250


@pytest.mark.parametrize("status", ["COMPLETED", "PENDING"])
async def test_search_for_what_nearly_fits_everywhere_is_answered(database_url: str, sql: Sql, status: str) -> None:
    """A thousand of the longest prompts, as a user may order them. The collation's own LIKE takes minutes for it."""
    fill(sql, 1000, "REPEAT('a', 10000)", status)
    pool = Pool(database_url, 1, 5.0)
    try:
        page = await found(pool, NEARLY, page=1, state="completed" if status == "COMPLETED" else "active")
    finally:
        pool.close()
    assert (list(page.jobs), page.total, page.searched) == ([], 0, 1000)


async def test_pages_of_what_is_found_are_counted_and_follow_each_other(pool: Pool, sql: Sql) -> None:
    fill(sql, 600, "CONCAT(IF(MOD(seq, 2), 'odd ', 'even '), seq)")
    expected = [f"COMPLETED{n:05}" for n in range(599, 0, -2)]
    counted = [await found(pool, "odd", limit=100, page=number) for number in (1, 2, 3, 4)]
    assert [job_id for page in counted for job_id in ids(page)] == expected
    assert {(page.total, page.searched) for page in counted} == {(300, 600)}
    first = await found(pool, "odd", limit=100)
    second = await found(pool, "odd", limit=200, cursor=first.next_cursor)
    assert (ids(first) + ids(second), second.searched, second.next_cursor) == (expected, 600, None)


async def test_unfinished_jobs_of_all_states_are_found_newest_first(pool: Pool, sql: Sql) -> None:
    for number, status in enumerate(["PENDING", "GENERATING", "PENDING", "COMPLETED", "DOWNLOADING"]):
        add(sql, f"j{number}", f"2025-10-23 13:00:0{number}", authorId="dev", status=status, prompt="the sea")
    page = await found(pool, "SEA", state="active", page=1)
    assert (ids(page), page.total, page.searched) == (["j4", "j2", "j1", "j0"], 4, 4)


async def test_jobs_that_are_deleted_or_dismissed_are_not_found(pool: Pool, sql: Sql) -> None:
    prompts(sql, "the sea", "the sea", "the sea", status="FAILED")
    for job_id, mark in (("j1", "deleted_at"), ("j2", "dismissed_at")):
        sql(
            f"INSERT INTO rushes_jobs (job_id, status, has_files, at, stage, tie, updated_at, {mark})"
            " VALUES (%s, 'failed', 0, 1, 9, '', NOW(3), NOW(6))",
            job_id,
        )
    assert ids(await found(pool, "sea", state="failed")) == ["j3"]


async def test_far_page_reads_no_prompts_of_the_jobs_before_it(pool: Pool, sql: Sql) -> None:
    fill(sql, 2000, "REPEAT('é', 10000)")
    gallery = Gallery(pool, 4_000_000, 30)
    await gallery.page(Wanted("dev", 50, page=1))
    costs = []
    for number in (1, 40):
        before = pages_read(sql)
        page = await gallery.page(Wanted("dev", 50, page=number))
        assert len(page.jobs) == 50
        costs.append(pages_read(sql) - before)
    assert costs[1] < costs[0] + 3 * 1950


def pages_read(sql: Sql) -> int:
    return int(sql("SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_read_requests'")[0][1])
