"""The worst requests that a stranger, a user, a sender and an admin can make, and what each may cost."""

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.sign_in import bearer
from tests.webhooks import completion, video, webhook

SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MIB = 1024 * 1024
WEBHOOK = "/api/webhooks/video-completion"
SENDER = {"X-Webhook-Secret": SIGNING}
LONG_HEADER = "x" * 8000

SWITCHED = 101

Headers = Callable[[], dict[str, str]]


@dataclass
class Case:
    """One request. `memory` is in bytes and beside `body`, of which server and client have some copies.

    `given` are statements that are run before the server starts. Of a stream, `upto` is the id that its last event has.
    """

    who: str
    what: str
    status: int
    method: str = "GET"
    path: str = "/"
    headers: Headers = dict[str, Any]
    body: Callable[[], bytes] = bytes
    answer: int = 2000
    memory: int = 4 * MIB
    rows: int = 0
    given: tuple[str, ...] = ()
    upto: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


def made_up() -> dict[str, str]:
    return {"webhook-id": "m", "webhook-timestamp": str(int(time.time())), "webhook-signature": "v1,bm9uZQ=="}


def step(extra: bytes, job_id: str = "j1") -> bytes:
    return orjson.dumps(webhook(job_id, "generating"))[:-1] + b"," + extra + b"}"


_numbers = itertools.count(1)


def files() -> bytes:
    n = next(_numbers)
    made = completion("j1", *(video(f"k/{n}/{i}") for i in range(100)), at=f"2025-10-23T14:30:{n:02}Z")
    made["data"]["metadata"] |= {"more": "x" * 40_000}
    return orjson.dumps(made)


def order(extra: bytes) -> bytes:
    return b'{"prompt": "the sea", ' + extra + b"}"


def unfinished(prompt: str, message: str) -> tuple[str, ...]:
    """A thousand jobs of one user. Both are SQL."""
    return (
        (
            "INSERT INTO video_generations (id, prompt, message, authorId, status, createdAt, updatedAt)"
            f" SELECT CONCAT('u', seq), {prompt}, {message}, 'busy', 'GENERATING', NOW(3), NOW(3) FROM seq_1_to_1000"
        ),
    )


# As long as SNAPSHOT_MAX_BYTES lets a thousand of them be.
MESSAGES = unfinished("'the sea'", "REPEAT('x', 1600)")


def received(body: str) -> tuple[str, ...]:
    """A hundred webhooks and one, which were not applied. `body` is SQL."""
    return (
        (
            "INSERT INTO rushes_webhooks (id, outcome, attempts, duration_ms, error_code, error, received_at, headers,"
            " payload) SELECT LPAD(HEX(seq), 32, '0'), 'dead', 1, 1, 'invalid_payload', REPEAT('x', 2000), NOW(6),"
            f" '{{}}', {body} FROM seq_1_to_101"
        ),
    )


BODIES = received("CONCAT('[', REPEAT('{},', 349000), '0]')")


# 417 days, by the quarter of an hour. The times are those of 100 webhooks, of which none is in the bin of another.
HOURS = "/api/admin/stats?from=2025-01-01&to=2026-02-21T16:00:00Z&bucket=hour"
TIMES = "CONCAT(UNHEX('A086010000000000640000000000000000000000000000006400'), REPEAT(UNHEX('01000000'), 100))"
QUARTERS = (
    (
        "INSERT INTO rushes_rollups SELECT TIMESTAMPDIFF(SECOND, '1970-01-01', '2025-01-01') DIV 900 + seq - 1,"
        ' \'{"webhooks":{"applied":100},"finished":100,"failed":{"quota":1}}\','
        f" {TIMES}, {TIMES} FROM seq_1_to_40000"
    ),
    "INSERT INTO rushes_shown SELECT quarter, job_times, webhook_times FROM rushes_rollups",
)

# Five hundred events, all but the newest of them older than what the server has in memory.
LONG_ERRORS = (
    (
        "INSERT INTO rushes_events (id, job_id, author_id, organization_id, event, data, created_at)"
        " SELECT seq, 'late', 'late', NULL, 'failed',"
        " CONCAT('{\"error\":\"', REPEAT('x', 65000), '\"}'), NOW(3) FROM seq_1_to_500"
    ),
    "UPDATE rushes_counter SET value = 500",
)


