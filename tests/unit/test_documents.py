"""The documents, held to the code: what they name must be there, and what is there must be named."""

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from app.domain import payload
from app.domain.versions import VIDEOS_MAX
from app.main import create_app
from app.settings import Settings
from tests.matching import found

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
_ADDRESS = "http://127.0.0.1:8080"


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(document: Path) -> set[str]:
    """The names that a document's headings have as targets of links, made as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", without_code(document.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(document: Path) -> list[str]:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(document.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        found = target.exists() and target.is_relative_to(ROOT)
        if not found or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


def curl_requests(document: Path) -> list[tuple[str, str]]:
    """(method, path) of each curl command in a document's shell examples."""
    requests = []
    for block in re.findall(r"^```sh\n(.*?)^```", document.read_text(), flags=re.DOTALL | re.MULTILINE):
        for command in re.findall(r"^curl .*?(?=^curl |\Z)", block, flags=re.DOTALL | re.MULTILINE):
            method = re.search(r"-X (\w+)", command)
            address = re.search(rf"{re.escape(_ADDRESS)}([^\s'\"?]*)", command)
            assert address, f"this command has no address of the server: {command}"
            requests.append((method[1] if method else "GET", address[1] or "/"))
    return requests


def event_source_paths(document: Path) -> list[str]:
    return re.findall(r"new EventSource\(\"([^\"?]+)", document.read_text())


def rooms() -> set[str]:
    """The modules that the list of rooms names; `app/db/log.py, sql.py` are two of one folder."""
    named = set()
    for line in re.findall(r"^app/\S+\.py(?:, \S+\.py)*", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE):
        first, *others = line.split(", ")
        named |= {first, *(str(Path(first).with_name(other)) for other in others)}
    return named


def an_app() -> web.Application:
    return create_app(Settings(_env_file=None), "mysql://root@localhost/never-connected-to")


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_is_documented(name: str) -> None:
    operations = (ROOT / "docs/operations.md").read_text()
    assert f"\n| `{name.upper()}` |" in operations, f"docs/operations.md has no row for {name.upper()}"


def test_no_document_describes_a_setting_that_is_gone() -> None:
    rows = re.findall(r"^\| `([A-Z][A-Z0-9_]+)` \|", (ROOT / "docs/operations.md").read_text(), flags=re.MULTILINE)
    assert set(rows) == {name.upper() for name in Settings.model_fields}


def test_senders_are_told_how_many_files_a_webhook_may_bring() -> None:
    assert f"`videos`, a list of at most {VIDEOS_MAX}" in (ROOT / "docs/protocol.md").read_text()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    assert broken_links(document) == []


async def test_what_a_newcomer_pastes_from_the_readme_meets_a_route() -> None:
    router = an_app().router
    readme = ROOT / "README.md"
    requests = curl_requests(readme) + [("GET", path) for path in event_source_paths(readme)]
    assert len(requests) >= 4
    for method, path in requests:
        match = await router.resolve(make_mocked_request(method, path))
        assert match.http_exception is None, f"{method} {path} of README.md is no route of the app"


async def test_every_api_route_is_in_the_protocol_or_in_operations() -> None:
    described = (ROOT / "docs/protocol.md").read_text() + (ROOT / "docs/operations.md").read_text()
    routes = {
        (route.method, route.resource.canonical)
        for route in an_app().router.routes()
        if route.resource and route.method != "HEAD" and route.resource.canonical not in ("/", "/static/{path}")
    }
    missing = [
        f"{method} {path}"
        for method, path in sorted(routes)
        if not re.search(rf"{method} {re.escape(path)}(?![\w/{{])", described)
    ]
    assert missing == []


def test_every_module_has_its_room_in_the_architecture_and_every_room_is_there() -> None:
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "app").rglob("*.py") if path.name != "__init__.py"}
    assert modules - rooms() == set(), "docs/architecture.md has no room for these"
    assert rooms() - modules == set(), "docs/architecture.md has rooms that are gone"


