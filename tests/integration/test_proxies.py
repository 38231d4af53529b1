"""Behind real proxies, with the very configurations that docs/operations.md gives."""

import asyncio
import re
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from app.appkeys import HUB
from tests.client import Client, running
from tests.matching import found
from tests.processes import free_port
from tests.sign_in import SECRET, bearer
from tests.streams import events, number_of
from tests.webhooks import webhook

OPERATIONS = Path(__file__).parents[2] / "docs/operations.md"
GZIP, PLAIN = {"Accept-Encoding": "gzip"}, {"Accept-Encoding": "identity"}


@asynccontextmanager
async def signing_in(database_url: str, **settings: Any) -> AsyncIterator[Client]:
    """A server where users sign in, as behind a proxy they must; the client of it is an admin."""
    async with running(database_url, auth_jwt_secret=SECRET, **settings) as started:
        started.session.headers.update(bearer("boss", role="admin"))
        yield started


@pytest.fixture
async def server(database_url: str) -> AsyncIterator[Client]:
    async with signing_in(database_url) as started:
        yield started


def client(server: Client, headers: dict[str, str] = PLAIN) -> ClientSession:
    return ClientSession(headers={"Authorization": server.session.headers["Authorization"]} | headers)


def documented(language: str, port: int, server_url: str) -> str:
    example = found(rf"```{language}\n(.*?)```", OPERATIONS.read_text(), re.DOTALL)[1]
    assert "127.0.0.1:8080" in example
    example = example.replace("127.0.0.1:8080", server_url.removeprefix("http://"))
    return re.sub(r"(listen |bind :)80\b", lambda match: f"{match[1]}{port}", example)


def nginx(folder: Path, servers: str) -> tuple[str, ...]:
    """As Debian configures it, and compressing whatever it may."""
    temporary = "".join(f"{name}_temp_path {folder}/{name};" for name in TEMPORARY)
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log stderr crit; events {{}}\n"
        f"http {{ access_log off; gzip on; gzip_types *; gzip_min_length 0; gzip_proxied any;\n"
        f"{temporary}\n{servers}}}\n"
    )
    folder.chmod(0o755)  # nginx's workers are of another user when root starts it
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
    return program or "nginx", "-p", str(folder), "-e", "stderr", "-c", f"{folder}/nginx.conf"


TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def haproxy(folder: Path, sections: str) -> tuple[str, ...]:
    (folder / "haproxy.cfg").write_text(sections)
    program = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
    return program or "haproxy", "-db", "-f", f"{folder}/haproxy.cfg"


@asynccontextmanager
async def proxied(command: tuple[str, ...], port: int) -> AsyncIterator[str]:
    """The proxy's address, once it takes connections."""
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
    try:
        async with asyncio.timeout(10):
            while True:
                assert process.returncode is None, command
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                await asyncio.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def behind(kind: str, server: Client, folder: Path, **replace: str) -> AsyncIterator[str]:
    """The documented proxy in front of the server; `replace` changes words of its configuration."""
    port = free_port()
    language, make = {"nginx": ("nginx", nginx), "HAProxy": ("haproxy", haproxy)}[kind]
    text = documented(language, port, server.url)
    for old, new in replace.items():
        assert old in text
        text = text.replace(old, new)
    async with proxied(make(folder, text), port) as url:
        yield url


@pytest.mark.parametrize("kind", ["nginx", "HAProxy"])
@pytest.mark.parametrize("headers", [PLAIN, GZIP])
async def test_first_event_updates_and_resume_come_through_at_once(
    server: Client, tmp_path: Path, kind: str, headers: dict[str, str]
) -> None:
    await server.register("j1")
    async with behind(kind, server, tmp_path) as url, client(server, headers) as session, asyncio.timeout(10):
        async with events(session, f"{url}/events/j1") as source:
            assert ("Content-Encoding" in source.response.headers) is (kind == "nginx" and headers is GZIP)
            assert (await source.next(1)).data["progress"] == 0
            await server.send(webhook("j1", "generating"))
            assert (await source.next(1)).data["progress"] == 50
        await server.send(webhook("j1", "downloading"))
        async with events(session, f"{url}/events/j1", 1) as source:
            assert [(await source.next(1)).id for _ in range(2)] == [2, 3]


