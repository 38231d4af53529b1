"""openapi.json: the requests that it allows, and many that it does not, sent to a server."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from app.routes import describe
from app.routes.describe import operations
from app.routes.openapi import document
from app.routes.pages import STATIC
from tests.client import Client, running
from tests.sign_in import SECRET, bearer

# Not asked for: that whatever fits the forms is accepted (a cursor must be ours, a job must have an owner, a number
# must fit its column), and that a path which GET reads as a job's id does not name GET among what it allows.
_NOT_CHECKED = "positive_data_acceptance,allow_header_conformance"

PAGES = ("/", "/admin", "/docs", "/jobs/{job_id}", "/simulated/{film}", "/static/{path}")


@pytest.mark.timeout(600)
async def test_no_request_made_up_from_the_document_gets_a_5xx_or_an_answer_it_does_not_describe(
    database_url: str, tmp_path: Path
) -> None:
    """With and without tokens, valid and broken, one by one and in sequences that use what came before."""
    admin = bearer("u1", 3600, role="admin")["Authorization"]
    chaos = "RUSHES_CHAOS" in os.environ
    async with running(
        database_url,
        webhook_secret="geheim",
        auth_jwt_secret=SECRET,
        auth_failures_per_minute=1_000_000,
        simulated_step=0.01,
    ) as server:
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("schemathesis"), "run", f"{server.url}/openapi.json",
            # A stream has no end.
            "--exclude-path-regex", "^/(events|ws|api/admin/events)",
            "--header", "Authorization: " + admin, "--header", "X-Webhook-Secret: geheim",
            "--exclude-checks", _NOT_CHECKED, "--suppress-health-check", "all",
            "--max-examples", "300" if chaos else "2", *([] if chaos else ["--seed", "1"]),
            "--continue-on-failure", "--no-color",
            cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        told = (await process.communicate())[0].decode()
        assert process.returncode == 0, told
        if chaos:
            print(told)  # noqa: T201


async def test_document_is_served_to_everybody(server: Client) -> None:
    code, body = await server.read("/openapi.json")
    assert code == 200
    assert body == document(operations(server.app.router), "__session")
    assert body["openapi"].startswith("3.1")


async def test_every_route_but_the_pages_is_described_and_every_description_is_a_route(server: Client) -> None:
    routes = {
        f"{route.method} {route.resource.canonical}"
        for route in server.app.router.routes()
        if route.resource is not None and route.method != "HEAD" and route.resource.canonical not in PAGES
    }
    described = operations(server.app.router)
    assert set(described) == routes
    assert set(described.values()) == set(describe._OPERATIONS.values())
    paths = (await server.read("/openapi.json"))[1]["paths"]
    assert {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods} == routes


async def test_every_handler_says_what_it_does_beyond_its_description(server: Client) -> None:
    handlers = {route.handler for route in server.app.router.routes()}
    assert [handler.__name__ for handler in handlers if not handler.__doc__] == []


async def test_docs_list_the_api_where_swagger_ui_could_not_be_had(
    server: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "docs.html").write_bytes((STATIC / "docs.html").read_bytes())
    monkeypatch.setattr("app.routes.pages.STATIC", tmp_path)
    async with server.session.get(f"{server.url}/docs") as answer:
        page = await answer.text()
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "swagger-ui-bundle" not in page
    assert "<code>GET /api/videos/{job_id}</code>" in page
