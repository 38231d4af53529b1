"""A request that is sent again, by its sender or by who captured it, makes nothing a second time."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from app.appkeys import LEADER, POOL
from app.upkeep.retention import Retention
from tests.client import Client, order, running
from tests.databases import Sql
from tests.sign_in import SECRET, bearer
from tests.webhooks import WHSEC, signed

KEY = {"Idempotency-Key": "k1"}
GENERATE = "/api/videos/generate"
ORDER = {"prompt": "the sea", "user_id": "u1"}


async def registered(server: Client, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
    headers = {"Content-Type": "application/json"} | headers
    async with server.session.post(f"{server.url}/api/videos", data=body, headers=headers) as answer:
        return answer.status, await answer.json()


def body_of(**fields: Any) -> bytes:
    return orjson.dumps(ORDER | fields)


@pytest.fixture
async def guarded(database_url: str) -> AsyncIterator[Client]:
    async with running(database_url, webhook_secret=WHSEC, auth_jwt_secret=SECRET, simulated_step=60) as server:
        yield server


@pytest.mark.parametrize(
    "other",
    [{"prompt": "the sea "}, {"aspect_ratio": "9:16"}, {"number_of_videos": 2}, {"input_image_base64": "AA=="}],
)
async def test_key_of_another_order_is_refused_and_the_order_is_not_taken_for_the_first(
    server: Client, sql: Sql, other: dict[str, int | str]
) -> None:
    code, first = await order(server, GENERATE, KEY)
    assert code == 202
    code, body = await order(server, GENERATE, KEY, **other)
    assert (code, body["code"]) == (422, "idempotency_key_reused")
    assert sql("SELECT COUNT(*) FROM video_generations") == ((1,),)
    code, again = await order(server, GENERATE, KEY)
    assert (code, again["job_id"]) == (202, first["job_id"])


async def test_same_order_in_other_words_is_the_same(server: Client) -> None:
    spelled: list[dict[str, Any]] = [
        {},
        {"aspect_ratio": "16:9"},
        {"duration_seconds": 8.0},
        {"duration_seconds": None},
        {"unknown": 1},
    ]
    answers = [await order(server, GENERATE, KEY, **fields) for fields in spelled]
    assert [code for code, _ in answers] == [202] * len(spelled)
    assert len({body["job_id"] for _, body in answers}) == 1


@pytest.mark.parametrize(
    "change", ["DELETE FROM video_generations", "UPDATE video_generations SET authorId = 'u9', organizationId = NULL"]
)
async def test_order_of_a_job_that_is_gone_or_somebody_elses_is_told_so_and_makes_no_other(
    guarded: Client, sql: Sql, change: str
) -> None:
    _, first = await order(guarded, GENERATE, KEY | bearer("u1"))
    sql(change)
    code, body = await order(guarded, GENERATE, KEY | bearer("u1"))
    assert (code, body["code"], body["job_id"]) == (409, "deleted", first["job_id"])
    assert sql("SELECT COUNT(*) FROM rushes_requests") == ((1,),)


async def test_two_orders_with_one_key_at_once_make_one_job(server: Client, sql: Sql) -> None:
    answers = await asyncio.gather(*(order(server, GENERATE, KEY, prompt=f"sea {n % 2}") for n in range(8)))
    assert sorted(code for code, _ in answers) == [202] * 4 + [422] * 4
    assert sql("SELECT COUNT(*) FROM video_generations") == ((1,),)


async def test_key_remembered_before_orders_were_compared_still_finds_its_job(server: Client, sql: Sql) -> None:
    code, first = await order(server, GENERATE, KEY)
    sql("UPDATE rushes_requests SET digest = NULL")
    code, again = await order(server, GENERATE, KEY, prompt="another")
    assert (code, again["job_id"]) == (202, first["job_id"])


async def test_captured_registration_makes_nothing_the_second_time(guarded: Client, sql: Sql) -> None:
    body = body_of()
    headers = signed(body)
    code, made = await registered(guarded, body, headers)
    assert code == 201
    for _ in range(2):
        assert await registered(guarded, body, headers) == (200, made)
    assert sql("SELECT COUNT(*) FROM video_generations") == ((1,),)


async def test_senders_next_registration_of_the_same_body_is_another_one(guarded: Client, sql: Sql) -> None:
    body = body_of()
    answers = [await registered(guarded, body, signed(body, webhook_id=f"msg_{n}")) for n in range(2)]
    assert [code for code, _ in answers] == [201, 201]
    assert sql("SELECT COUNT(*) FROM video_generations") == ((2,),)


async def test_id_of_another_registration_is_refused(guarded: Client, sql: Sql) -> None:
    body, other = body_of(), body_of(prompt="another")
    assert (await registered(guarded, body, signed(body)))[0] == 201
    code, answer = await registered(guarded, other, signed(other))
    assert (code, answer["code"]) == (422, "idempotency_key_reused")
    # With a token of one's own beside it, which would make the job one's own.
    code, answer = await registered(guarded, other, signed(other) | bearer("thief"))
    assert (code, answer["code"]) == (422, "idempotency_key_reused")
    assert sql("SELECT authorId FROM video_generations") == (("u1",),)


@pytest.mark.parametrize("made_before", [False, True])
async def test_captured_registration_does_not_bring_a_deleted_job_back(
    guarded: Client, sql: Sql, made_before: bool
) -> None:
    body = body_of(job_id="j1")
    if made_before:  # by another request
        assert (await registered(guarded, body, signed(body, webhook_id="msg_0")))[0] == 201
    headers = signed(body)
    assert (await registered(guarded, body, headers))[0] == (200 if made_before else 201)
    sql("DELETE FROM video_generations")
    code, answer = await registered(guarded, body, headers)
    assert (code, answer["code"]) == (409, "deleted")
    assert sql("SELECT COUNT(*) FROM video_generations") == ((0,),)


async def test_captured_registration_without_an_owner_is_nobodys_for_the_taking(guarded: Client, sql: Sql) -> None:
    body = orjson.dumps({"job_id": "j1", "prompt": "the sea"})
    captured = signed(body)
    for headers in (bearer("thief"), bearer("thief") | {"X-Webhook-Secret": "a guess"}, {}):
        code, answer = await registered(guarded, body, captured | headers)
        assert (code, "user_id" in answer["error"]) == (400, True)
    assert sql("SELECT COUNT(*) FROM video_generations") == ((0,),)
    # Who knows the secret itself may say by a user's token for whom it is.
    code, answer = await registered(guarded, body, bearer("u1") | {"X-Webhook-Secret": WHSEC})
    assert (code, answer["job_id"]) == (201, "j1")
    assert sql("SELECT authorId FROM video_generations") == (("u1",),)


async def test_captured_registration_does_not_touch_the_next_owners_job_of_its_id(guarded: Client, sql: Sql) -> None:
    body, next_body = body_of(job_id="j1"), body_of(job_id="j1", user_id="u2")
    headers = signed(body)
    assert (await registered(guarded, body, headers))[0] == 201
    sql("DELETE FROM video_generations")
    assert (await registered(guarded, next_body, signed(next_body, webhook_id="msg_2")))[0] == 201
    code, answer = await registered(guarded, body, headers)
    assert (code, answer["code"]) == (409, "id_conflict")
    assert "prompt" not in answer


async def test_captured_registration_at_two_servers_at_once_makes_one_job(
    guarded: Client, database_url: str, sql: Sql
) -> None:
    body = body_of()
    headers = signed(body)
    async with running(database_url, webhook_secret=WHSEC, auth_jwt_secret=SECRET) as other:
        answers = await asyncio.gather(*(registered(s, body, headers) for s in (guarded, other) * 6))
    assert sorted(code for code, _ in answers) == [200] * 11 + [201]
    assert len({answer["job_id"] for _, answer in answers}) == 1
    assert sql("SELECT COUNT(*) FROM video_generations") == ((1,),)


async def test_users_keys_and_senders_ids_are_not_each_others(guarded: Client, sql: Sql) -> None:
    body = body_of()
    assert (await registered(guarded, body, signed(body, webhook_id="k1")))[0] == 201
    assert (await order(guarded, GENERATE, KEY | bearer("u1"), prompt="another"))[0] == 202
    assert sql("SELECT COUNT(DISTINCT job_id) FROM rushes_requests") == ((2,),)


async def test_longest_webhook_id_is_remembered_in_full(guarded: Client, sql: Sql) -> None:
    body = body_of()
    for end in ("a", "b"):
        headers = signed(body, webhook_id="x" * 4000 + end)
        assert [(await registered(guarded, body, headers))[0] for _ in range(2)] == [201, 200]


async def test_registration_is_remembered_for_as_long_as_its_signature_is_good(guarded: Client, sql: Sql) -> None:
    body = body_of()
    headers = signed(body, ago=-290)
    assert (await registered(guarded, body, headers))[0] == 201
    sql("UPDATE rushes_requests SET created_at = created_at - INTERVAL 580 SECOND")
    retention = Retention(guarded.app[POOL], guarded.app[LEADER], days=1 / 86400)
    await retention.purge()
    assert (await registered(guarded, body, headers))[0] == 200
    sql("UPDATE rushes_requests SET created_at = created_at - INTERVAL 580 SECOND")
    await retention.purge()
    assert sql("SELECT COUNT(*) FROM rushes_requests") == ((0,),)


async def test_secret_that_is_sent_plain_names_its_registrations_too(database_url: str, sql: Sql) -> None:
    async with running(database_url, webhook_secret="geheim", auth_jwt_secret=SECRET) as server:
        headers = {"X-Webhook-Secret": "geheim", "webhook-id": "msg_1"}
        assert [(await registered(server, body_of(), headers))[0] for _ in range(2)] == [201, 200]
        del headers["webhook-id"]
        assert [(await registered(server, body_of(), headers))[0] for _ in range(2)] == [201, 201]
    assert sql("SELECT COUNT(*) FROM video_generations") == ((3,),)
