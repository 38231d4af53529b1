"""Settings that the server does not start with: they would serve somebody who should not be, or nobody at all.

Each is refused in a sentence that names it, and says why or what to set. docs/reliability.md has them all.
"""

from yarl import URL

from app import values, webpush
from app.auth.signature import PREFIX, check_secrets
from app.db.url import parameters
from app.settings import Settings, SettingsError
from app.values import is_loopback

_LARGEST_BODY = 256 * 1024 * 1024
# In the settings' own units: beyond these a value takes back what its setting is for.
_MOST = {
    "ticket_ttl": (3600, "tickets stand in addresses, which others log"),
    "jwks_max_age": (86_400, "a key that was withdrawn would stay good for longer"),
    "jwks_cool_down": (3600, "a new key would not be noticed for longer"),
    "max_body_bytes": (_LARGEST_BODY, "no database takes more at once"),
    "max_image_body_bytes": (_LARGEST_BODY, "no database takes more at once"),
    "batch_max_bytes": (_LARGEST_BODY, "no database takes more at once"),
    "max_header_bytes": (1024 * 1024, "each connection may take as much memory"),
    "workers": (1024, "each is a process"),
}
_OFTEN = (0.001, "whoever waits for less does nothing else")
_LEAST: dict[str, tuple[float, str]] = {
    "max_header_bytes": (1024, "no token fits into less"),
    "ticket_ttl": (1, "no ticket would be good when it arrives"),
    "parked_poll": _OFTEN,
    "log_poll": _OFTEN,
    "log_poll_with_redis": _OFTEN,
    "stream_heartbeat": _OFTEN,
    "websocket_ping": _OFTEN,
}


def refuse_unsafe(settings: Settings) -> None:
    """Raises SettingsError when these settings would serve somebody who should not be, or nobody at all."""
    try:
        check_secrets(settings.webhook_secrets, require_signature=settings.webhook_require_signature)
    except ValueError as error:
        raise SettingsError(f"WEBHOOK_SECRET is not usable: {error}.") from None
    _check_bounds(settings)
    _check_addresses(settings)
    _check_sign_in(settings)
    _check_lookups(settings)
    _check_storage(settings)
    _check_push(settings)
    if settings.app_env == "production":
        missing = [
            name
            for name, present in (
                ("WEBHOOK_SECRET", bool(settings.webhook_secrets)),
                ("DATABASE_URL", settings.database_url is not None),
                ("AUTH_JWT_SECRET (or AUTH_JWKS_URL)", settings.signs_in),
            )
            if not present
        ]
        if missing:
            raise SettingsError(f"APP_ENV=production needs {' and '.join(missing)}; set it, or use development.")
    elif not settings.signs_in and not is_loopback(settings.host):
        raise SettingsError(
            f"HOST={settings.host} can be reached from elsewhere, and without AUTH_JWT_SECRET or AUTH_JWKS_URL "
            "everybody is an admin; set one, or bind to 127.0.0.1."
        )
    elif not settings.signs_in and not is_loopback(URL(settings.public_url or "http://localhost").host or ""):
        raise SettingsError(
            f"PUBLIC_URL={settings.public_origin} is for browsers elsewhere, and without AUTH_JWT_SECRET or "
            "AUTH_JWKS_URL everybody is an admin; set one, or leave PUBLIC_URL out."
        )
    _check_strength(settings)


def _check_bounds(settings: Settings) -> None:
    for name, (most, why) in _MOST.items():
        if getattr(settings, name) > most:
            raise SettingsError(f"{name.upper()} must be at most {most:,}: {why}.")
    for name, (least, why) in _LEAST.items():
        if getattr(settings, name) < least:
            raise SettingsError(f"{name.upper()} must be at least {least:,}: {why}.")
    if settings.give_up_after < settings.stall_after:
        raise SettingsError("GIVE_UP_AFTER is less than STALL_AFTER: jobs would be given up before anybody is asked.")
    if settings.jwks_max_age < settings.jwks_cool_down:
        raise SettingsError("JWKS_MAX_AGE is less than JWKS_COOL_DOWN: keys could not be fetched again in time.")


