"""`rushes send` and `rushes smoke` against servers that are not there, are others, or do not let them in."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import get_args

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.commands import send
from app.deliver import PATH
from app.domain.versions import Envelope
from tests.client import Client, running
from tests.databases import Sql
from tests.processes import free_port, run

JWT = "a secret of thirty-two characters"
SECRET = "a secret that senders have"
SEND = ("--job-id", "j1", "--status", "pending", "--attempts", "1")


@asynccontextmanager
async def answering(answer: Callable[[], web.Response]) -> AsyncIterator[str]:
    """The address of a server that gives every request this answer."""

    async def handle(_request: web.Request) -> web.Response:
        return answer()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


def page() -> web.Response:
    return web.Response(text="<h1>Hello</h1>", content_type="text/html")


async def token(folder: Path, user: str) -> str:
    return (await run(folder, "token", "--user", user, AUTH_JWT_SECRET=JWT))[1].strip()


async def test_send_names_the_address_at_which_nothing_listens(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    code, out, err = await run(tmp_path, "send", url, *SEND)
    assert (code, out) == (1, "")
    assert err == f"rushes: not delivered to {url}{PATH}: Connection refused\n"


async def test_send_by_https_to_a_server_without_it_is_told_in_a_sentence(tmp_path: Path) -> None:
    async with answering(page) as url:
        code, out, err = await run(tmp_path, "send", url.replace("http:", "https:"), *SEND)
    assert (code, out, err.count("\n")) == (1, "", 1), err
    assert err.startswith("rushes: not delivered to https://127.0.0.1:")


async def test_send_says_what_a_refusal_means(tmp_path: Path, database_url: str) -> None:
    async with running(database_url, webhook_secret=SECRET) as server:
        _, out, err = await run(tmp_path, "send", server.url, *SEND)
        assert out.startswith("401 ")
        assert err == "rushes: that server has another WEBHOOK_SECRET, or this command was given none\n"
        _, out, err = await run(tmp_path, "send", server.url, *SEND, WEBHOOK_SECRET=SECRET)
        assert out.startswith("404 ")
        assert err == "rushes: there is no job j1 yet; the webhook is kept, and applied when the job appears\n"
    async with answering(lambda: web.Response(status=404, text="nothing here")) as url:
        code, _, err = await run(tmp_path, "send", url, *SEND)
        assert (code, err) == (1, f"rushes: no rushes takes webhooks at {url}{PATH}\n")
    dead = {"code": "apply_failed", "error": "It could not be applied."}
    async with answering(lambda: web.json_response(dead, status=422)) as url:
        code, _, err = await run(tmp_path, "send", url, *SEND)
        assert (code, err) == (1, "rushes: the webhook is kept as a dead letter; `rushes dead list` there tells why\n")


async def test_page_that_answers_a_webhook_with_200_is_no_success(tmp_path: Path) -> None:
    async with answering(page) as url:
        code, out, err = await run(tmp_path, "send", url, *SEND)
    assert (code, out) == (1, "200 <h1>Hello</h1>\n")
    assert err == f"rushes: no rushes takes webhooks at {url}{PATH}\n"


async def test_send_lists_every_status_there_is_and_takes_no_other(tmp_path: Path) -> None:
    _, out, _ = await run(tmp_path, "send", "--help")
    assert "[pending|processing|generating|downloading|completed|failed]" in "".join(out.split())
    code, out, err = await run(tmp_path, "send", "http://h", "--job-id", "j", "--status", "done")
    assert (code, out) == (2, "")
    assert "'done' is not one of 'pending'" in err


async def test_answer_that_the_body_came_too_late_is_tried_again(tmp_path: Path) -> None:
    came = []

    def slow_once() -> web.Response:
        came.append(1)
        return web.json_response({}, status=408 if len(came) == 1 else 200)

    async with answering(slow_once) as url:
        code, _, err = await run(tmp_path, "send", url, "--job-id", "j", "--status", "Pending")
    assert (code, len(came)) == (0, 2), err


async def test_smoke_says_once_that_nothing_listens(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert await run(tmp_path, "smoke", url) == (1, "", f"rushes: nothing answers at {url}: Connection refused\n")


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-OpenSSH\r\n"])
async def test_smoke_of_what_speaks_no_http_is_one_sentence(tmp_path: Path, said: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await reader.read()  # until whoever asked has gone
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as other:
        url = f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}"
        began = asyncio.get_running_loop().time()
        code, out, err = await run(tmp_path, "smoke", url)
        assert asyncio.get_running_loop().time() - began < 20  # 5 s and the start; not the 30 s of a check
        assert (code, out, err.count("\n")) == (1, "", 1), err
        assert err.startswith(f"rushes: nothing answers at {url}: ")


async def test_smoke_of_a_page_or_by_https_to_a_server_without_it_is_one_sentence(tmp_path: Path) -> None:
    async with answering(page) as url:
        assert await run(tmp_path, "smoke", url) == (
            1,
            "",
            f"rushes: what answers at {url} is no rushes (200 text/html)\n",
        )
        secure = url.replace("http:", "https:")
        code, out, err = await run(tmp_path, "smoke", secure)
        assert (code, out, err.count("\n")) == (1, "", 1), err
        assert err.startswith(f"rushes: nothing answers at {secure}: ")


async def test_smoke_that_may_not_read_says_so_and_fails_with_a_token_that_is_refused(
    tmp_path: Path, database_url: str
) -> None:
    async with running(database_url, auth_jwt_secret=JWT, webhook_secret=SECRET) as server:
        code, out, _ = await run(tmp_path, "smoke", server.url, WEBHOOK_SECRET=SECRET)
        lines = out.splitlines()
        assert code == 0
        assert sum(line.endswith(", not read back") for line in lines) == 7
        assert "9 of 9, 7 of them not read back: that takes --token" in lines
        for bad in ("nonsense", await token(tmp_path, "stranger")):
            code, out, _ = await run(tmp_path, "smoke", server.url, "--token", bad, WEBHOOK_SECRET=SECRET)
            assert (code, out.splitlines()[-2]) == (1, "2 of 9")
        assert "it is no job of the token's user: --user says whose they are" in out
        good = await token(tmp_path, "smoke")
        code, out, _ = await run(tmp_path, "smoke", server.url, "--token", good, WEBHOOK_SECRET=SECRET)
        assert (code, out.splitlines()[-2]) == (0, "9 of 9")
        assert "not read back" not in out


async def test_smoke_with_another_secret_says_so_once_at_the_end(tmp_path: Path, database_url: str) -> None:
    async with running(database_url, webhook_secret=SECRET) as server:
        code, out, err = await run(tmp_path, "smoke", server.url)
    assert (code, out.splitlines()[-2]) == (1, "1 of 9")
    assert err == "rushes: that server has another WEBHOOK_SECRET, or this command was given none\n"


async def test_smoke_says_what_it_leaves_behind(tmp_path: Path, server: Client, sql: Sql) -> None:
    code, out, _ = await run(tmp_path, "smoke", server.url)
    assert code == 0
    jobs = [row[0] for row in sql("SELECT id FROM video_generations ORDER BY id")]
    assert len(jobs) == 2
    assert sql("SELECT COUNT(*) FROM rushes_webhooks WHERE outcome = 'dead'") == ((1,),)
    assert out.splitlines()[-1] == (
        f"It leaves behind, for the user smoke: {jobs[0]} and {jobs[1]}, with their files and webhooks, "
        "and one dead letter, which was invalid."
    )


def test_statuses_that_send_takes_are_those_that_a_webhook_may_have() -> None:
    assert set(send._STATUSES) == set(get_args(get_args(Envelope.model_fields["status"].rebuild_annotation())[0]))
