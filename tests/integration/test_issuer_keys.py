"""An issuer's keys: fetched rarely, again for new ones, and good while it is away."""

import asyncio
import time

import pytest
from aiohttp import web
from jwt.algorithms import RSAAlgorithm

from app.auth import jwks
from tests.sign_in import Issuer, by_jwks, gallery
from tests.streams import later


async def test_keys_are_fetched_once_and_again_for_a_new_one(database_url: str, issuer: Issuer) -> None:
    issuer.add("a")
    async with by_jwks(database_url, issuer, jwks_cool_down=1e-6) as server:
        assert [await gallery(server, issuer.token("a")) for _ in range(3)] == [200] * 3
        assert issuer.asked == 1
        issuer.add("b")
        assert await gallery(server, issuer.token("b")) == 200
        assert issuer.asked == 2
        del issuer.keys["a"]


async def test_flood_of_unknown_keys_asks_the_issuer_once_in_a_while(database_url: str, issuer: Issuer) -> None:
    issuer.add("a")
    strange = Issuer()
    strange.add("x")
    async with by_jwks(database_url, issuer) as server:
        answers = await asyncio.gather(*(gallery(server, strange.token("x")) for _ in range(50)))
        assert answers == [401] * 50
        assert await gallery(server, issuer.token("a")) == 200
        assert issuer.asked == 1


async def test_keys_stay_good_while_the_issuer_is_away(database_url: str, issuer: Issuer) -> None:
    issuer.add("a")
    async with by_jwks(database_url, issuer, jwks_max_age=1e-6, jwks_cool_down=1e-6) as server:
        assert await gallery(server, issuer.token("a")) == 200
        issuer.broken = True
        assert await gallery(server, issuer.token("a")) == 200
        assert issuer.asked == 2
        issuer.answers.clear()
        async with asyncio.timeout(2):  # less than an answer may take
            assert await asyncio.gather(*(gallery(server, issuer.token("a")) for _ in range(3))) == [200] * 3
        issuer.answers.set()


