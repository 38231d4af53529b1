"""Stream tickets: their key is in the database alone, and whoever does not have it makes none."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jwt
import pytest

from app.auth import tickets as module
from app.auth.tickets import Tickets
from app.auth.tokens import Identity, TokenError
from app.db import migrate, ticket_key
from app.db.connection import Row, Statement
from app.db.errors import DatabaseAwayError
from app.db.pool import Pool
from app.db.ticket_key import TicketKey
from tests.client import running
from tests.databases import Sql
from tests.gate import Gate
from tests.sign_in import SECRET, Issuer, bearer, buy, by_jwks, token
from tests.streams import later

SENDERS = "the secret that all the senders hold"


@asynccontextmanager
async def tickets(database_url: str, seconds: float = 60.0) -> AsyncIterator[Tickets]:
    pool = Pool(database_url, 2, 10)
    yield Tickets(TicketKey(pool), seconds)
    pool.close()


def key_in(sql: Sql) -> bytes:
    [(secret,)] = sql("SELECT secret FROM rushes_ticket_key")
    return bytes.fromhex(secret)


async def refusal(verifier: Tickets, ticket: str) -> str:
    with pytest.raises(TokenError) as refused:
        await verifier.verify(ticket)
    return str(refused.value)


async def test_ticket_opens_streams_as_its_buyer_until_his_token_expires(database_url: str) -> None:
    until = time.time() + 3600
    who = Identity("u1", "o1", admin=True, expires_at=until)
    async with tickets(database_url) as here, tickets(database_url) as elsewhere:
        ticket, expires_at = await here.make(who)
        assert await here.verify(ticket) == await elsewhere.verify(ticket) == who
        assert time.time() + 50 < expires_at <= time.time() + 60
        assert (await here.make(Identity("u1", expires_at=time.time() + 5)))[1] <= time.time() + 5


async def test_ticket_is_good_for_a_while_and_for_nothing_else(database_url: str) -> None:
    async with tickets(database_url) as ours, tickets(database_url, -1) as late:
        who = Identity("u1", expires_at=time.time() + 60)
        assert await refusal(ours, (await late.make(who))[0]) == "expired"
        assert await refusal(ours, token()) == "bad signature"
        for rubbish in ("", "a.b.c", "é.é.é", (await ours.make(who))[0] + "=", "A" * 5000 + ".e30.x"):
            assert await refusal(ours, rubbish) in ("malformed", "bad signature")


async def test_tickets_that_were_bought_before_the_clock_was_set_back_are_refused_until_it_is_right(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with tickets(database_url) as ours:
        who = Identity("u1", expires_at=time.time() + 7200)
        before, _ = await ours.make(who)
        back = time.time() - 3600
        monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: back))
        assert await refusal(ours, before) == "valid for too long"
        monkeypatch.undo()
        assert await ours.verify(before)


async def test_ticket_of_the_right_key_is_refused_if_anything_about_it_is_not_as_we_make_them(
    database_url: str, sql: Sql
) -> None:
    async with tickets(database_url) as ours:
        now = int(time.time())
        good = {"aud": "rushes:stream", "sub": "u1", "org": None, "admin": False, "exp": now + 50, "until": now + 90}
        await ours.make(Identity("u1"))

        def made(change: dict[str, Any]) -> str:
            claims = {name: value for name, value in (good | change).items() if value != "absent"}
            return jwt.encode(claims, key_in(sql), algorithm="HS256")

        assert await ours.verify(made({})) == Identity("u1", expires_at=now + 90)
        for change, reason in (
            ({"exp": now + 30 * 365 * 86_400}, "valid for too long"),
            ({"exp": now + 3600, "until": now + 3600}, "valid for too long"),
            ({"exp": "absent"}, "no exp"),
            ({"until": "absent"}, "no until"),
            ({"until": None}, "no until"),
            ({"until": now - 1}, "expired"),
            ({"until": "later"}, "malformed"),
            ({"until": True}, "malformed"),
            ({"until": float("inf")}, "malformed"),
            ({"until": float("nan")}, "malformed"),
            ({"admin": 1}, "malformed"),
            ({"admin": "absent"}, "malformed"),
            ({"sub": "bob "}, "unusable sub or organization"),
            ({"sub": 5}, "unusable sub"),
            ({"org": "o1 "}, "unusable sub or organization"),
            ({"org": 5}, "unusable sub or organization"),
            ({"aud": "other"}, "wrong audience"),
            ({"aud": ["rushes:stream"]}, "wrong audience"),
        ):
            assert await refusal(ours, made(change)) == reason
        for algorithm in ("HS384", "HS512"):
            assert await refusal(ours, jwt.encode(good, key_in(sql) * 2, algorithm=algorithm)) == "wrong algorithm"


@pytest.mark.parametrize("mode", ["jwks", "secret"])
async def test_whoever_holds_the_senders_secret_or_signs_tokens_makes_no_ticket(
    database_url: str, issuer: Issuer, mode: str
) -> None:
    issuer.add("a")
    server = (
        by_jwks(database_url, issuer, webhook_secret=SENDERS)
        if mode == "jwks"
        else running(database_url, webhook_secret=SENDERS, auth_jwt_secret=SECRET)
    )
    now = int(time.time())
    claims = {"aud": "rushes:stream", "sub": "u1", "org": None, "admin": True, "exp": now + 50, "until": now + 50}
    async with server as started:
        for secret in (SENDERS, SECRET):
            for key in (secret.encode(), hmac.digest(secret.encode(), b"rushes stream ticket", hashlib.sha256)):
                forged = jwt.encode(claims, key, algorithm="HS256")
                assert (await started.read(f"/events?ticket={forged}"))[0] == 401
        ticket = (await buy(started, issuer.token("a") if mode == "jwks" else bearer()))["ticket"]
        async with started.session.get(f"{started.url}/events?ticket={ticket}") as stream:
            assert stream.status == 200


async def test_tickets_are_sold_by_an_issuers_tokens_without_any_secret_of_senders(
    database_url: str, issuer: Issuer
) -> None:
    issuer.add("a")
    async with running(database_url, auth_jwks_url=issuer.url) as server:
        assert (await buy(server, issuer.token("a")))["ticket"]


async def test_migrating_makes_the_key_once_and_each_database_has_its_own(database_url: str, sql: Sql) -> None:
    await asyncio.gather(*(asyncio.to_thread(migrate.apply, database_url) for _ in range(3)))
    [(secret,)] = sql("SELECT secret FROM rushes_ticket_key")
    assert len(bytes.fromhex(secret)) == 32
    await asyncio.to_thread(migrate.apply, database_url)
    assert sql("SELECT secret FROM rushes_ticket_key") == ((secret,),)
    sql("DELETE FROM rushes_ticket_key")
    await asyncio.to_thread(migrate.apply, database_url)
    assert sql("SELECT secret FROM rushes_ticket_key") != ((secret,),)


async def test_processes_that_start_at_once_without_a_key_agree_on_one(database_url: str, sql: Sql) -> None:
    pools = [Pool(database_url, 2, 10) for _ in range(5)]
    found = await asyncio.gather(*(TicketKey(pool).get() for pool in pools))
    assert set(found) == {key_in(sql)}
    for pool in pools:
        pool.close()


async def test_deleting_the_key_makes_a_new_one_and_the_tickets_of_the_old_one_useless(
    database_url: str, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticket_key, "_READ_AGAIN", 0.0)
    who = Identity("u1", expires_at=time.time() + 600)
    async with tickets(database_url) as here, tickets(database_url) as elsewhere:
        old = (await here.make(who))[0]
        await elsewhere.verify(old)
        sql("DELETE FROM rushes_ticket_key")
        monkeypatch.setattr(ticket_key, "_KEPT", 0.0)  # a minute has passed there
        new = (await elsewhere.make(who))[0]
        assert await refusal(elsewhere, old) == "bad signature"
        monkeypatch.setattr(ticket_key, "_KEPT", 60.0)
        # This process has not heard of it: a ticket that does not fit makes it look.
        assert await here.verify(new) == who
        assert await refusal(here, old) == "bad signature"


async def test_flood_of_forged_tickets_asks_the_database_once_a_second_at_most(database_url: str) -> None:
    asked = []

    class Counting(Pool):
        async def rows(self, statement: Statement) -> tuple[Row, ...]:
            asked.append(statement)
            return await super().rows(statement)

    pool = Counting(database_url, 2, 10)
    ours = Tickets(TicketKey(pool), 60.0)
    await ours.make(Identity("u1"))
    before, began = len(asked), time.monotonic()
    for _ in range(200):
        assert await refusal(ours, token()) == "bad signature"
    assert len(asked) - before <= time.monotonic() - began + 1
    pool.close()


async def test_without_the_database_nobody_guesses_whose_a_ticket_is(database_url: str, tmp_path: Path) -> None:
    gate = Gate(database_url)
    await gate.open()
    async with running(gate.url, data_dir=tmp_path, auth_jwt_secret=SECRET, webhook_secret=SENDERS) as first:
        ticket = (await buy(first, bearer()))["ticket"]
    await gate.shut()
    async with running(gate.url, data_dir=tmp_path, auth_jwt_secret=SECRET, webhook_secret=SENDERS) as server:
        for path in (f"/events?ticket={ticket}", f"/events?ticket={token()}"):
            assert await later(server.session, server.url + path) == "unavailable"
        async with server.session.post(f"{server.url}/api/stream-tickets", headers=bearer()) as answer:
            assert (answer.status, int(answer.headers["Retry-After"]) > 0) == (503, True)
        assert (await server.read("/events?ticket=rubbish"))[0] == 401
        async with server.session.post(f"{server.url}/api/stream-tickets") as answer:
            assert answer.status == 401


@pytest.mark.parametrize("spoilt", ["", "0" * 63, "z" * 64])
async def test_key_that_somebody_spoilt_signs_nothing(database_url: str, sql: Sql, spoilt: str) -> None:
    sql("REPLACE INTO rushes_ticket_key (id, secret) VALUES (1, %s)", spoilt)
    async with tickets(database_url) as ours:
        with pytest.raises(DatabaseAwayError):
            await ours.make(Identity("u1"))
