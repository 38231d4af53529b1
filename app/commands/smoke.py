"""`rushes smoke`: the nine checks of the product document, with what its script left to the eye."""

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import click
import orjson
from aiohttp import ClientConnectorError, ClientError, ClientSession, ClientTimeout

from app.commands.console import Failure, run_async, settings_or_failure
from app.commands.send import OTHER_SECRET
from app.deliver import PATH, endpoint, proof
from app.reasons import reason
from app.settings import Settings
from app.times import now, rfc3339

# Seconds for the first answer: more than the default of HEALTH_TIMEOUT, few to wait for what is no server of ours.
_PATIENCE = 5.0


class CheckFailed(Exception):  # noqa: N818 - reads as what it is
    """What came back is not what was expected."""


class NoServerError(Exception):
    """There is nothing to check. The message is a sentence."""


@dataclass(frozen=True, slots=True)
class Server:
    """The server under test, and the jobs made for the test on it.

    `left` are those that were made; `unread` those that could not be read back, once for each time; `refusals` the
    posts that were taken for a stranger's.
    """

    session: ClientSession
    url: str
    user: str
    job_id: str
    failing_id: str
    secret: str | None
    signed_in: bool
    left: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    async def register(self, job_id: str) -> None:
        order = {"job_id": job_id, "user_id": self.user, "prompt": "rushes smoke"}
        code, body = await self.post(order, "/api/videos")
        _expect(code in (200, 201), f"registering a job was answered {code} {body}")
        self.left.append(job_id)

    async def post(self, body: dict[str, Any], path: str = PATH) -> tuple[int, dict[str, Any]]:
        """As a sender does: with the secret, or signed by it."""
        sent = orjson.dumps(body)
        headers = proof(f"smoke_{hashlib.sha256(sent).hexdigest()[:32]}", sent, self.secret)
        async with self.session.post(self.url + path, data=sent, headers=headers, allow_redirects=False) as answer:
            code, came = answer.status, await answer.json()
        if code == 401:  # noqa: PLR2004
            self.refusals.append(path)
        return code, came

    async def status(self, job_id: str, status: str, **more: Any) -> dict[str, Any]:
        """A webhook that must be taken; the answer's body."""
        code, body = await self.post(webhook(job_id, status, **more))
        _expect(code == 200, f"answered {code} {body}")  # noqa: PLR2004
        _expect(body.get("success") is True, f"success is {body.get('success')}")
        _expect(body.get("job_id") == job_id, f"job_id is {body.get('job_id')}")
        return body

    async def job(self, job_id: str) -> dict[str, Any] | None:
        """The job as pages see it; None where this takes a token and there is none."""
        async with self.session.get(f"{self.url}/api/videos/{job_id}") as answer:
            if answer.status == 401:  # noqa: PLR2004
                _expect(not self.signed_in, "the token was refused")
                self.unread.append(job_id)
                return None
            _expect(
                answer.status != 404 or not self.signed_in,  # noqa: PLR2004
                "reading the job was answered 404: it is no job of the token's user: --user says whose they are",
            )
            _expect(answer.status == 200, f"reading the job was answered {answer.status}")  # noqa: PLR2004
            found: dict[str, Any] = await answer.json()
            return found


Check = Callable[[Server], Awaitable[str]]


@click.command()
@click.argument("url", required=False)
@click.option("--user", default="smoke", show_default=True, help="Owner of the jobs made for it.")
@click.option("--token", help="Access token to read the jobs back with, where one must sign in.")
def smoke(url: str | None, user: str, token: str | None) -> None:
    """Check the server at URL, by default the one here, with the nine checks of the product document.

    Exit 1 if any fails. Where one must sign in and no token is given, nothing is read back, and so it says. What it
    makes stays, and is named at the end. The secret, if one is needed, is the first in WEBHOOK_SECRET that signs, or
    else the first.
    """
    settings = settings_or_failure()
    try:
        run_async(_smoke(url or settings.local_url, settings, user=user, token=token))
    except (NoServerError, ValueError) as error:
        raise Failure(str(error)) from None


async def _smoke(url: str, settings: Settings, *, user: str, token: str | None) -> int:
    """Prints one line a check; exit code 1 if any fails.

    Raises ValueError for an address that cannot be one, NoServerError where no server of ours answers.
    """
    endpoint(url)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with ClientSession(headers=headers, timeout=ClientTimeout(total=30)) as session:
        name = f"smoke-{secrets.token_hex(6)}"
        server = Server(session, url.rstrip("/"), user, name, name + "-failing", settings.sending_secret, bool(token))
        await _meet(server)
        passed = 0
        for number, (title, check) in enumerate(_CHECKS, start=1):
            unread = len(server.unread)
            try:
                came = await check(server)
            except (CheckFailed, ClientError, TimeoutError, ValueError) as error:
                click.echo(f"{click.style('FAIL', fg='red')}  {number}  {title}: {error or type(error).__name__}")
            else:
                passed += 1
                came += ", not read back" if len(server.unread) > unread else ""
                click.echo(f"{click.style('ok', fg='green')}    {number}  {title}: {came}")
    unread = len(server.unread)
    click.echo(
        f"{passed} of {len(_CHECKS)}" + (f", {unread} of them not read back: that takes --token" if unread else "")
    )
    _tell_rest(server)
    return 0 if passed == len(_CHECKS) else 1


