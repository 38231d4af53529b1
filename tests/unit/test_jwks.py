"""An issuer's keys, while it says nothing."""

import asyncio
from typing import Any

import pytest

from app.auth import jwks
from app.auth.jwks import KeySet


class Key:
    key_id = "good"


async def test_good_token_waits_for_one_answer_of_an_issuer_that_hangs_whatever_others_send(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = 0

    async def hang(_url: str) -> bytes:
        nonlocal ended
        await asyncio.sleep(jwks._SECONDS)
        ended += 1
        raise TimeoutError

    monkeypatch.setattr(jwks, "_SECONDS", 0.1)
    monkeypatch.setattr(jwks, "_download", hang)
    keys: Any = KeySet("https://issuer.example", max_age=0.0, cool_down=0.0)
    keys._keys = [Key()]
    forged = [asyncio.create_task(keys.find(f"kid{number}")) for number in range(10)]
    forged += [asyncio.create_task(keys.find_newer("good", [], float("inf"))) for _ in range(10)]
    await asyncio.sleep(0)
    assert await keys.find("good") == keys._keys
    assert ended <= 1
    for task in forged:
        task.cancel()
    await asyncio.gather(*forged, return_exceptions=True)
    keys._renewal.cancel()
