"""One user's unfinished jobs are bounded, however his requests come; what senders and admins make for others is not."""

import asyncio

import pytest

from app.db.pool import Pool
from app.db.register import NewJob, Registrar, TooManyUnfinishedError
from app.domain.estimate import Estimates
from tests.client import order, running
from tests.databases import Sql
from tests.rows import fill
from tests.sign_in import SECRET, bearer
from tests.webhooks import completion, video, webhook

GENERATE = "/api/videos/generate"
LIMITED = {"max_unfinished_per_user": 3, "simulated_step": 60, "auth_jwt_secret": SECRET, "webhook_secret": "s" * 20}


@pytest.mark.parametrize("path", [GENERATE, "/api/videos"])
async def test_user_who_has_too_many_is_told_until_one_has_ended(database_url: str, sql: Sql, path: str) -> None:
    fill(sql, 3, "u1")
    fill(sql, 9, "U1", name="k")
    fill(sql, 9, "u1", name="done", status="'COMPLETED'")
    async with running(database_url, **LIMITED) as server:
        async with server.session.post(server.url + path, json={"prompt": "p"}, headers=bearer("u1")) as answer:
            assert (answer.status, (await answer.json())["code"]) == (429, "too_many_unfinished")
            assert int(answer.headers["Retry-After"]) > 0
        assert sql("SELECT COUNT(*) FROM video_generations WHERE prompt = 'the sea'") == ((0,),)
        assert (await order(server, path, bearer("u2")))[0] in (201, 202)
        secret = {"X-Webhook-Secret": "s" * 20}
        assert (await server.send(completion("j00001", video("key")), secret))[0] == 200
        assert [(await order(server, path, bearer("u1")))[0] for _ in range(2)] in ([201, 429], [202, 429])
        assert (await server.send(webhook("j00002", "failed"), secret))[0] == 200
        assert (await order(server, path, bearer("u1")))[0] in (201, 202)


async def test_senders_and_admins_who_register_for_others_are_not_limited(database_url: str, sql: Sql) -> None:
    fill(sql, 3, "u1")
    fill(sql, 3, "boss", name="b")
    async with running(database_url, **LIMITED) as server:
        secret, admin = {"X-Webhook-Secret": "s" * 20}, bearer("boss", role="admin")
        assert (await order(server, headers=secret, user_id="u1"))[0] == 201
        assert (await order(server, headers=admin, user_id="u1"))[0] == 201
        assert (await order(server, headers=admin))[0] == 429
        # What is there already makes nothing more.
        assert (await order(server, headers=admin, job_id="b00001"))[0] == 200
        assert (await order(server, headers=admin, job_id="j00001"))[0] == 409


async def test_request_repeated_at_the_limit_gets_the_job_that_it_made(database_url: str, sql: Sql) -> None:
    fill(sql, 2, "u1")
    async with running(database_url, **LIMITED) as server:
        headers = bearer("u1") | {"Idempotency-Key": "k"}
        answers = await asyncio.gather(*(order(server, GENERATE, headers) for _ in range(5)))
        assert {code for code, _ in answers} == {202}
        assert len({body["job_id"] for _, body in answers}) == 1


async def test_of_twenty_requests_at_once_to_two_processes_one_passes_where_one_may(
    database_url: str, sql: Sql
) -> None:
    fill(sql, 2, "u1")
    async with running(database_url, **LIMITED) as one, running(database_url, **LIMITED) as other:
        answers = await asyncio.gather(
            *(order(server, GENERATE, bearer("u1")) for _ in range(10) for server in (one, other))
        )
        refused = [(code, body.get("code")) for code, body in answers if code != 202]
        assert refused == [(429, "too_many_unfinished")] * 19
    assert sql("SELECT COUNT(*) FROM video_generations") == ((3,),)


async def test_counting_never_goes_further_than_the_limit(database_url: str, sql: Sql) -> None:
    fill(sql, 20_000, "u1")
    pool = Pool(database_url, 1, 10)
    registrar = Registrar(pool, "fr", 100, Estimates())
    new = NewJob(None, "u1", None, "p", "16:9", 1, 8, "ALLOW_ALL", None)

    async def read() -> int:
        return sum(int(value) for _, value in await pool.rows("SHOW SESSION STATUS LIKE 'Handler_read%'"))

    before = await read()
    with pytest.raises(TooManyUnfinishedError):
        await registrar.register(new, limited=True)
    assert await read() - before < 400
    # The session gave up the user's turn.
    assert await pool.rows("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'User lock'") == ((0,),)
    assert (await registrar.register(new))[1] == "made"
    pool.close()
