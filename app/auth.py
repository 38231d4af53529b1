"""Who is asking, and what they may see. Fails closed: nobody is somebody only where a rule says so."""

from dataclasses import dataclass

from aiohttp import web

from app.keys import SETTINGS
from app.settings import Settings, is_loopback


class NotSignedInError(Exception):
    """Not signed in."""


@dataclass(frozen=True, slots=True)
class Identity:
    user_id: str
    organization_id: str | None = None
    admin: bool = False

    def may_see(self, author_id: str, organization_id: str | None) -> bool:
        return (
            self.admin
            or self.user_id == author_id
            or (organization_id is not None and organization_id == self.organization_id)
        )


def identify(request: web.Request) -> Identity:
    """The caller. Raises NotSignedInError.

    In development everybody on this machine is `dev`, an admin. The Host header must be this machine's
    too: a page elsewhere whose name was made to point here must not act as `dev` (DNS rebinding).
    """
    settings = request.app[SETTINGS]
    if settings.app_env == "development" and is_loopback(settings.host) and _is_local(request.host, settings):
        return Identity("dev", admin=True)
    raise NotSignedInError


def _is_local(host: str, settings: Settings) -> bool:
    name = host if host.endswith("]") else host.rsplit(":", 1)[0]
    public = (settings.public_url or "").split("://")[-1].rstrip("/")
    return is_loopback(name.strip("[]")) or bool(public and host == public)