PICTURED = (
    (
        "INSERT INTO video_generations (id, prompt, authorId, inputImageBase64, createdAt, updatedAt)"
        " VALUES ('pictured', 'the sea', 'busy', REPEAT('iVBORw0K', 1310000), NOW(3), NOW(3))"
    ),
)

# A page of jobs with as many files as are told of one.
FILES = (
    (
        "INSERT INTO video_generations (id, prompt, authorId, status, createdAt, updatedAt)"
        " SELECT CONCAT('b', seq), 'the sea', 'busy', 'COMPLETED', NOW(3), NOW(3) FROM seq_1_to_100"
    ),
    (
        "INSERT INTO video_files (id, filename, s3Key, filePath, fileSize, durationSeconds, aspectRatio, width, height,"
        " generationId) SELECT CONCAT(g.id, '-', seq), 'f', CONCAT(g.id, '/', seq), CONCAT(g.id, '/', seq), 1, 8,"
        " '16:9', 1, 1, g.id FROM video_generations g, seq_1_to_100 WHERE g.authorId = 'busy'"
    ),
)
SIGNED = {
    "s3_bucket": "videos", "aws_region": "eu-west-3", "aws_access_key_id": "AKIATEST", "aws_secret_access_key": "s",
}  # fmt: skip


def late() -> dict[str, str]:
    return bearer("late") | {"Last-Event-ID": "0-0"}


def busy() -> dict[str, str]:
    return bearer("busy")


def admin() -> dict[str, str]:
    return bearer("boss", role="admin")


def posted(
    who: str, what: str, status: int, path: str, headers: Headers, body: Callable[[], bytes], **bounds: Any
) -> Case:
    return Case(who, what, status, "POST", path, headers, body, **bounds)


def sent(what: str, status: int, body: Callable[[], bytes], **bounds: Any) -> Case:
    return posted("sender", what, status, WEBHOOK, lambda: SENDER, body, **bounds)


