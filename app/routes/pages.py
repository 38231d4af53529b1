"""The pages, and what they are made of."""

import html
import re
from pathlib import Path

from aiohttp import web

from app.appkeys import SETTINGS
from app.errors import ApiError
from app.routes.describe import operations
from app.routes.http import reader_language
from app.simulator import web as simulator
from app.texts import ABOUT, MISSING

STATIC = Path(__file__).resolve().parents[2] / "static"

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self' https: http:; connect-src 'self'; worker-src 'self'; font-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)

_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "Vary": "Origin, Cookie, Accept-Language",
}

_TEMPLATES = re.compile(r"  <template id=.*?</template>\n", re.DOTALL)

# Swagger UI writes styles of its own into the page.
_DOCS_POLICY = _POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")

_SWAGGER = """<link rel="stylesheet" href="/static/vendor/swagger-ui/swagger-ui.css">
  <script src="/static/vendor/swagger-ui/swagger-ui-bundle.js" defer></script>
  <script src="/static/js/docs.js" defer></script>"""

# What stands in the head of each page.
_HEAD = """<meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <meta name="theme-color" content="#f4f1ea" media="(prefers-color-scheme: light)">
  <meta name="theme-color" content="#121314" media="(prefers-color-scheme: dark)">
  <link rel="icon" href="/static/favicon.svg" type="image/svg+xml">"""


async def index(request: web.Request) -> web.Response:
    """The gallery's page; what it shows it asks for itself."""
    return _page(request, "index")


async def admin(request: web.Request) -> web.Response:
    """The operator's page. It is the same for everybody: what an admin alone may see it asks for itself."""
    return _page(request, "admin")


async def job(request: web.Request) -> web.Response:
    """The page of one job: the same for everybody, whoever asks and whether there is such a job. What it shows it asks
    for itself; it has the templates of the gallery's page."""
    templates = "".join(_TEMPLATES.findall((STATIC / "index.html").read_text())).strip()
    return _page(request, "job", templates=templates, about=html.escape(ABOUT[reader_language(request)]))


def missing(request: web.Request) -> web.Response:
    """A page for who has followed an address that leads nowhere."""
    said = MISSING[reader_language(request)]
    return _page(request, "missing", 404, **{name: html.escape(text) for name, text in said.items()})


def _page(request: web.Request, name: str, status: int = 200, policy: str = _POLICY, **said: str) -> web.Response:
    """A file of the pages, in the reader's language if it has one to choose; `said` is markup, put where the file names
    it."""
    page = (STATIC / f"{name}.html").read_text()
    for place, markup in {"head": _HEAD, **said}.items():
        page = page.replace(f"<!-- {place} -->", markup)
    shown = page.replace('<html lang="fr"', _opening(request), 1)
    headers = _HEADERS | {"Content-Security-Policy": policy}
    return web.Response(text=shown, content_type="text/html", headers=headers, status=status)


async def film(request: web.Request) -> web.StreamResponse:
    """A video of the simulated backend, which production does not have."""
    if request.app[SETTINGS].app_env == "production":
        raise ApiError(404, "not_found", "There is no such film.")
    return await simulator.film(request)


def _opening(request: web.Request) -> str:
    """The beginning of a page, which tells it what it cannot ask for."""
    settings = request.app[SETTINGS]
    told = {"lang": reader_language(request), "data-body-max": str(int(settings.max_image_body_bytes))}
    if not settings.generates:
        told["data-orders"] = "none"
    if settings.sign_in_url is not None:
        told["data-sign-in"] = settings.sign_in_url
    return "<html " + " ".join(f'{name}="{html.escape(value)}"' for name, value in told.items())


async def docs(request: web.Request) -> web.Response:
    """The API to look through and to try. Where set-up could not bring Swagger UI, a list of it."""
    rows = "".join(
        f"<tr><td><code>{html.escape(route)}</code></td><td>{html.escape(operation.summary)}</td></tr>"
        for route, operation in operations(request.app.router).items()
    )
    swagger = _SWAGGER if (STATIC / "vendor/swagger-ui/swagger-ui-bundle.js").is_file() else ""
    return _page(request, "docs", policy=_DOCS_POLICY, operations=rows, swagger=swagger)


async def static(request: web.Request) -> web.FileResponse:
    """A file of the pages; 304 where the browser has it. Raises ApiError 404, also for whatever lies outside."""
    try:
        file = (STATIC / request.match_info["path"]).resolve()
        found = file.is_relative_to(STATIC) and file.is_file()
    except (OSError, ValueError):  # a name that no file can have
        found = False
    if not found:
        raise ApiError(404, "not_found", "There is no such file.")
    return web.FileResponse(file, headers=_HEADERS)