def test_every_table_of_ours_is_in_the_architecture() -> None:
    made = {
        table
        for migration in (ROOT / "app/db/migrations").glob("*.sql")
        for table in re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?`?(rushes_\w+)", migration.read_text())
    }
    rows = re.findall(r"^\| `(rushes_\w+)` \|", (ROOT / "docs/architecture.md").read_text(), flags=re.MULTILINE)
    assert sorted(rows) == sorted(made)


def test_the_records_of_decisions_are_numbered_one_after_the_other() -> None:
    records = re.findall(r"^## (\d+)\. ", (ROOT / "docs/decisions.md").read_text(), flags=re.MULTILINE)
    assert records == [str(number) for number in range(1, len(records) + 1)]


VIDEO = {"filename": "f.mp4"}
COLUMNS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "v3": ({"user_id": "u"}, {"s3_key": "k"}),
    "v2": ({}, {"s3_key": "k"}),
    "v1": ({}, {"file_path": "k"}),
}
# Of each line of the table of versions: the field of ours, and values of the payload's names for it.
LINES: dict[str, tuple[str, dict[str, Any]]] = {
    "address": ("url", {"url": "https://a/1", "s3_url": "https://a/2", "file_url": "https://a/3"}),
    "size in bytes": ("size", {"size_bytes": 11, "file_size": 12}),
    "duration in seconds": ("duration_seconds", {"duration": 7, "duration_seconds": 8}),
    "`format`": ("format", {}),
    "`aspect_ratio`": ("aspect_ratio", {}),
}


def versions_table() -> dict[str, dict[str, str]]:
    """Of each line its cells, by version."""
    text = (ROOT / "docs/protocol.md").read_text().partition("### Versions")[2]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    head, _, *lines = rows[: next(n for n, row in enumerate(rows) if row[0] == "case")]
    return {line[0].partition(" (")[0]: dict(zip(head[1:], line[1:], strict=True)) for line in lines}


@pytest.mark.parametrize("version", COLUMNS)
@pytest.mark.parametrize("line", LINES)
def test_table_of_versions_says_how_a_video_of_each_is_read(version: str, line: str) -> None:
    cell, (field, given) = versions_table()[line][version], LINES[line]
    data, video = COLUMNS[version]
    whole = {
        "file_size": 12,
        "duration_seconds": 8,
        "format": "mov",
        "aspect_ratio": "4:3",
        "dimensions": {"width": 1, "height": 1},
    }
    names = [name for name in re.findall(r"`(\w+)`", cell) if name in given]

    def read(**fields: Any) -> Any:
        listed = {name: value for name, value in (whole | VIDEO | video | fields).items() if value is not None}
        update = payload.parse(json.dumps({
            "job_id": "j", "status": "completed", "content_type": "video", "timestamp": "2025-10-23T14:03:00Z",
            "has_data": True, "data": data | {"videos": [listed]},
        }).encode())  # fmt: skip
        assert update.version == version
        return getattr(update.files[0], field)

    if given:
        assert names, cell
        for place, name in enumerate(names):
            assert read(**dict.fromkeys(names[:place]), **{n: given[n] for n in names[place:]}) == given[name]
    elif cell == "required":
        with pytest.raises(payload.InvalidPayloadError):
            read(**{field: None})
    else:
        assert read(**{field: None}) == found(r"default `(.+)`", cell)[1]


def test_functions_that_the_five_ways_name_are_there() -> None:
    ways = (ROOT / "docs/architecture.md").read_text().partition("## Five ways")[2].partition("\n## ")[0]
    named = re.findall(r"`((?:[a-z_]+/)*[a-z_]+)\.(?!py`)(\w+(?:\.\w+)*)`", ways)
    assert len(named) > 25
    for module, function in named:
        found = import_module(f"app.{module.replace('/', '.')}")
        for name in function.split("."):
            found = getattr(found, name)
