"""docs/integrate.md, step by step, beside a site's own tables."""

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.refusals import refuse_unsafe
from app.settings import Settings
from tests.client import WEBHOOKS, Client, running
from tests.databases import Sql, empty
from tests.sign_in import Issuer
from tests.site import clerks, furnish
from tests.webhooks import completion, video, webhook

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/integrate.md").read_text()


def fence(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[:1]
    return str(found)


SETTINGS = dict(line.split("=", 1) for line in fence("env").splitlines())


def test_settings_of_the_page_are_taken_in_production(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(fence("env"))
    settings = Settings()
    refuse_unsafe(settings)
    assert settings.auth_admin_lookup == "users.role=ADMIN"


@pytest.fixture
async def site(database_url: str, sql: Sql, issuer: Issuer) -> AsyncIterator[Client]:
    """rushes beside the site, as the page sets it up."""
    furnish(sql)
    issuer.add("k1")
    names = ("WEBHOOK_SECRET", "AUTH_JWT_ISSUER", "AUTH_AUTHORIZED_PARTIES", "AUTH_USER_LOOKUP", "AUTH_ORG_LOOKUP",
             "AUTH_ADMIN_LOOKUP")  # fmt: skip
    settings = {name.lower(): SETTINGS[name] for name in names}
    async with running(database_url, auth_jwks_url=issuer.url, **settings) as server:
        yield server


def tell(server: Client, body: dict[str, Any]) -> int:
    """What the page's function for the backend answers, run in a Python of its own."""
    code = f"{fence('python')}\nimport sys\nprint(tell(json.loads(sys.stdin.read())))"

    secret = {"WEBHOOK_URL": f"{server.url}{WEBHOOKS}", "WEBHOOK_SECRET": SETTINGS["WEBHOOK_SECRET"]}
    done = subprocess.run(
        ["python3", "-c", code], input=json.dumps(body), env=secret | {"PATH": "/usr/bin:/bin"}, text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    return int(done.stdout)


async def test_video_that_the_site_ordered_reaches_its_user(site: Client, sql: Sql, issuer: Issuer) -> None:
    """The site inserts the row, the backend tells of it, and the user of the Clerk token hears of it and sees it."""
    ada = issuer.token("k1", sub="user_Ada", **clerks(2, "org-ignored"))
    sql(
        "INSERT INTO video_generations (id, prompt, authorId, organizationId, updatedAt)"
        " VALUES ('cm1', 'the sea', 'user-1', 'org-1', NOW(3))"
    )
    async with site.events("/events", headers=ada) as source:
        assert (await source.next()).data["job_id"] == "cm1"
        assert await asyncio.to_thread(tell, site, webhook("cm1", "generating")) == 200
        assert (await source.next()).data["progress"] == 50
        _, polled = await site.read("/api/videos/cm1/status", headers=ada)
        assert (polled["status"], polled["progress"]) == ("generating", 50)
        assert await asyncio.to_thread(tell, site, completion("cm1", video("cm1/a.mp4"))) == 200
        assert (await source.next()).event == "completed"
    _, page = await site.read("/api/videos/user", params={"page": 1, "limit": 12}, headers=ada)
    assert ([job["id"] for job in page["generations"]], page["total"]) == (["cm1"], 1)
    assert sql("SELECT status FROM video_generations") == (("COMPLETED",),)


async def test_cookie_of_clerk_is_enough_on_the_sites_own_origin(site: Client, issuer: Issuer) -> None:
    token = issuer.token("k1", sub="user_Ada", **clerks(1))["Authorization"].partition(" ")[2]
    assert (await site.read("/api/videos/user", headers={"Cookie": f"__session={token}"}))[0] == 200


def test_tables_that_prisma_made_are_migrated_by_the_command_of_the_page(database_url: str, sql: Sql) -> None:
    empty(sql)
    for statement in (ROOT / "tests/integration/prisma.sql").read_text().split(";\n"):
        if statement.strip():
            sql(statement)
    command = fence("sh").split()
    program = ROOT / ".venv/bin" / command[0]
    done = subprocess.run(
        [program, *command[1:]], env={"DATABASE_URL": database_url, "PATH": "/usr/bin:/bin"}, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "CREATE INDEX" in done.stdout


def test_modules_that_the_page_imports_export_what_it_uses() -> None:
    scripts = re.findall(r"^```js\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (imported,) = re.findall(r'import \{ (\w+) \} from "(/static/js/[\w/.-]+)"', "".join(scripts))
    assert re.search(rf"export (async )?function {imported[0]}\b", (ROOT / imported[1].lstrip("/")).read_text())
    for script in scripts:
        command: list[str | Path] = [ROOT / "scripts/node", "--check", "--input-type=module", "-"]
        checked = subprocess.run(command, input=script, text=True, capture_output=True, check=False)
        assert "SyntaxError" not in checked.stderr