CASES = [
    posted("stranger", "webhook of 1 MiB without a secret", 401, WEBHOOK, dict, lambda: b" " * MIB),
    posted("stranger", "webhook of 1 MiB, made-up signature", 401, WEBHOOK, made_up, lambda: b" " * MIB,
           memory=8 * MIB),
    posted("stranger", "registration of 10 MiB, made-up signature", 401, "/api/videos", made_up,
           lambda: b" " * (10 * MIB), memory=48 * MIB),
    Case("stranger", "token of 8 kB", 401, path="/api/videos/user",
         headers=lambda: {"Authorization": f"Bearer {LONG_HEADER}"}),
    Case("stranger", "8 kB of cookies", 401, path="/api/videos/user",
         headers=lambda: {"Cookie": "__session=a.b.c;" * 500}),
    Case("stranger", "8 kB of X-Forwarded-For", 401, "POST", WEBHOOK, lambda: {"X-Forwarded-For": "10.0.0.1," * 880}),
    Case("stranger", "the description of the API", 200, path="/openapi.json", answer=200_000, memory=4 * MIB),
    Case("stranger", "readiness", 200, path="/readyz", rows=20),
    Case("stranger", "an unknown path of 8 kB", 404, path="/" + "x" * 8000),
    posted("user", "order of 10 MiB of {},{},", 400, "/api/videos", bearer,
           lambda: order(b'"x":[' + b"{}," * 3_400_000 + b"0]"),
           memory=60 * MIB),
    posted("user", "order with an image of 10 MiB", 201, "/api/videos", bearer,
           lambda: order(b'"input_image_base64":"' + b"A" * (10 * MIB - 100) + b'"'), answer=4000, memory=80 * MIB,
           rows=40),
    posted("user", "generation with an image of 10 MiB, refused by the backend", 502, "/api/videos/generate", bearer,
           lambda: order(b'"input_image_base64":"' + b"A" * (10 * MIB - 100) + b'"'), memory=80 * MIB, rows=100),
    Case("user", "image of an order, of 10 MiB", 200, path="/api/videos/pictured/image", headers=busy, answer=8 * MIB,
         memory=80 * MIB, rows=20, given=PICTURED),
    posted("user", "stream ticket", 200, "/api/stream-tickets", bearer, bytes, rows=10),
    Case("user", "list, of 1,000 unfinished of the longest prompts", 200, path="/api/videos/user", headers=busy,
         answer=5 * MIB, memory=40 * MIB, rows=3000, given=unfinished("REPEAT('🌊', 10000)", "NULL")),
    Case("user", "list, of 1,000 unfinished of prompts that JSON makes longer", 200, path="/api/videos/user",
         headers=busy, answer=5 * MIB, memory=40 * MIB, rows=3000,
         given=unfinished("REPEAT(CHAR(1), 10000)", "NULL")),
    Case("user", "stream of 1,000 unfinished", 200, path="/events", headers=busy, answer=3 * MIB, memory=16 * MIB,
         rows=8000, given=MESSAGES, upto="0-0"),
    Case("user", "WebSocket of 1,000 unfinished", 101, path="/ws", headers=busy, answer=3 * MIB, memory=16 * MIB,
         rows=8000, given=MESSAGES, upto="0-0"),
    Case("user", "stream that resumes 500 events of 64 kB", 200, path="/events", headers=late, answer=33 * MIB,
         memory=16 * MIB, rows=15_000, given=LONG_ERRORS, upto="500-"),
    Case("user", "WebSocket that resumes 500 events of 64 kB", 101, path="/ws", headers=late, answer=33 * MIB,
         memory=16 * MIB, rows=15_000, given=LONG_ERRORS, upto="500-"),
    Case("user", "gallery page of 100, of 1,000 videos", 200, path="/api/videos/user?limit=100", headers=bearer,
         answer=200_000, memory=8 * MIB, rows=2500),
    *(
        Case("user", f"list of 100 videos with 100 files each, {name}", 200, path="/api/videos/user?limit=100",
             headers=busy, answer=5 * MIB, memory=40 * MIB, rows=45_000, given=FILES, settings=settings)
        for name, settings in (
            ("not signed", {}),
            ("signed", SIGNED),
            ("signed by a long token", SIGNED | {"aws_session_token": "t" * 1500}),
        )
    ),
    Case("user", "search of 1,000 unfinished of long prompts for what nearly fits everywhere", 200,
         path=f"/api/videos/user?state=active&page=1&q={'a' * 99}b", headers=busy, rows=5000,
         given=unfinished("REPEAT('a', 10000)", "NULL")),
    Case("user", "job with 100 files", 200, path="/api/videos/many", headers=bearer, answer=100_000,
         rows=400),
    Case("user", "cursor of 7 kB", 400, path="/api/videos/user?cursor=" + "A" * 7000, headers=bearer),
    sent("900 kB of {},{},", 400, lambda: step(b'"x":[' + b"{}," * 300_000 + b"0]"), memory=24 * MIB, rows=60),
    sent("900 kB of deep lists, with NaN", 400,
             lambda: step(b'"y":NaN,"x":[' + (b"[" * 60 + b"]" * 60 + b",") * 7000 + b"0]"), memory=24 * MIB, rows=60),
    sent("24,000 objects, with NaN", 200,
         lambda: step(b'"y":NaN,"x":[' + b"{}," * 24_000 + b"0]"), memory=24 * MIB, rows=60),
    sent("duration with 900 kB of spaces", 400,
             lambda: orjson.dumps(completion("j1", video("k/1", duration="8" + " " * 900_000 + "x"))),
             memory=24 * MIB, rows=60),
    sent("1 MiB of text", 200, lambda: step(b'"x":"' + b'\\",' * 340_000 + b'"'), memory=24 * MIB, rows=60),
    sent("1 MiB of text for an unknown job", 404, lambda: step(b'"x":"' + b'\\",' * 340_000 + b'"', "unknown"),
         memory=24 * MIB, rows=60),
    sent("100 files and 40 kB of metadata each", 200, files, memory=40 * MIB, rows=900),
    Case("admin", "list of 100 webhooks of 1 MiB", 200, path="/api/admin/webhooks?limit=100", headers=admin,
         answer=300_000, memory=8 * MIB, rows=300, given=BODIES),
    Case("admin", "webhook of 1 MiB of {},{},", 200, path=f"/api/admin/webhooks/{1:032X}", headers=admin,
         answer=2 * MIB, memory=48 * MIB, rows=60, given=BODIES),
    Case("admin", "statistics of 10,000 hours, each of four quarters of an hour", 200, path=HOURS, headers=admin,
         answer=6 * MIB, memory=64 * MIB, rows=90_000, given=QUARTERS),
]  # fmt: skip