def _check_addresses(settings: Settings) -> None:
    for name, address in (
        ("PUBLIC_URL", settings.public_url),
        ("GENERATOR_URL", settings.generator_url),
        ("AUTH_JWKS_URL", settings.auth_jwks_url),
        ("S3_ENDPOINT_URL", settings.s3_endpoint_url),
    ):
        if address is not None and not values.is_web_address(address):
            raise SettingsError(f"{name} must be an http:// or https:// address.")
    if settings.sign_in_url is not None and not values.is_page(settings.sign_in_url):
        raise SettingsError("SIGN_IN_URL must be an http:// or https:// address, or a path that begins with one /.")
    public = URL(settings.public_url or "")
    if public.raw_user or public.raw_password or public.raw_query_string or public.raw_fragment:
        raise SettingsError("PUBLIC_URL is shown to everybody: it has a scheme, a host and at most a path.")
    if settings.auth_jwks_url is not None and not values.is_safe_to_fetch(settings.auth_jwks_url):
        raise SettingsError(
            "AUTH_JWKS_URL must be an https:// address, or one of this machine: whoever is on the way could give keys."
        )
    if not values.can_be_bound(settings.host):
        raise SettingsError("HOST is neither an address nor a name that this machine can find; mostly it is 127.0.0.1.")
    if settings.database_url is not None:
        try:
            parameters(settings.database_url.get_secret_value())
        except ValueError as error:
            raise SettingsError(str(error)) from None


def _check_storage(settings: Settings) -> None:
    keys = settings.aws_access_key_id, settings.aws_secret_access_key
    if (keys[0] is None) != (keys[1] is None):
        raise SettingsError("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together; one of them is not set.")
    if keys[0] is None:
        for name in ("s3_bucket", "s3_endpoint_url", "s3_delete"):
            if getattr(settings, name):
                raise SettingsError(f"{name.upper()} needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to sign with.")
    endpoint = URL(settings.s3_endpoint_url or "")
    if endpoint.raw_user or endpoint.raw_password or endpoint.raw_query_string or endpoint.raw_fragment:
        raise SettingsError("S3_ENDPOINT_URL is told to browsers: it has a scheme, a host and at most a path.")
    if settings.s3_bucket is not None and not values.is_bucket(settings.s3_bucket):
        raise SettingsError("S3_BUCKET is no name that a bucket can have: 3 to 63 of a-z, 0-9, dots and hyphens.")
    if settings.aws_region is not None and not values.is_region(settings.aws_region):
        raise SettingsError("AWS_REGION is no name of a region, such as eu-west-3, or auto.")


def _check_push(settings: Settings) -> None:
    if settings.push_allow_loopback and settings.app_env == "production":
        raise SettingsError("PUSH_ALLOW_LOOPBACK is for tests: users could have this machine's own services asked.")
    if (settings.vapid_private_key is None) != (settings.vapid_subject is None):
        raise SettingsError("VAPID_PRIVATE_KEY and VAPID_SUBJECT go together; one of them is not set.")
    if settings.vapid_private_key is None or settings.vapid_subject is None:
        return
    try:
        webpush.public_key(settings.vapid_private_key.get_secret_value())
    except ValueError:
        raise SettingsError(
            "VAPID_PRIVATE_KEY is no private key of P-256 in base64url; rushes push-keys makes one."
        ) from None
    if not values.is_push_subject(settings.vapid_subject):
        raise SettingsError(
            "VAPID_SUBJECT must be mailto: and an address, or https:// and a host: where a push service can reach you."
        )
    if not webpush.is_there():
        raise SettingsError("VAPID_PRIVATE_KEY needs packages that are not installed: pip install 'rushes[push]'.")