@pytest.mark.parametrize("kind", ["nginx", "HAProxy"])
async def test_websocket_comes_through(server: Client, tmp_path: Path, kind: str) -> None:
    await server.register("j1")
    async with behind(kind, server, tmp_path) as url:
        # A browser says where its page is from: the host that the proxy was asked for.
        async with server.session.ws_connect(f"{url}/ws/j1", origin=url) as socket_:
            assert number_of((await socket_.receive_json(timeout=1))["id"]) == 1
            await server.send(webhook("j1", "generating"))
            assert number_of((await socket_.receive_json(timeout=1))["id"]) == 2


@pytest.mark.parametrize("kind", ["nginx", "HAProxy"])
async def test_idle_stream_outlives_the_time_outs_of_the_proxy(database_url: str, tmp_path: Path, kind: str) -> None:
    short = {"listen ": "proxy_read_timeout 1s; send_timeout 1s; listen "}
    if kind == "HAProxy":
        short = {"timeout client 60s": "timeout client 1s", "timeout server 60s": "timeout server 1s"}
    async with signing_in(database_url, stream_heartbeat=0.3) as server:
        await server.register("j1")
        async with behind(kind, server, tmp_path, **short) as url, client(server) as session:
            async with events(session, f"{url}/events/j1") as source:
                assert await source.next()
                reading = asyncio.create_task(source.next())
                await asyncio.sleep(2.5)  # the time-outs are what is tried here
                assert not reading.done()
                await server.send(webhook("j1", "generating"))
                assert (await reading).id == 2


@pytest.mark.parametrize("kind", ["nginx", "HAProxy"])
async def test_client_that_leaves_the_proxy_leaves_the_server(database_url: str, tmp_path: Path, kind: str) -> None:
    async with signing_in(database_url, stream_heartbeat=0.3) as server, behind(kind, server, tmp_path) as url:
        async with client(server) as session, events(session, f"{url}/events") as source:
            await source.next()
            assert len(server.app[HUB]) == 1
        async with asyncio.timeout(5):
            while len(server.app[HUB]):
                await asyncio.sleep(0.02)


async def test_nginx_with_nothing_but_proxy_pass_brings_streams_at_once(server: Client, tmp_path: Path) -> None:
    """It speaks HTTP/1.0 to the server then."""
    await server.register("j1")
    port = free_port()
    bare = f"server {{ listen {port}; location / {{ proxy_pass {server.url}; }} }}"
    async with proxied(nginx(tmp_path, bare), port) as url, client(server, GZIP) as session, asyncio.timeout(10):
        async with events(session, f"{url}/events/j1") as source:
            assert (await source.next(1)).id == 1
            await server.send(webhook("j1", "generating"))
            assert (await source.next(1)).id == 2


@pytest.mark.parametrize("kind", ["nginx", "HAProxy"])
async def test_proxy_in_front_of_development_makes_nobody_dev(database_url: str, tmp_path: Path, kind: str) -> None:
    async with running(database_url) as started, behind(kind, started, tmp_path) as url, ClientSession() as session:
        async with session.get(f"{url}/api/videos/user") as answer:
            assert (answer.status, (await answer.json())["code"]) == (403, "proxied_development")
        async with session.post(f"{url}/api/webhooks/video-completion", json=webhook("j1", "generating")) as answer:
            assert (answer.status, (await answer.json())["code"]) == (403, "proxied_development")
        for path in ("/", "/healthz"):
            async with session.get(url + path) as answer:
                assert answer.status == 200