async def test_good_tokens_are_told_to_come_back_while_no_keys_were_ever_fetched(
    database_url: str, issuer: Issuer
) -> None:
    issuer.add("a")
    issuer.broken = True
    good = issuer.token("a")
    async with by_jwks(database_url, issuer, jwks_cool_down=3600) as server:
        began = time.monotonic()
        assert await asyncio.gather(*(gallery(server, good) for _ in range(50))) == [503] * 50
        assert 1 <= issuer.asked <= 1 + (time.monotonic() - began) // jwks._FIRST_COOL_DOWN
        for path in ("/events", "/events/mine"):
            assert await later(server.session, server.url + path, headers=good) == "unavailable"
        for path in ("/api/videos/user", "/ws"):
            headers = good | {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
            headers["Sec-WebSocket-Key"] = "AAAAAAAAAAAAAAAAAAAAAA=="
            async with server.session.get(server.url + path, headers=headers) as answer:
                assert (answer.status, (await answer.json())["code"]) == (503, "unavailable")
                assert int(answer.headers["Retry-After"]) > 0
        for headers in ({}, {"Authorization": "Bearer rubbish"}):
            assert await gallery(server, headers) == 401
        assert await server.read("/readyz") == (503, {"status": "degraded", "database": "ok", "jwks": "out of reach"})
        issuer.broken = False
        async with asyncio.timeout(10):
            while (await server.read("/readyz"))[1] != {"status": "ready", "database": "ok", "jwks": "ok"}:
                await asyncio.sleep(0.05)
        assert await gallery(server, good) == 200
        issuer.broken = True
        strange = Issuer()
        strange.add("x")
        assert await gallery(server, strange.token("x")) == 401


@pytest.mark.parametrize("names", ["both", "neither", "tokens", "keys"])
async def test_key_that_was_changed_under_its_old_name_is_noticed_at_once_and_the_old_one_forgotten(
    database_url: str, issuer: Issuer, names: str
) -> None:
    issuer.names_keys = names in ("both", "keys")
    named = names in ("both", "tokens")
    issuer.add("a")
    async with by_jwks(database_url, issuer) as server:
        old = issuer.token("a", named=named)
        assert await gallery(server, old) == 200
        issuer.add("a")
        assert await gallery(server, issuer.token("a", named=named)) == 200
        assert issuer.asked == 2
        assert await gallery(server, old) == 401
        assert await gallery(server, issuer.token("a", named=named)) == 200
        assert issuer.asked == 2


async def test_flood_of_bad_signatures_asks_the_issuer_once_in_a_while_and_hides_no_change_for_longer(
    database_url: str, issuer: Issuer
) -> None:
    issuer.add("a")
    forger = Issuer()
    forger.add("a")
    async with by_jwks(database_url, issuer, jwks_cool_down=0.5) as server:
        assert await gallery(server, issuer.token("a")) == 200
        began = time.monotonic()
        for _ in range(5):
            answers = await asyncio.gather(*(gallery(server, forger.token("a")) for _ in range(20)))
            assert answers == [401] * 20
        assert issuer.asked - 1 <= (time.monotonic() - began) / 0.5 + 1
        issuer.add("a")
        async with asyncio.timeout(5):
            while await gallery(server, issuer.token("a")) != 200:
                await gallery(server, forger.token("a"))
    async with by_jwks(database_url, issuer) as server:
        assert await gallery(server, issuer.token("a")) == 200
        asked = issuer.asked
        await asyncio.gather(*(gallery(server, forger.token("a")) for _ in range(50)))
        assert issuer.asked == asked + 1


async def test_token_that_names_no_key_is_tried_with_each(database_url: str, issuer: Issuer) -> None:
    for kid in ("a", "b", "c"):
        issuer.add(kid)
    async with by_jwks(database_url, issuer) as server:
        assert [await gallery(server, issuer.token(kid, named=False)) for kid in "abc"] == [200] * 3
        assert issuer.asked == 1


@pytest.mark.parametrize(
    "odd", [None, "x", [], {"kty": "RSA", "alg": ["RS256"]}, {"kty": [], "alg": {}}, {"kty": "RSA", "use": {}}]
)
async def test_entry_that_is_no_key_keeps_nobody_from_signing_in_with_the_others(
    database_url: str, issuer: Issuer, odd: object
) -> None:
    issuer.add("a")
    issuer.listed_before = [odd]
    async with by_jwks(database_url, issuer) as server:
        assert [await gallery(server, issuer.token("a", named=named)) for named in (True, False)] == [200, 200]


async def test_key_whose_private_half_is_published_signs_nobody_in_and_keeps_nobody_out(
    database_url: str, issuer: Issuer
) -> None:
    issuer.add("a")
    leaked = Issuer()
    leaked.add("b")
    issuer.listed_before = [RSAAlgorithm.to_jwk(leaked.keys["b"], as_dict=True) | {"kid": "b"}]
    async with by_jwks(database_url, issuer) as server:
        assert await gallery(server, leaked.token("b")) == 401
        assert [await gallery(server, issuer.token("a", named=named)) for named in (True, False)] == [200, 200]


async def test_issuer_that_withdraws_all_keys_is_believed(database_url: str, issuer: Issuer) -> None:
    issuer.add("a")
    good = issuer.token("a")
    async with by_jwks(database_url, issuer, jwks_max_age=1e-6, jwks_cool_down=1e-6) as server:
        assert await gallery(server, good) == 200
        issuer.keys.clear()
        assert await gallery(server, good) == 503


async def test_keys_are_not_taken_from_where_somebody_on_the_way_could_change_them(
    database_url: str, issuer: Issuer
) -> None:
    issuer.add("a")
    elsewhere = web.Application()

    async def lead(_request: web.Request) -> web.Response:
        raise web.HTTPFound("http://0.0.0.0" + issuer.url.removeprefix("http://127.0.0.1"))

    elsewhere.router.add_get("/jwks", lead)
    runner = web.AppRunner(elsewhere)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/jwks"
    async with by_jwks(database_url, issuer, auth_jwks_url=url) as server:
        assert await gallery(server, issuer.token("a")) == 503
    assert issuer.asked == 1
    await runner.cleanup()
