"""The pages, and what they are made of."""

import html
from pathlib import Path

from aiohttp import web

from app.appkeys import SETTINGS
from app.errors import ApiError
from app.routes.describe import operations

STATIC = Path(__file__).resolve().parents[2] / "static"

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self' https: http:; connect-src 'self'; font-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)

_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "Vary": "Origin",
}

# Swagger UI writes styles of its own into the page.
_DOCS_POLICY = _POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")

_SWAGGER = """
<link rel="stylesheet" href="/static/vendor/swagger-ui/swagger-ui.css">
<script src="/static/vendor/swagger-ui/swagger-ui-bundle.js" defer></script>
<script src="/static/js/docs.js" defer></script>
"""


async def index(request: web.Request) -> web.Response:
    """The gallery's page, in APP_LANGUAGE; what it shows it asks for itself."""
    page = (STATIC / "index.html").read_text()
    shown = page.replace('<html lang="fr"', f'<html lang="{request.app[SETTINGS].app_language}"', 1)
    return web.Response(text=shown, content_type="text/html", headers=_HEADERS)


async def docs(request: web.Request) -> web.Response:
    """The API to look through and to try. Where set-up could not bring Swagger UI, a list of it."""
    page = (STATIC / "docs.html").read_text()
    rows = "".join(
        f"<tr><td><code>{html.escape(route)}</code></td><td>{html.escape(operation.summary)}</td></tr>"
        for route, operation in operations(request.app.router).items()
    )
    shown = page.replace("<!-- operations -->", rows, 1)
    if (STATIC / "vendor/swagger-ui/swagger-ui-bundle.js").is_file():
        shown = shown.replace("<!-- swagger -->", _SWAGGER, 1)
    return web.Response(
        text=shown, content_type="text/html", headers=_HEADERS | {"Content-Security-Policy": _DOCS_POLICY}
    )


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