async def _meet(server: Server) -> None:
    """Raises NoServerError."""
    try:
        patience = ClientTimeout(total=_PATIENCE)
        async with server.session.get(server.url + PATH, allow_redirects=False, timeout=patience) as answer:
            status, kind, to = answer.status, answer.content_type, answer.headers.get("Location")
    except (ClientError, TimeoutError) as error:
        why = reason(error.os_error if isinstance(error, ClientConnectorError) else error)
        raise NoServerError(f"nothing answers at {server.url}: {why}") from None
    if to is not None:
        raise NoServerError(f"{server.url} sends on to {to}: give the address of the server itself")
    if kind != "application/json":
        raise NoServerError(f"what answers at {server.url} is no rushes ({status} {kind})")


def _tell_rest(server: Server) -> None:
    if server.refusals:
        click.echo(f"rushes: {OTHER_SECRET}", err=True)
    if server.left:
        sent = "" if server.refusals else ", with their files and webhooks, and one dead letter, which was invalid"
        click.echo(f"It leaves behind, for the user {server.user}: {' and '.join(server.left)}{sent}.")


def webhook(job_id: str, status: str, *, data: dict[str, Any] | None = None, at: str | None = None) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "status": status,
        "content_type": "video",
        "timestamp": at or rfc3339(now()),
        "has_data": data is not None,
        "data": data,
        "environment": "smoke",
    }


def completion(job_id: str) -> dict[str, Any]:
    at = rfc3339(now())
    return {
        "job_id": job_id,
        "status": "completed",
        "videos": [
            {
                "filename": "sunset-ocean.mp4",
                "file_path": f"/videos/{job_id}/sunset-ocean.mp4",
                "file_url": f"https://example.com/videos/{job_id}/sunset-ocean.mp4",
                "file_size": 15728640,
                "format": "mp4",
                "duration_seconds": 8,
                "aspect_ratio": "16:9",
                "dimensions": {"width": 1920, "height": 1080},
                "created_at": at,
            }
        ],
        "metadata": {
            "model_name": "veo-2.0-generate-001",
            "model_version": "2.0",
            "processing_time": 120.5,
            "generation_time": 90.2,
            "download_time": 30.3,
            "prompt_used": "rushes smoke",
        },
        "generated_at": at,
        "success": True,
        "num_videos": 1,
    }


async def _health(server: Server) -> str:
    async with server.session.get(server.url + PATH) as answer:
        body = await answer.json()
    _expect(answer.status == 200 and body.get("status") == "healthy", f"answered {answer.status} {body}")  # noqa: PLR2004
    _expect(body.get("webhook") == "video-completion", f"webhook is {body.get('webhook')}")
    return "healthy"


async def _invalid(server: Server) -> str:
    code, body = await server.post({"status": "completed"})
    _expect(code == 400 and body.get("code") == "invalid_payload", f"answered {code} {body}")  # noqa: PLR2004
    fields = {detail["field"] for detail in body.get("details", [])}
    _expect({"job_id", "content_type"} <= fields, f"details name {sorted(fields)}")
    return f"400, {body['error']}"


def _moves_to(status: str, state: str, progress: int) -> Check:
    async def check(server: Server) -> str:
        if status == "pending":
            await server.register(server.job_id)
        body = await server.status(server.job_id, status)
        _expect(body.get("progress") == progress, f"progress is {body.get('progress')}, not {progress}")
        job = await server.job(server.job_id)
        if job is not None:
            _expect((job["state"], job["progress"]) == (state, progress), f"stored {job['state']} {job['progress']} %")
        return f"{state} {progress} %"

    return check


async def _completed(server: Server) -> str:
    body = await server.status(server.job_id, "completed", data=completion(server.job_id))
    _expect(body.get("num_videos") == 1, f"num_videos is {body.get('num_videos')}")
    job = await server.job(server.job_id)
    if job is not None:
        _expect((job["state"], job["progress"]) == ("COMPLETED", 100), f"stored {job['state']} {job['progress']} %")
        _expect(len(job["videos"]) == 1, f"{len(job['videos'])} files")
        _expect(job["processing_time"] == 120.5, f"processing time is {job['processing_time']}")  # noqa: PLR2004
    return "COMPLETED 100 %, 1 file"


async def _failed(server: Server) -> str:
    await server.register(server.failing_id)
    data = {"metadata": {"prompt_used": "rushes smoke"}}
    body = await server.status(server.failing_id, "failed", data=data)
    _expect(body.get("status") == "failed", f"status is {body.get('status')}")
    job = await server.job(server.failing_id)
    if job is None:
        return "FAILED"
    _expect((job["state"], job["progress"]) == ("FAILED", 0), f"stored {job['state']} {job['progress']} %")
    _expect("rushes smoke" in (job["error"] or ""), f"error is {job['error']}")
    return f"FAILED, {job['error']}"


async def _twice(server: Server) -> str:
    again = webhook(server.failing_id, "completed", data=completion(server.failing_id))
    first, body = await server.post(again)
    _expect(first == 200 and body.get("num_videos") == 1, f"first answered {first} {body}")  # noqa: PLR2004
    second, body = await server.post(again)
    _expect(second == 200 and body.get("status") == "duplicate", f"second answered {second} {body}")  # noqa: PLR2004
    job = await server.job(server.failing_id)
    _expect(job is None or len(job["videos"]) == 1, "the file was stored twice")
    return "applied once, then duplicate"


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise CheckFailed(otherwise)


_CHECKS: tuple[tuple[str, Check], ...] = (
    ("health", _health),
    ("invalid payload", _invalid),
    ("pending", _moves_to("pending", "PENDING", 0)),
    ("processing", _moves_to("processing", "PROCESSING", 25)),
    ("generating", _moves_to("generating", "PROCESSING", 50)),
    ("downloading", _moves_to("downloading", "PROCESSING", 75)),
    ("completed with data", _completed),
    ("failed", _failed),
    ("the same webhook twice", _twice),
)
