"""Columns of the site's that hold less than Prisma's: a text that only explains is made to fit, and nothing else is."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.db.columns import Columns
from app.db.connection import Connection, connect
from app.db.errors import ValuesRefusedError
from app.db.writer.batch import Batch
from app.domain.estimate import Estimates
from tests.client import running
from tests.databases import Sql
from tests.processes import run
from tests.servers import is_mysql
from tests.tables import UNASKED, add, alter
from tests.webhooks import completion, video, webhook
from tests.writing import delivery, kinds, writing


class Sender:
    """Commits webhooks one by one, as the writer does with one that was refused. `refusals` counts."""

    def __init__(self, connection: Connection) -> None:
        self.columns = Columns()
        self.refusals = 0
        self._connection = connection

    async def send(self, document: dict[str, Any]) -> str:
        """Its outcome. Raises the refusal that no trying again mends."""
        while True:
            one = delivery(document)
            batch = Batch([one], "fr", Estimates(), create_unknown=True, columns=self.columns)
            try:
                await batch.commit(self._connection)
            except ValuesRefusedError as error:
                self.refusals += 1
                if not await self.columns.learn(self._connection, error):
                    raise
            else:
                return batch.outcomes[one.id].kind


@pytest.fixture
async def sender(database_url: str) -> AsyncIterator[Sender]:
    with contextlib.closing(await connect(database_url, 10.0)) as connection:
        yield Sender(connection)


def row(sql: Sql, *columns: str) -> tuple[Any, ...]:
    return sql(f"SELECT {', '.join(columns)} FROM video_generations WHERE id = 'j1'")[0]


async def test_failure_is_stored_though_its_reason_is_longer_than_the_column(sender: Sender, sql: Sql) -> None:
    alter(sql, "video_generations", "MODIFY error VARCHAR(191), MODIFY message VARCHAR(8)")
    add(sql, "j1")
    assert await sender.send(webhook("j1", "failed") | {"error": "é" * 300}) == "applied"
    assert row(sql, "status", "error", "message") == ("FAILED", "é" * 191, "La génér")


async def test_what_was_learnt_of_a_column_spares_the_next_refusal(sender: Sender, sql: Sql) -> None:
    alter(sql, "video_generations", "MODIFY error VARCHAR(191)")
    add(sql, "j1")
    for _ in range(3):
        assert await sender.send(webhook("j1", "failed") | {"error": "x" * 300}) == "applied"
    assert sender.refusals == 1


@pytest.mark.parametrize(
    ("charset", "stored"), [("utf8mb3", "quota \ufffd é"), ("latin1", "quota ? é"), ("ascii", "quota ? ?")]
)
async def test_failure_is_stored_though_the_columns_character_set_has_no_emoji(
    sender: Sender, sql: Sql, charset: str, stored: str
) -> None:
    alter(sql, "video_generations", f"MODIFY error TEXT CHARACTER SET {charset}")
    add(sql, "j1")
    assert await sender.send(webhook("j1", "failed") | {"error": "quota 🎬 é"}) == "applied"
    assert row(sql, "status", "error") == ("FAILED", stored)


async def test_tables_of_three_byte_characters_take_a_whole_job(sender: Sender, sql: Sql) -> None:
    alter(sql, "video_files", "DROP FOREIGN KEY video_files_generationId_fkey")
    for table in ("video_generations", "video_files"):
        alter(sql, table, "CONVERT TO CHARACTER SET utf8mb3")
    sent = completion("j1", video("k/1"))
    sent["data"] |= {"user_id": "u1"}
    sent["data"]["metadata"] |= {"prompt_used": "mer 🌊", "model_name": "veo 🎬"}
    assert await sender.send(sent) == "applied"
    assert row(sql, "status", "prompt", "model") == ("COMPLETED", "mer \ufffd", "veo \ufffd")
    # JSON of MySQL holds any character, whatever the table's character set; MariaDB's is a text of the table's.
    kept = "mer 🌊" if is_mysql() else "mer \ufffd"
    assert sql("SELECT JSON_UNQUOTE(JSON_EXTRACT(metadata, '$.prompt_used')) FROM video_files") == ((kept,),)


async def test_video_is_taken_though_its_metadata_or_its_path_is_too_long(sender: Sender, sql: Sql) -> None:
    alter(sql, "video_files", "MODIFY metadata VARCHAR(50)", "MODIFY filePath VARCHAR(50)")
    add(sql, "j1")
    assert await sender.send(completion("j1", video("/srv/" + "p" * 60, s3_key="k/1"))) == "applied"
    assert sql("SELECT s3Key, filePath, metadata FROM video_files") == (("k/1", "k/1", None),)


async def test_video_is_taken_though_its_times_are_out_of_range(sender: Sender, sql: Sql) -> None:
    alter(sql, "video_generations", "MODIFY processingTime DECIMAL(4,2)", "MODIFY generationTime SMALLINT NOT NULL")
    alter(sql, "video_generations", "MODIFY completedAt TIMESTAMP NULL")
    alter(sql, "video_files", "MODIFY createdAt TIMESTAMP NULL")
    add(sql, "j1")
    sent = completion("j1", video("k/1", created_at="2300-01-01T00:00:00Z"))
    sent["data"]["metadata"] |= {"generation_time": 100_000}
    sent["data"]["generated_at"] = "2300-01-01T00:00:00Z"
    assert await sender.send(sent) == "applied"
    state, processing, generation, completed_at = row(sql, "status", "processingTime", "generationTime", "completedAt")
    assert (state, processing, generation) == ("COMPLETED", None, 0)
    assert 2024 < completed_at.year < 2038


async def test_column_that_may_not_be_null_gets_the_nothing_of_its_kind(sender: Sender, sql: Sql) -> None:
    alter(
        sql,
        "video_generations",
        "MODIFY error TEXT NOT NULL",
        "MODIFY processingTime DOUBLE NOT NULL",
        "MODIFY completedAt DATETIME(3) NOT NULL DEFAULT '2025-01-01'",
    )
    add(sql, "j1")
    assert await sender.send(webhook("j1", "generating")) == "applied"
    assert row(sql, "status", "error") == ("PROCESSING", "")
    sent = completion("j1", video("k/1"))
    sent["data"]["metadata"] = None
    assert await sender.send(sent) == "applied"
    assert row(sql, "status", "processingTime") == ("COMPLETED", 0.0)


@pytest.mark.parametrize("files", [1, 2])
async def test_video_is_taken_though_the_sites_enum_has_not_its_aspect_ratio(
    sender: Sender, sql: Sql, files: int
) -> None:
    alter(sql, "video_files", "MODIFY aspectRatio ENUM('9:16', '16:9') NOT NULL DEFAULT '16:9'")
    add(sql, "j1")
    sent = [video(f"k/{n}", aspect_ratio="4:3" if n else "9:16", format="webm") for n in range(files + 1)]
    assert await sender.send(completion("j1", *sent)) == "applied"
    stored = sql("SELECT aspectRatio, format, durationSeconds, width FROM video_files ORDER BY s3Key")
    assert stored == (("9:16", "webm", 8, 1920), *[("16:9", "webm", 8, 1920)] * files)


async def test_job_is_made_though_its_order_names_what_the_sites_enum_has_not(sender: Sender, sql: Sql) -> None:
    alter(sql, "video_generations", "MODIFY personGeneration ENUM('ALLOW_ALL', 'DONT_ALLOW') DEFAULT 'ALLOW_ALL'")
    config = {"person_generation": "ALLOW_ADULT", "aspect_ratio": "9:16"}
    sent = webhook("j1", "generating", data={"user_id": "u1", "metadata": {"config_used": config}})
    assert await sender.send(sent) == "applied"
    assert row(sql, "personGeneration", "aspectRatio") == ("ALLOW_ALL", "9:16")


@pytest.mark.parametrize(
    ("change", "fields", "column"),
    [
        ("MODIFY s3Key VARCHAR(10)", {"s3_key": "k" * 20}, "s3Key"),
        ("MODIFY filename VARCHAR(10)", {"filename": "f" * 20}, "filename"),
        ("MODIFY format VARCHAR(3)", {"format": "webm"}, "format"),
        ("MODIFY fileSize SMALLINT", {}, "fileSize"),
        ("MODIFY filename VARCHAR(191) CHARACTER SET ascii", {"filename": "é.mp4"}, "filename"),
        ("ADD COLUMN tenant VARCHAR(191) NOT NULL", {}, "tenant"),
        # What a sender writes does not choose the column that is blamed.
        ("MODIFY fileSize SMALLINT", {"filename": "for column 'error' at row 1"}, "fileSize"),
    ],
)
async def test_name_key_or_size_that_does_not_fit_is_refused_with_its_column(
    sender: Sender, sql: Sql, change: str, fields: dict[str, str], column: str
) -> None:
    alter(sql, "video_files", change)
    add(sql, "j1")
    with pytest.raises(ValuesRefusedError, match=column):
        await sender.send(completion("j1", video("k/1", **fields)))
    assert row(sql, "status") == ("PENDING",)


async def test_job_is_registered_though_its_prompt_does_not_fit_the_column(database_url: str, sql: Sql) -> None:
    alter(sql, "video_generations", "MODIFY prompt VARCHAR(20) CHARACTER SET utf8mb3", "MODIFY message VARCHAR(4)")
    async with running(database_url, **UNASKED) as server:
        await server.register("j1", prompt="the sea 🌊 at dawn, slowly")
    assert row(sql, "prompt", "message") == ("the sea \ufffd at dawn, s", "En a")


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ("ADD COLUMN tenant VARCHAR(191) NOT NULL", "tenant"),
        ("MODIFY aspectRatio VARCHAR(2)", "aspectRatio"),
        ("MODIFY personGeneration ENUM('NOBODY') NOT NULL", "personGeneration"),
        ("MODIFY organizationId VARCHAR(191) NOT NULL", "organizationId"),
    ],
)
async def test_registration_that_a_column_refuses_is_told_which_one(
    database_url: str, sql: Sql, change: str, column: str
) -> None:
    alter(sql, "video_generations", change)
    async with running(database_url, **UNASKED) as server:
        for path in ("/api/videos", "/api/videos/generate"):
            async with server.session.post(server.url + path, json={"prompt": "the sea"}) as answer:
                told = await answer.json()
                assert (answer.status, told["code"], column in told["error"]) == (422, "apply_failed", True)


async def test_webhook_is_answered_200_though_its_reason_does_not_fit(database_url: str, sql: Sql) -> None:
    alter(sql, "video_generations", "MODIFY error VARCHAR(191) CHARACTER SET utf8mb3")
    add(sql, "j1")
    add(sql, "j2")
    async with running(database_url, **UNASKED) as server:
        sent = [webhook("j1", "failed") | {"error": "🎬" * 300}, webhook("j2", "generating")]
        answers = await asyncio.gather(*(server.send(one) for one in sent))
        assert [code for code, _ in answers] == [200, 200], answers
    assert sql("SELECT status, error FROM video_generations ORDER BY id") == (
        ("FAILED", "\ufffd" * 191),
        ("PROCESSING", None),
    )


async def test_dead_letter_names_the_column_that_has_no_default(database_url: str, sql: Sql) -> None:
    alter(sql, "video_files", "ADD COLUMN tenant VARCHAR(191) NOT NULL")
    add(sql, "j1")
    async with running(database_url, **UNASKED) as server:
        code, body = await server.send(completion("j1", video("k/1")))
        assert (code, body["code"], "tenant" in body["error"]) == (422, "apply_failed", True)


async def test_migrate_names_the_columns_for_which_there_is_no_value(
    database_url: str, sql: Sql, tmp_path: Path
) -> None:
    alter(sql, "video_files", "ADD COLUMN tenant VARCHAR(191) NOT NULL")
    alter(sql, "video_generations", "ADD COLUMN shop INT NOT NULL, ADD COLUMN note INT NOT NULL DEFAULT 1")
    code, out, _ = await run(tmp_path, "migrate", DATABASE_URL=database_url)
    told = [line for line in out.splitlines() if "no default" in line]
    assert (code, [line.split()[1] for line in told]) == (0, ["video_files.tenant", "video_generations.shop"])


WIDE = ("MODIFY fileSize BIGINT", {"file_size": 3_000_000_000})


def count_of_transactions(sql: Sql) -> int:
    rows = sql("SHOW GLOBAL STATUS WHERE Variable_name IN ('Com_commit', 'Com_rollback')")
    return sum(int(count) for _, count in rows)


@pytest.mark.parametrize(
    "wrong",
    [
        {"file_size": 3_000_000_000}, {"filename": "f" * 192}, {"format": "f" * 192}, {"s3_key": "k" * 192},
    ],
)  # fmt: skip
async def test_many_that_a_column_refuses_at_once_cost_few_tries_and_hold_up_nobody(
    database_url: str, sql: Sql, wrong: dict[str, int | str]
) -> None:
    names = [f"j{number}" for number in range(500)]
    add(sql, "good")
    for name in names:
        add(sql, name)
    async with writing(database_url) as harness:
        before = count_of_transactions(sql)
        bad = [
            completion(name, video(f"k/{name}", **wrong | ({"s3_key": f"{name:k<192}"} if "s3_key" in wrong else {})))
            for name in names
        ]
        outcomes = await harness.submit(*bad[:250], completion("good", video("k/good")), *bad[250:])
        assert kinds(outcomes) == ["dead"] * 250 + ["applied"] + ["dead"] * 250
        assert {outcome.code for outcome in outcomes} == {"apply_failed", None}
        column = {"file_size": "fileSize", "s3_key": "s3Key"}.get(next(iter(wrong)), next(iter(wrong)))
        assert all(column in (outcome.error or "") for outcome in outcomes if outcome.kind == "dead")
        assert count_of_transactions(sql) - before < 40  # each by itself they were a thousand
    assert sql("SELECT s3Key FROM video_files") == (("k/good",),)


async def test_dead_letter_is_applied_by_a_replay_as_soon_as_its_column_is_wide_enough(
    database_url: str, sql: Sql
) -> None:
    change, fields = WIDE
    async with running(database_url, **UNASKED) as server:
        answers = []
        for name in ("j1", "j2"):
            await server.register(name)
        sent = [completion(name, video(f"k/{name}", **fields)) for name in ("j1", "j2")]
        answers = await asyncio.gather(*(server.send(one) for one in sent))
        assert {code for code, _ in answers} == {422}
        alter(sql, "video_files", change)
        for _, answer in answers:
            url = f"{server.url}/api/admin/webhooks/{answer['webhook_id']}/replay"
            async with server.session.post(url) as replayed:
                assert (await replayed.json())["outcome"] == "applied"
    assert sql("SELECT fileSize FROM video_files") == ((3_000_000_000,), (3_000_000_000,))


@pytest.mark.parametrize(
    ("column", "most"),
    [("INT", 2**31 - 1), ("INT UNSIGNED", 2**32 - 1), ("BIGINT", 2**63 - 1), ("DECIMAL(12,2)", 10**10 - 1)],
)  # fmt: skip
async def test_what_a_column_takes_is_never_refused_without_asking_it(
    database_url: str, sql: Sql, column: str, most: int
) -> None:
    alter(sql, "video_files", f"MODIFY fileSize {column}", "MODIFY filename VARCHAR(5)")
    for name in ("j1", "j2", "j3"):
        add(sql, name)
    sent = [
        completion("j1", video("k/1", filename="x" * 6)),
        completion("j2", video("k/2", filename="x", file_size=most)),
        completion("j3", video("k/3", filename="x" * 5 + "   ")),
    ]
    async with writing(database_url) as harness:
        assert kinds(await harness.submit(*sent)) == ["dead", "applied", "applied"]
        again = [completion("j2", video("k/4", filename="x", file_size=most), at="2025-10-23T15:00:00Z"), sent[0]]
        assert kinds(await harness.submit(*again)) == ["applied", "dead"]
