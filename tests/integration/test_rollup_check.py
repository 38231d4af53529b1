"""Statistics made again, and compared with a full count."""

from pathlib import Path

import pytest

from app import times
from app.db.pool import Pool
from app.db.rollup_check import RollupCheck
from app.db.rollups import Rollups
from app.domain.spans import quarter_of
from tests.counting import stored, told
from tests.databases import Sql
from tests.processes import run
from tests.webhooks import completion, video, webhook
from tests.world import DAY, HOUR, Clock
from tests.writing import add_jobs, writing


@pytest.fixture
async def counted(rollups: Rollups, sql: Sql, database_url: str, clock: Clock) -> int:
    """A quarter, the last of three of which the first is purged."""
    add_jobs(sql, *(f"j{n}" for n in range(6)))
    async with writing(database_url) as harness:
        for n, ahead in enumerate((-40 * DAY, -HOUR, 0)):
            clock.ahead = ahead
            await harness.submit(webhook(f"j{2 * n}", "failed"), completion(f"j{2 * n + 1}", video(f"v{n}")))
    await rollups.purge_until(times.now() - 30 * DAY)
    sql("DELETE FROM rushes_webhooks WHERE received_at < UTC_TIMESTAMP() - INTERVAL 30 DAY")
    sql("DELETE FROM rushes_events WHERE created_at < UTC_TIMESTAMP() - INTERVAL 30 DAY")
    return quarter_of(times.now())


WRONG = [
    "UPDATE rushes_rollups SET counts = REPLACE(counts, ':1', ':2') WHERE quarter = {q}",
    "UPDATE rushes_rollups SET webhook_times = '' WHERE quarter = {q}",
    "UPDATE rushes_rollups SET job_times = webhook_times WHERE quarter = {q}",
    "DELETE FROM rushes_rollups WHERE quarter = {q}",
    "INSERT INTO rushes_rollups SELECT {q} + 1, counts, '', webhook_times FROM rushes_rollups WHERE quarter = {q}",
    "UPDATE rushes_webhooks SET outcome = 'stale' WHERE job_id = 'j5'",
    "UPDATE rushes_ends SET ended = 'quota' WHERE job_id = 'j5'",
    "UPDATE rushes_ends SET quarter = quarter - 1 WHERE job_id = 'j5'",
    "DELETE FROM rushes_ends WHERE job_id = 'j5'",
    "INSERT INTO rushes_ends VALUES ('nobody', 77, {q}, 'quota', NULL)",
    "INSERT INTO rushes_ends VALUES ('J5', 1, {q}, 'quota', NULL)",
]


@pytest.mark.parametrize("statement", WRONG)
async def test_what_was_made_wrong_by_hand_is_found_by_the_check_and_mended_by_a_rebuild(
    statement: str, counted: int, pool: Pool, sql: Sql, database_url: str, tmp_path: Path
) -> None:
    before = told(sql)
    assert len(before) == 3
    sql(statement.format(q=counted))
    check = RollupCheck(pool)
    found, untold = [each async for each in check.differences()], await check.untold()
    assert found or untold
    await check.rebuild()
    assert ([each async for each in check.differences()], await check.untold()) == ([], 0)
    if "rushes_webhooks" in statement:
        assert stored(sql)[counted].webhooks == {"applied": 1, "stale": 1}
    elif "DELETE FROM rushes_ends" not in statement:
        assert told(sql) == before
    assert stored(sql)[counted].finished == 1


async def test_neither_check_nor_rebuild_touches_what_was_purged(counted: int, pool: Pool, sql: Sql) -> None:
    sql("UPDATE rushes_rollups SET counts = REPLACE(counts, ':1', ':7') WHERE quarter < %s", counted - 100)
    before, check = told(sql), RollupCheck(pool)
    assert ([each async for each in check.differences()], await check.untold()) == ([], 0)
    assert await check.rebuild() == 2
    assert told(sql) == before


async def test_commands_check_and_rebuild_what_is_there(
    counted: int, sql: Sql, database_url: str, tmp_path: Path
) -> None:
    environ = {"DATABASE_URL": database_url}
    assert await run(tmp_path, "rollups", "--check", **environ) == (
        0, "the statistics say what a full count says\n", "",
    )  # fmt: skip
    sql("UPDATE rushes_rollups SET counts = REPLACE(counts, ':1', ':2') WHERE quarter = %s", counted)
    sql("INSERT INTO rushes_ends VALUES ('nobody', 77, %s, 'quota', NULL)", counted)
    code, out, _ = await run(tmp_path, "rollups", "--check", **environ)
    assert code == 1
    assert '"finished":2' in out
    assert '"finished":1' in out
    assert "1 generations ended otherwise than the log tells" in out
    code, out, _ = await run(tmp_path, "rollups", "--rebuild", **environ)
    assert (code, out) == (0, "2 quarters of an hour are counted anew\n")
    assert (await run(tmp_path, "rollups", "--check", **environ))[0] == 0
    for options in ((), ("--check", "--rebuild")):
        code, _, err = await run(tmp_path, "rollups", *options, **environ)
        assert (code, err) == (1, "rushes: say --rebuild or --check\n")
