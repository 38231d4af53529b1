"""Migrations, on an empty database and on one that the site made."""

import asyncio
import re
import threading
from pathlib import Path

import pytest

from app.db import migrate
from app.db.errors import RefusedError
from tests.client import running
from tests.databases import MIGRATIONS, Rows, Sql, empty
from tests.webhooks import completion, video

# As `prisma migrate` writes it, with the relations that the site has beside it.
PRISMA = (Path(__file__).parent / "prisma.sql").read_text()


def definitions(sql: Sql) -> dict[str, str]:
    return {table: sql(f"SHOW CREATE TABLE {table}")[0][1] for table in ("video_generations", "video_files")}


def test_empty_database_gets_every_table_and_index(empty_url: str, sql: Sql) -> None:
    report = migrate.apply(empty_url)
    assert len(report.applied) == len(MIGRATIONS)
    assert (report.adopted, report.missing_indexes) == ([], [])
    assert asyncio.run(migrate.pending(empty_url)) == []
    assert migrate.apply(empty_url).applied == []
    assert sql("SELECT value FROM rushes_counter") == ((0,),)


def test_tables_that_we_make_are_those_that_prisma_makes(empty_url: str, sql: Sql) -> None:
    migrate.apply(empty_url)
    ours = columns(sql)
    for table in ("video_files", "video_generations"):
        sql(f"DROP TABLE {table}")
    run_prisma(sql)
    assert ours == columns(sql)


def everything(sql: Sql) -> dict[str, tuple[str, Rows]]:
    """Each table as a statement, with its rows, save those that are other ones each time."""
    tables = [table for (table,) in sql("SHOW TABLES") if table not in ("rushes_log", "rushes_ticket_key")]
    return {table: (made_by(sql, table), sql(f"SELECT COUNT(*) FROM {table}")) for table in tables}


def made_by(sql: Sql, table: str) -> str:
    """MySQL names a column's character set beside its collation, which has only one, in tables that ALTER changed."""
    statement = sql(f"SHOW CREATE TABLE {table}")[0][1]
    return re.sub(r" CHARACTER SET (\w+) (?=COLLATE \1_)", " ", statement)


def test_database_that_a_test_begins_with_is_as_migrations_leave_one(database_url: str, sql: Sql) -> None:
    given = everything(sql)
    assert sql("SELECT LENGTH(name) FROM rushes_log") == ((36,),)
    empty(sql)
    migrate.apply(database_url)
    assert everything(sql) == given


def columns(sql: Sql) -> Rows:
    return sql(
        "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, COLLATION_NAME"
        " FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()"
        " AND TABLE_NAME IN ('video_generations', 'video_files') ORDER BY TABLE_NAME, ORDINAL_POSITION"
    )


def run_prisma(sql: Sql) -> None:
    for statement in PRISMA.split(";\n"):
        if statement.strip():
            sql(statement)


async def test_database_of_the_site_is_adopted_untouched_and_works(empty_url: str, sql: Sql) -> None:
    run_prisma(sql)
    sql("INSERT INTO users VALUES ('dev')")
    sql("INSERT INTO video_generations (id, prompt, authorId, updatedAt) VALUES ('old', 'p', 'dev', NOW(3))")
    before = definitions(sql)
    report = migrate.apply(empty_url)
    assert sorted(report.adopted) == ["video_files", "video_generations"]
    assert definitions(sql) == before
    assert report.missing_indexes == [
        (
            "CREATE INDEX `video_generations_authorId_status_createdAt_idx` ON `video_generations` "
            "(`authorId`, `status`, `createdAt`)"
        ),
        (
            "CREATE INDEX `video_generations_organizationId_status_createdAt_idx` ON `video_generations` "
            "(`organizationId`, `status`, `createdAt`)"
        ),
        "CREATE INDEX `video_generations_createdAt_idx` ON `video_generations` (`createdAt`)",
    ]
    async with running(empty_url) as server:
        code, _ = await server.send(completion("old", video("k")))
        assert code == 200
        _, gallery = await server.read("/api/videos/user")
        assert [job["id"] for job in gallery["generations"]] == ["old"]
    assert migrate.apply(empty_url, add_indexes=True).missing_indexes == report.missing_indexes
    assert migrate.apply(empty_url).missing_indexes == []


