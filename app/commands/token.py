"""`rushes token`."""

import time

import click
import jwt

from app.auth.tokens import TokenError, check_name
from app.commands.console import Failure, settings_or_failure


@click.command()
@click.option("--user", required=True, help="Whose token it is: its `sub`.")
@click.option("--org", help="The organisation whose jobs he may see too: its `org_id`.")
@click.option("--admin", is_flag=True, help="Sees everything: the claim of AUTH_ADMIN_CLAIM.")
@click.option("--ttl", type=click.IntRange(min=1), default=3600, show_default=True, help="Seconds until it expires.")
def token(user: str, org: str | None, ttl: int, *, admin: bool) -> None:
    """Print an access token made with AUTH_JWT_SECRET."""
    settings = settings_or_failure()
    if settings.auth_jwt_secret is None:
        raise Failure("AUTH_JWT_SECRET is not set, so there is nothing to sign a token with.")
    try:
        for name in (user, user if org is None else org):
            check_name(name)
    except TokenError:
        raise Failure(
            "A user or organization has a name of at most 191 characters, all of which can be seen, "
            "without spaces at the ends."
        ) from None
    at = int(time.time())
    claim, value = settings.admin_claim or ("role", "admin")
    optional = {
        "org_id": org,
        claim: value if admin else None,
        "azp": next(iter(settings.auth_authorized_parties), None),
        "iss": settings.auth_jwt_issuer,
        "aud": settings.auth_jwt_audience,
    }
    claims = {"sub": user, "iat": at, "exp": at + ttl} | {k: v for k, v in optional.items() if v is not None}
    click.echo(jwt.encode(claims, settings.auth_jwt_secret.get_secret_value(), algorithm="HS256"))
