"""A push service of the tests' own, browsers that subscribe there, and jobs whose ends they are told of.

What the service is handed is decrypted, as a browser does (RFC 8188, 8291), and its signature verified (RFC 8292).
"""

import asyncio
import base64
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import jwt
import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app import webpush
from tests.client import WEBHOOKS, Client
from tests.sign_in import SECRET, bearer
from tests.webhooks import completion, video, webhook

KEY = webpush.new_key()
SETTINGS: dict[str, Any] = {
    "vapid_private_key": KEY,
    "vapid_subject": "mailto:ops@rushes.example",
    "push_allow_loopback": True,
    "push_poll": 0.05,
}
SIGNS_IN = SETTINGS | {"auth_jwt_secret": SECRET}
_numbers = itertools.count(1)


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _derive(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(secret)


@dataclass(frozen=True)
class Message:
    """What a browser was told: its headers, and its payload."""

    headers: dict[str, str]
    told: dict[str, Any]
    raw: bytes

    @property
    def jobs(self) -> list[str]:
        return [notice["job_id"] for notice in self.told["notices"]]


class Browser:
    """One that subscribed. What it was told is in `told`."""

    def __init__(self, service: "PushService", name: str = "") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._secret = bytes(range(16))
        self.point = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.path = f"/push/{name or next(_numbers)}"
        self.endpoint = f"{service.url}{self.path}"
        self.told: asyncio.Queue[Message] = asyncio.Queue()
        service.browsers[self.path] = self

    @property
    def id(self) -> str:
        from app.db.subscriptions import id_of

        return id_of(self.endpoint)

    @property
    def subscription(self) -> dict[str, Any]:
        """As a page has it."""
        keys = {"p256dh": encoded(self.point), "auth": encoded(self._secret)}
        return {"endpoint": self.endpoint, "expirationTime": None, "keys": keys}

    async def next(self) -> Message:
        async with asyncio.timeout(15):
            return await self.told.get()

    def decrypt(self, body: bytes) -> bytes:
        salt, size, named = body[:16], int.from_bytes(body[16:20], "big"), body[20]
        sender, sealed = body[21 : 21 + named], body[21 + named :]
        assert len(sealed) <= size, "one record"
        shared = self._key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender))
        secret = _derive(self._secret, shared, b"WebPush: info\0" + self.point + sender, 32)
        key = _derive(salt, secret, b"Content-Encoding: aes128gcm\0", 16)
        nonce = _derive(salt, secret, b"Content-Encoding: nonce\0", 12)
        return AESGCM(key).decrypt(nonce, sealed, None).rstrip(b"\0").removesuffix(b"\2")


class PushService:
    """Answers 201, or what stands in `answers` for a browser: a response, or an event that it waits for first."""

    url = ""

    def __init__(self) -> None:
        self.browsers: dict[str, Browser] = {}
        self.answers: dict[str, list[web.Response | asyncio.Event]] = {}
        self.posted: list[str] = []
        self.asked = asyncio.Queue[str]()

    async def take(self, request: web.Request) -> web.Response:
        browser = self.browsers[request.path]
        body = await request.read()
        self.posted.append(request.path)
        self.asked.put_nowait(request.path)
        assert len(body) <= 4096
        self._verify(request.headers["Authorization"])
        answers = self.answers.get(request.path, [])
        while answers:
            answer = answers.pop(0)
            if isinstance(answer, web.Response):
                return answer
            await answer.wait()
        assert request.headers["Content-Encoding"] == "aes128gcm"
        clear = browser.decrypt(body)
        browser.told.put_nowait(Message(dict(request.headers), orjson.loads(clear), clear))
        return web.Response(status=201)

    def _verify(self, authorization: str) -> None:
        kind, _, rest = authorization.partition(" ")
        parts = dict(part.split("=", 1) for part in rest.split(","))
        assert (kind, parts["k"]) == ("vapid", webpush.public_key(KEY))
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decoded(parts["k"]))
        claims = jwt.decode(parts["t"], key, algorithms=["ES256"], audience=self.url)
        assert claims["sub"] == "mailto:ops@rushes.example"


@asynccontextmanager
async def push_service() -> AsyncIterator[PushService]:
    service = PushService()
    app = web.Application()
    app.router.add_post("/push/{name}", service.take)
    async with TestServer(app) as server:
        service.url = str(server.make_url("/")).rstrip("/")
        yield service


class Served:
    """A server that is a process of its own, as its client sees it."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url = session, url

    def post(self, path: str, **more: Any) -> Any:
        return self._session.post(self._url + path, **more)

    async def send(self, body: Any) -> tuple[int, dict[str, Any]]:
        async with self.post(WEBHOOKS, json=body) as answer:
            return answer.status, await answer.json()


async def subscribe(server: Client | Served, browser: Browser, **more: Any) -> str:
    async with server.post("/api/push/subscriptions", json=browser.subscription, **more) as answer:
        assert answer.status == 200, await answer.text()
        body = await answer.json()
        assert body == {"success": True, "id": browser.id}
        return str(body["id"])


async def delete(server: Client, path: str, **more: Any) -> tuple[int, dict[str, Any]]:
    async with server.delete(path, **more) as answer:
        return answer.status, await answer.json()


async def made(server: Client | Served, user: str = "ada", prompt: str = "A fox in the snow") -> str:
    """A job of his; its id."""
    async with server.post("/api/videos", json={"prompt": prompt}, headers=bearer(user)) as answer:
        body = await answer.json()
        assert answer.status == 201, body
        return str(body["id"])


async def complete(server: Client | Served, job_id: str) -> None:
    status, body = await server.send(completion(job_id, video(f"k/{job_id}")))
    assert status == 200, body


async def fail(server: Client, job_id: str, error: str = "Quota exceeded") -> None:
    status, body = await server.send(webhook(job_id, "failed") | {"error": error})
    assert status == 200, body