def _check_sign_in(settings: Settings) -> None:
    if settings.auth_jwt_secret is not None:
        if settings.auth_jwks_url is not None:
            raise SettingsError("AUTH_JWT_SECRET and AUTH_JWKS_URL are both set; which fixes the algorithm? Set one.")
        if not settings.auth_jwt_secret.get_secret_value().strip():
            raise SettingsError("AUTH_JWT_SECRET is blank; set one, or leave it out.")
    if settings.webhook_secret is not None and not settings.webhook_secrets:
        raise SettingsError("WEBHOOK_SECRET is blank; set one, or leave it out.")
    if not settings.signs_in:
        for name in ("auth_jwt_issuer", "auth_jwt_audience", "auth_authorized_parties", "auth_admin_claim",
                     "auth_viewer_claim", "auth_user_lookup", "auth_org_lookup", "auth_admin_lookup"):  # fmt: skip
            if getattr(settings, name):
                raise SettingsError(
                    f"{name.upper()} says nothing while neither AUTH_JWT_SECRET nor AUTH_JWKS_URL is set: set one too."
                )
    elif (
        settings.app_env == "production"
        and settings.auth_jwks_url is not None
        and settings.auth_jwt_issuer is None
        and settings.auth_jwt_audience is None
    ):
        raise SettingsError(
            "AUTH_JWKS_URL needs AUTH_JWT_ISSUER or AUTH_JWT_AUDIENCE in production: "
            "one issuer's keys sign the tokens of other customers too."
        )


def _check_lookups(settings: Settings) -> None:
    if settings.auth_admin_lookup is None:
        return
    users = settings.auth_user_lookup
    if users is None or values.reference(users)[0] != values.condition(settings.auth_admin_lookup)[0]:
        raise SettingsError("AUTH_ADMIN_LOOKUP is read in the row that AUTH_USER_LOOKUP finds: both name one table.")


def _check_metrics_token(settings: Settings, *, within_reach: bool) -> None:
    if settings.metrics_token is None:
        return
    token = settings.metrics_token.get_secret_value().strip()
    if (not token or within_reach) and (why := values.why_weak(token)) is not None:
        raise SettingsError(f"METRICS_TOKEN {why}.")
    if token in settings.webhook_secrets:
        raise SettingsError("METRICS_TOKEN is a WEBHOOK_SECRET too: whoever reads figures could post.")
    if settings.auth_jwt_secret is not None and token == settings.auth_jwt_secret.get_secret_value().strip():
        raise SettingsError("METRICS_TOKEN is AUTH_JWT_SECRET too: whoever reads figures could sign in as anybody.")


def _check_strength(settings: Settings) -> None:
    """Where strangers may try: secrets that can be guessed, or that too many have, let them in."""
    within_reach = settings.app_env == "production" or not is_loopback(settings.host)
    if within_reach and not settings.webhook_secrets:
        raise SettingsError(
            f"HOST={settings.host} can be reached from elsewhere, and without WEBHOOK_SECRET everybody may post; "
            "set one, or bind to 127.0.0.1."
        )
    if within_reach:
        for secret in settings.webhook_secrets:
            why = None if secret.startswith(PREFIX) else values.why_weak(secret)
            if why is not None:
                raise SettingsError(f"WEBHOOK_SECRET {why}.")
    _check_metrics_token(settings, within_reach=within_reach)
    public = URL(settings.public_url or "").host
    if settings.auth_jwt_secret is not None and (within_reach or not is_loopback(public or "localhost")):
        secret = settings.auth_jwt_secret.get_secret_value()
        if (why := values.why_weak(secret)) is not None:
            raise SettingsError(f"AUTH_JWT_SECRET {why}.")
        if secret in settings.webhook_secrets:
            raise SettingsError("AUTH_JWT_SECRET is a WEBHOOK_SECRET too: every sender could sign in as anybody.")