def test_migration_that_was_killed_half_way_is_finished_by_the_next(empty_url: str, sql: Sql) -> None:
    migrate.apply(empty_url)
    sql("DELETE FROM _yoyo_migration WHERE migration_id >= '0005'")
    sql("DROP TABLE rushes_jobs")
    sql("INSERT INTO yoyo_lock (locked, ctime, pid) VALUES (1, NOW(), 999999)")
    assert len(migrate.apply(empty_url).applied) == len([path for path in MIGRATIONS if path.name >= "0005"])
    assert sql("SELECT COUNT(*) FROM rushes_jobs") == ((0,),)


def test_column_that_a_killed_migration_added_stays_with_what_is_in_it(empty_url: str, sql: Sql) -> None:
    migrate.apply(empty_url)
    added = [path.stem for path in MIGRATIONS if path.name >= "0011"]
    sql("DELETE FROM _yoyo_migration WHERE migration_id >= '0011'")
    sql(
        "INSERT INTO rushes_jobs (job_id, status, has_files, at, stage, tie, updated_at, created_at)"
        " VALUES ('j1', 'failed', 0, 1, 5, '', NOW(3), '2025-10-23 14:30:00.123')"
    )
    assert migrate.apply(empty_url).applied == added
    assert sql("SELECT CAST(created_at AS CHAR) FROM rushes_jobs") == (("2025-10-23 14:30:00.123000",),)


def test_keys_from_before_a_column_was_added_stay(empty_url: str, sql: Sql) -> None:
    migrate.apply(empty_url)
    sql("DELETE FROM _yoyo_migration WHERE migration_id >= '0011'")
    sql("ALTER TABLE rushes_jobs DROP COLUMN created_at")
    sql(
        "INSERT INTO rushes_jobs (job_id, status, has_files, at, stage, tie, updated_at)"
        " VALUES ('j1', 'failed', 0, 1, 5, '', NOW(3))"
    )
    migrate.apply(empty_url)
    assert sql("SELECT job_id, created_at FROM rushes_jobs") == (("j1", None),)


@pytest.mark.parametrize("path", MIGRATIONS, ids=lambda path: path.stem)
def test_no_table_of_a_migration_takes_the_engine_or_charset_that_the_server_prefers(path: Path) -> None:
    text = path.read_text()
    made = text.count("CREATE TABLE")
    assert len(re.findall(r"\) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_\w+;", text)) == made


def test_requests_remembered_before_their_columns_became_bytes_are_still_found(empty_url: str, sql: Sql) -> None:
    migrate.apply(empty_url)
    sql("DELETE FROM _yoyo_migration WHERE migration_id >= '0013'")
    sql("ALTER TABLE rushes_requests DROP COLUMN digest")
    for column in ("user_id", "idempotency_key"):
        sql(f"ALTER TABLE rushes_requests MODIFY {column} VARCHAR(191) COLLATE utf8mb4_bin NOT NULL")
    sql("INSERT INTO rushes_requests VALUES ('é', 'k', 'j1', NOW(3))")
    for _ in range(2):  # as after one that was cut short
        migrate.apply(empty_url)
        sql("DELETE FROM _yoyo_migration WHERE migration_id >= '0013'")
    assert sql("SELECT job_id, digest FROM rushes_requests WHERE user_id = %s", "é".encode()) == (("j1", None),)


def test_two_migrations_at_once_wait_for_each_other(empty_url: str, sql: Sql) -> None:
    reports, errors = [], []

    def apply() -> None:
        try:
            reports.append(migrate.apply(empty_url))
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=apply) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert sorted(len(report.applied) for report in reports) == [0, 0, len(MIGRATIONS)]


def test_url_of_prisma_with_its_own_parameters_is_understood(empty_url: str) -> None:
    assert asyncio.run(migrate.pending(empty_url + "&connection_limit=5&sslaccept=strict"))


async def migrate_in_thread(url: str) -> migrate.Report:
    return await asyncio.to_thread(migrate.apply, url)


def test_password_with_special_characters_is_decoded_and_never_told(database_url: str, sql: Sql) -> None:
    sql("CREATE USER IF NOT EXISTS 'web'@'localhost' IDENTIFIED BY 'p@ss/w:rd?'")
    sql("GRANT ALL ON *.* TO 'web'@'localhost'")
    assert asyncio.run(migrate.pending(database_url.replace("root@", "web:p%40ss%2Fw%3Ard%3F@"))) == []
    for refused in (migrate.pending, migrate_in_thread):
        with pytest.raises(RefusedError) as error:
            asyncio.run(refused(database_url.replace("root@", "web:hush@")))
        assert "hush" not in str(error.value)
