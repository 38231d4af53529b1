"""Tokens of users, and an address that has the keys of those who sign them."""

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from typing import Any

import jwt
import orjson
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from tests.client import Client, running

SECRET = "a secret of thirty-two characters"
SENDERS = "hush say all of the senders"


def token(user: str = "u1", seconds: float = 60, **claims: Any) -> str:
    return jwt.encode({"sub": user, "exp": time.time() + seconds} | claims, SECRET, algorithm="HS256")


def bearer(*args: Any, **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(*args, **claims)}"}


async def buy(server: Client, headers: dict[str, str]) -> dict[str, Any]:
    async with server.session.post(f"{server.url}/api/stream-tickets", headers=headers) as answer:
        assert answer.status == 200
        bought: dict[str, Any] = await answer.json()
        return bought


class Issuer:
    """A JWKS address whose keys can change, or that fails."""

    url: str

    def __init__(self) -> None:
        self.keys: dict[str, rsa.RSAPrivateKey] = {}
        self.broken = False
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked = 0
        self.names_keys = True
        self.listed_before: list[object] = []

    def add(self, kid: str) -> None:
        self.keys[kid] = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def token(self, kid: str, /, *, named: bool = True, **claims: Any) -> dict[str, str]:
        body = {"sub": "u1", "exp": int(time.time()) + 60} | claims
        text = jwt.encode(body, self.keys[kid], algorithm="RS256", headers={"kid": kid} if named else None)
        return {"Authorization": f"Bearer {text}"}

    async def answer(self, _request: web.Request) -> web.Response:
        self.asked += 1
        await self.answers.wait()
        if self.broken:
            return web.Response(status=500)
        keys = [
            RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
            | ({"kid": kid} if self.names_keys else {})
            | {"use": "sig", "alg": "RS256"}
            for kid, key in self.keys.items()
        ]
        return web.Response(body=orjson.dumps({"keys": self.listed_before + keys}), content_type="application/json")


def by_jwks(database_url: str, issuer: Issuer, **settings: Any) -> AbstractAsyncContextManager[Client]:
    known = {"app_env": "production", "webhook_secret": SENDERS, "auth_jwks_url": issuer.url}
    return running(database_url, **(known | settings))


async def gallery(server: Client, headers: dict[str, str]) -> int:
    return (await server.read("/api/videos/user", headers=headers))[0]
