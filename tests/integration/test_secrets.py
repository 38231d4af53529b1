"""No log line, answer or stored row holds a token, a ticket, a secret or a signature."""

import asyncio
import json
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import pytest

from tests.databases import Sql
from tests.processes import FOR_GOOD, databases_of, environment, run, serving, workers_of
from tests.sign_in import SECRET, token
from tests.webhooks import WHSEC, signed, webhook

PLAIN_SECRET, WRONG = "hushhushplainsecret", "wrongwrongwrongsecret"


async def raw(url: str, data: bytes) -> bytes:
    """Sends what no client library would; the answer."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(4096), 5)
    writer.close()
    return answer


BODY = b'{"job_id": "j1", "status": "generating", "timestamp": "2025-10-23T14:02:00.000Z"}'


@dataclass
class Asking:
    """A client that keeps all that it is told."""

    session: aiohttp.ClientSession
    url: str
    told: list[str] = field(default_factory=list)
    good: str = field(default_factory=lambda: token("u1"))
    forged: str = field(default_factory=lambda: token("u1")[:-4] + "AAAA")
    expired: str = field(default_factory=lambda: token("u1", -5))
    signature: dict[str, str] = field(default_factory=lambda: signed(BODY))

    async def ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        async with self.session.request(method, self.url + path, **options) as answer:
            if answer.content_type == "text/event-stream":
                return {}
            self.told.append(await answer.text())
            body: dict[str, Any] = await answer.json()
            return body

    async def as_user(self) -> None:
        """With tokens, wherever they may stand."""
        for headers in ({"Authorization": f"Bearer {self.good}"}, {"Authorization": f"Bearer {self.forged}"},
                        {"Authorization": f"Bearer {self.expired}"}, {"Cookie": f"__session={self.good}"},
                        {"Authorization": self.good}):  # fmt: skip
            await self.ask("GET", "/api/videos/user", headers=headers)
            await self.ask("GET", "/api/videos/nobody", headers=headers)
        for cookie in (
            f"__session={self.good}; {self.good}=x; =",
            f"{self.good}",
            f"a={self.good}; \\{self.forged}",
            f'__session="{self.good}',
        ):
            await self.ask("GET", "/api/videos/user", headers={"Cookie": cookie})

    async def as_listener(self) -> str:
        """With a ticket, which it gives, and with tokens where there should be one."""
        bought = await self.ask("POST", "/api/stream-tickets", headers={"Authorization": f"Bearer {self.good}"})
        self.told.pop()  # who buys a ticket is told it
        ticket = str(bought["ticket"])
        for query in (f"ticket={ticket}", f"ticket={self.forged}", f"token={self.good}"):
            await self.ask("GET", f"/events?{query}")
            await self.ask("GET", f"/ws?{query}")
        for carrier in (self.good, f"bearer, {self.good}", f"base64url.bearer.{self.good}, {self.forged}"):
            for path in ("/ws", "/ws/j1"):
                with suppress(aiohttp.WSServerHandshakeError):
                    async with self.session.ws_connect(self.url + path, headers={"Sec-WebSocket-Protocol": carrier}):
                        pass
        return ticket

    async def as_sender(self) -> None:
        plain, misplaced = {"X-Webhook-Secret": PLAIN_SECRET}, {"Authorization": f"Bearer {PLAIN_SECRET}"}
        wrong = {"X-Webhook-Secret": WRONG}
        renamed = plain | {
            "X-Api-Key": WRONG,
            "X-Note": f"v={PLAIN_SECRET}",
            "X-Session": self.good,
            "X-Trace": self.good,
        }
        for headers in (plain, misplaced, renamed, wrong, self.signature, self.signature | {"webhook-id": "other"}):
            for body in (BODY, b"{rubbish"):
                await self.post(headers | {"Content-Type": "application/json"}, data=body)
        await self.post(plain, json=webhook("j1", "x"))

    async def post(self, headers: dict[str, str], **body: Any) -> None:
        hook = f"{self.url}/api/webhooks/video-completion"
        async with self.session.post(hook, headers=headers, **body) as answer:
            self.told.append(await answer.text())


async def test_no_secret_is_told_whatever_happens(tmp_path: Path, database_url: str, sql: Sql) -> None:
    settings = {
        "DATABASE_URL": database_url, "LOG_LEVEL": "debug", "AUTH_JWT_SECRET": SECRET,
        "WEBHOOK_SECRET": f"{PLAIN_SECRET},{WHSEC}",
        "REDIS_URL": "redis://user:hushhushredis@127.0.0.1:1/0",
    }  # fmt: skip
    async with serving(tmp_path, **settings) as (process, url, printed):
        async with aiohttp.ClientSession() as session:
            client = Asking(session, url)
            await client.as_user()
            ticket = await client.as_listener()
            await client.as_sender()
        heads = (b"GET /events?ticket=%s HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nX-Webhook-Secret : %s\r\n\r\n",
                 b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\nbad header\r\n\r\n")  # fmt: skip
        told = client.told + [(await raw(url, head % ticket.encode())).decode() for head in heads]
        process.send_signal(signal.SIGTERM)
        out, err = await asyncio.wait_for(process.communicate(), 20)
    told += [printed, out.decode(), err.decode()]
    told += [str(row) for row in sql("SELECT headers, payload FROM rushes_webhooks")]
    secrets = [client.good, client.forged, client.expired, ticket, PLAIN_SECRET, WRONG, WHSEC, SECRET, "hushhushredis",
               WHSEC.removeprefix("whsec_"), client.signature["webhook-signature"].partition(",")[2]]  # fmt: skip
    # A signature or the payload of a token is telling even without its beginning.
    parts = [part for secret in secrets for part in (secret, secret[-20:])]
    assert len(sql("SELECT id FROM rushes_webhooks")) >= 3
    found = [(part, text) for part in parts for text in told if part in text]
    assert not found


def environment_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")


async def test_no_process_that_the_server_starts_is_handed_secrets_in_its_environment(tmp_path: Path) -> None:
    settings = {
        "WORKERS": 2, "AUTH_JWT_SECRET": SECRET, "WEBHOOK_SECRET": f"{PLAIN_SECRET},{WHSEC}",
        "REDIS_URL": "redis://user:hushhushredis@127.0.0.1:1/0", "SOMETHING_ELSES_PASSWORD": "hushhushother",
    }  # fmt: skip
    async with serving(tmp_path, **settings) as (process, _, _):
        databases, workers = databases_of(tmp_path), workers_of(process)
        assert (len(databases), len(workers)) == (1, 2)
        database, *of_workers = (environment_of(pid) for pid in databases + workers)
        told = {line.partition("=")[0] for line in database if line}
        # A shell adds PWD, where the program is a script of one.
        assert told <= {"PATH", "PWD", "TMPDIR", "TZ", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH"}
        secrets = (SECRET, PLAIN_SECRET, WHSEC, "hushhushredis")
        assert not [secret for lines in of_workers for secret in secrets if secret in str(lines)]
        # What is none of our settings a worker may need, as its Python does.
        assert set(environment()) - set(FOR_GOOD) <= {line.partition("=")[0] for line in of_workers[0]}


async def test_reason_of_a_refused_token_is_in_the_log_and_a_flood_of_them_is_not(
    tmp_path: Path, database_url: str
) -> None:
    settings = {"DATABASE_URL": database_url, "AUTH_JWT_SECRET": SECRET, "AUTH_AUTHORIZED_PARTIES": "https://a.example"}
    async with serving(tmp_path, **settings) as (process, url, _):
        async with aiohttp.ClientSession() as session:

            async def ask(path: str = "/api/videos/user", **headers: str) -> int:
                async with session.get(url + path, headers=headers) as answer:
                    return answer.status

            for seconds in range(1, 201):
                assert await ask(Authorization=f"Bearer {token(seconds=-seconds)}") == 401
            assert await ask(Authorization=f"Bearer {token()}") == 401
            assert await ask(Cookie=f"__session={token()[:-4]}AAAA; __session=rubbish") == 401
            assert await ask(f"/events?ticket={token()}") == 401
            assert await ask() == 401
            good = token(azp="https://a.example")
            assert await ask(Cookie=f"__session=rubbish; __session={good}") == 200
        process.send_signal(signal.SIGTERM)
        _, err = await asyncio.wait_for(process.communicate(), 20)
    lines = [json.loads(line) for line in err.decode().splitlines() if "token_refused" in line]
    assert [(line["carrier"], line["reason"], line["more_since_last_told"]) for line in lines] == [
        ("bearer", "expired", 0),
        ("bearer", "wrong authorized party", 0),
        ("cookie", "bad signature", 0),
        ("ticket", "bad signature", 0),
    ]
    assert "eyJ" not in err.decode()


PASSWORD = "hush/hush@hush:hush%hush é€"


@pytest.mark.parametrize(
    "encode", [lambda text: quote(text, safe=""), lambda text: "".join(f"%{b:02X}" for b in text.encode())]
)
@pytest.mark.parametrize("where", ["refuses", "away", "gone"])
async def test_password_of_the_database_is_told_in_no_spelling(
    tmp_path: Path, database_url: str, mariadb: dict[str, Any], encode: Callable[[str], str], where: str
) -> None:
    spelt = encode(PASSWORD)
    socket_path = quote(mariadb["unix_socket"], safe="")
    url = {
        "refuses": f"mysql://nobody:{spelt}@localhost/rushes?socket={socket_path}",
        "away": f"mysql://nobody:{spelt}@127.0.0.1:1/rushes?ssl=true",
        "gone": f"mysql://nobody:{spelt}@localhost/rushes?socket=/nowhere/mysqld.sock",
    }[where]
    settings = {"DATABASE_URL": url, "LOG_LEVEL": "debug", "DB_TIMEOUT": 1}
    told = [*(await run(tmp_path, "migrate", **settings))[1:], *(await run(tmp_path, "purge", **settings))[1:]]
    if where == "refuses":
        told += (await run(tmp_path, "serve", PORT=0, **settings))[1:]
    else:
        async with serving(tmp_path, **settings) as (process, address, printed), aiohttp.ClientSession() as session:
            for path in ("/readyz", "/api/videos/user", "/events"):
                async with session.get(address + path) as answer:
                    told.append(await answer.text())
            process.send_signal(signal.SIGTERM)
            out, err = await asyncio.wait_for(process.communicate(), 20)
        told += [printed, out.decode(), err.decode()]
    assert "cannot connect" in "".join(told)
    assert not [text for text in told for part in ("hush", spelt, spelt[-12:], "%68") if part in text]
