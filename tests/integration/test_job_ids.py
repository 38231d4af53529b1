"""Every id that a job may be registered under can be asked for, and listened to; others are refused at once."""

import random
from urllib.parse import quote

import pytest
from yarl import URL

from tests.client import Client, order, running
from tests.databases import Sql
from tests.streams import events
from tests.webhooks import webhook

PARTS = [
    *"/?#%&+;:@=.~\\'\"<>{}[]|^`*!$,_- ab0\t\n\r\x00\x01\x7f\x85\xa0éßİ中😀\u200b\u2028\ufeff\u202e",
    "..",
    "%2F",
    "%2e",
    "%00",
]


def some_ids(count: int) -> list[str]:
    chance = random.Random(1)
    made = {"".join(chance.choices(PARTS, k=chance.randint(1, 6))) for _ in range(count)}
    return [*PARTS, "...", "user ", "User", "generate/", "x" * 191, "😀" * 191, *sorted(made)]


async def test_every_id_that_is_accepted_can_be_read_and_listened_to(server: Client) -> None:
    accepted = 0
    for job_id in some_ids(150):
        code, body = await order(server, job_id=job_id)
        if code not in (200, 201):
            assert (code, body["code"]) in ((400, "invalid_request"), (409, "id_conflict")), job_id
            continue
        accepted += 1
        assert body["job_id"] == job_id
        path = quote(job_id, safe="")
        address = URL(f"{server.url}/api/videos/{path}", encoded=True)
        async with server.session.get(address) as answer:
            assert answer.status == 200, repr(job_id)
            assert (await answer.json())["id"] == job_id
        async with events(server.session, URL(f"{server.url}/events/{path}", encoded=True)) as source:
            assert (await source.next()).data["job_id"] == job_id
    assert accepted > 100


ADDRESSES = [".", "..", "user", "generate"]


@pytest.mark.parametrize("job_id", ADDRESSES)
async def test_id_whose_address_is_another_is_refused(server: Client, job_id: str) -> None:
    code, body = await order(server, job_id=job_id)
    assert (code, body["details"][0]["field"]) == (400, "job_id")


async def test_webhook_makes_no_job_whose_address_is_another(database_url: str, sql: Sql) -> None:
    async with running(database_url, unknown_job="create") as server:
        for job_id in ADDRESSES:
            assert (await server.send(webhook(job_id, "generating", data={"user_id": "u1"})))[0] == 404
    assert sql("SELECT COUNT(*) FROM video_generations") == ((0,),)
