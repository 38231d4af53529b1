"""The pages, and what they are made of."""

from pathlib import Path

from aiohttp import web

from app.errors import ApiError
from app.keys import SETTINGS

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
}


async def index(request: web.Request) -> web.Response:
    html = (STATIC / "index.html").read_text()
    shown = html.replace('<html lang="fr"', f'<html lang="{request.app[SETTINGS].app_language}"', 1)
    return web.Response(text=shown, content_type="text/html", headers=_HEADERS)


async def static(request: web.Request) -> web.FileResponse:
    try:
        file = (STATIC / request.match_info["path"]).resolve()
        found = file.is_relative_to(STATIC) and file.is_file()
    except (OSError, ValueError):  # a name that no file can have
        found = False
    if not found:
        raise ApiError(404, "not_found", "There is no such file.")
    return web.FileResponse(file, headers={"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"})
