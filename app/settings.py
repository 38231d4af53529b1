"""Every setting, read once from the environment and `.env`, and passed down from there."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import ByteSize, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from yarl import URL

from app import values
from app.auth.proxies import parse_networks
from app.auth.signature import PREFIX
from app.domain.payload import DEPTH_MAX, VALUES_MAX
from app.texts import Language
from app.values import Network, Size
from app.values import is_loopback as is_loopback  # noqa: PLC0414 - those who have settings ask it of them

# Seconds. A year is more than anybody waits; what is reckoned with times far away leaves the calendar.
Duration = Annotated[float, Field(gt=0, le=31_536_000, allow_inf_nan=False)]

# More is meant as no limit, and neither the database nor a queue takes any number.
Count = Annotated[int, Field(gt=0, le=1_000_000_000)]


class SettingsError(Exception):
    """A setting is missing or wrong. The message is one sentence a setting."""


class Settings(BaseSettings):
    """All that can be set, by the environment or `.env`: docs/operations.md has a row for each. Durations are in
    seconds, those of `retention_days` and `audit_days` in days.

    Nothing else reads the environment. `load` makes them; `refuse_unsafe` refuses what would be unsafe.
    """

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", env_ignore_empty=True)

    app_env: Literal["development", "production"] = "development"
    host: str = "127.0.0.1"
    workers: Count = 1
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    data_dir: Path = Path(".data")
    database_url: SecretStr | None = None
    redis_url: SecretStr | None = None
    public_url: str | None = None
    app_language: Language = "fr"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    auth_jwt_secret: SecretStr | None = None
    auth_jwks_url: str | None = None
    auth_jwt_issuer: str | None = None
    auth_jwt_audience: str | None = None
    auth_authorized_parties: Annotated[tuple[str, ...], NoDecode] = ()
    auth_admin_claim: str | None = None
    auth_viewer_claim: str | None = None
    auth_user_lookup: str | None = None
    auth_org_lookup: str | None = None
    auth_admin_lookup: str | None = None
    auth_lookup_max_age: Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)] = 60.0
    auth_cookie: str = "__session"
    sign_in_url: str | None = None
    admin_users: Annotated[tuple[str, ...], NoDecode] = ()
    viewer_users: Annotated[tuple[str, ...], NoDecode] = ()
    admin_hide_payloads: bool = False
    metrics_token: SecretStr | None = None
    ticket_ttl: Duration = 60.0
    jwks_max_age: Duration = 3600.0
    jwks_cool_down: Duration = 30.0

    webhook_secret: SecretStr | None = None
    webhook_require_signature: bool = False
    auth_failures_per_minute: Count = 30
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = ()
    unknown_job: Literal["park", "create"] = "park"
    parked_poll: Duration = 1.0
    parked_per_round: Count = 100_000
    rollups_poll: Duration = 1.0
    trace_per_second: Annotated[int, Field(ge=0, le=100)] = 4
    stall_after: Duration = 600.0
    give_up_after: Duration = 86_400.0
    retention_days: Annotated[float, Field(gt=0, le=36_500, allow_inf_nan=False)] = 30.0
    replays_per_second: Count = 200
    audit_days: Annotated[float, Field(gt=0, le=36_500, allow_inf_nan=False)] = 365.0
    generator_url: str | None = None
    generator_timeout: Duration = 30.0
    max_orders: Count = 1000
    max_orders_per_user: Count = 50
    simulated_step: Duration = 3.0
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()

    vapid_private_key: SecretStr | None = None
    vapid_subject: str | None = None
    push_timeout: Duration = 10.0
    push_ttl: Annotated[float, Field(ge=1, le=2_419_200, allow_inf_nan=False)] = 86_400.0
    push_poll: Duration = 1.0
    push_max_per_user: Annotated[int, Field(gt=0, le=100)] = 10
    push_allow_loopback: bool = False

    s3_bucket: str | None = None
    s3_endpoint_url: str | None = None
    s3_url_ttl: Annotated[float, Field(ge=2, le=604_800, allow_inf_nan=False)] = 3600.0
    s3_delete: bool = False
    aws_region: str | None = None
    aws_access_key_id: str | None = None
    aws_secret_access_key: SecretStr | None = None
    aws_session_token: SecretStr | None = None

    max_body_bytes: Size = ByteSize(1024 * 1024)
    max_files_per_job: Count = 1000
    max_json_depth: Annotated[int, Field(ge=8, le=DEPTH_MAX)] = 64
    max_json_values: Annotated[int, Field(ge=2000, le=VALUES_MAX)] = 50_000
    max_image_body_bytes: Size = ByteSize(10 * 1024 * 1024)
    max_unproven_bytes: Size = ByteSize(64 * 1024 * 1024)
    max_upload_bytes: Size = ByteSize(512 * 1024 * 1024)
    max_upload_bytes_per_user: Size = ByteSize(64 * 1024 * 1024)
    max_answer_bytes: Size = ByteSize(512 * 1024 * 1024)
    max_answer_bytes_per_user: Size = ByteSize(64 * 1024 * 1024)
    body_timeout: Duration = 10.0
    max_header_bytes: Size = ByteSize(8190)
    header_timeout: Duration = 10.0
    health_timeout: Duration = 2.0
    keep_alive: Duration = 75.0
    shutdown_grace: Duration = 8.0
    max_http_connections: Count = 10_000
    max_http_connections_per_address: Count = 500
    response_stall: Duration = 60.0
    max_pending_webhooks: Count = 10_000
    batch_max: Count = 500
    batch_max_bytes: Size = ByteSize(4 * 1024 * 1024)
    spool_max_bytes: Size = ByteSize(1024 * 1024 * 1024)
    spool_tries: Count = 5
    answer_budget: Duration = 10.0

    db_pool_size: Count = 8
    db_timeout: Duration = 10.0

    max_unfinished_per_user: Count = 1_000
    max_connections: Count = 20_000
    max_connections_per_user: Count = 50
    stream_heartbeat: Duration = 15.0
    stream_last_words: Duration = 5.0
    # The kernel counts it in milliseconds, and not far.
    stream_dead_after: Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)] = 30.0
    websocket_ping: Duration = 25.0
    websocket_max_messages: Count = 50
    stream_max_buffer: Size = ByteSize(256 * 1024)
    stream_max_lag: Duration = 10.0
    stream_end_completed: Duration = 2.0
    stream_end_failed: Duration = 600.0
    log_poll: Duration = 0.25
    log_poll_with_redis: Duration = 3.0
    redis_buffer_max: Size = ByteSize(4 * 1024 * 1024)
    redis_message_max: Size = ByteSize(256 * 1024)
    ring_size: Count = 20_000
    ring_max_bytes: Size = ByteSize(64 * 1024 * 1024)
    snapshot_max: Count = 1_000
    snapshot_max_bytes: Size = ByteSize(2 * 1024 * 1024)
    list_max_bytes: Size = ByteSize(4 * 1024 * 1024)
    list_cache_bytes: Size = ByteSize(32 * 1024 * 1024)

    @field_validator("database_url")
    @classmethod
    def _readable(cls, value: SecretStr | None) -> SecretStr | None:
        """urllib's own sentences name no variable, and one of them quotes the password."""
        try:
            urlsplit(value.get_secret_value() if value else "")
        except ValueError:
            raise ValueError("it must look like mysql://user:password@host:port/database") from None
        return value

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _origins(cls, value: object) -> object:
        return tuple(map(values.origin, values.listed(value))) if isinstance(value, str) else value

    @field_validator("admin_users", "viewer_users", "auth_authorized_parties", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        return values.listed(value) if isinstance(value, str) else value

    @field_validator("auth_cookie")
    @classmethod
    def _cookie(cls, value: str) -> str:
        return values.cookie_name(value)

    @field_validator("auth_jwt_issuer", "auth_jwt_audience", "auth_admin_claim", "auth_viewer_claim")
    @classmethod
    def _said(cls, value: str | None) -> str | None:
        return None if value is None else values.not_blank(value)

    @field_validator("auth_admin_claim", "auth_viewer_claim")
    @classmethod
    def _claim(cls, value: str | None) -> str | None:
        if value is not None and not all(part.strip() for part in value.partition("=")):
            raise ValueError("it must look like role=admin, or metadata.role=admin for a claim within another")
        return value

    @field_validator("auth_user_lookup", "auth_org_lookup")
    @classmethod
    def _reference(cls, value: str | None) -> str | None:
        return value if value is None else "{}.{}:{}".format(*values.reference(value))

    @field_validator("auth_admin_lookup")
    @classmethod
    def _condition(cls, value: str | None) -> str | None:
        return value if value is None else "{}.{}={}".format(*values.condition(value))

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        return values.narrow(parse_networks(value)) if isinstance(value, str) else value

    @cached_property
    def webhook_secrets(self) -> tuple[str, ...]:
        """Those of WEBHOOK_SECRET, each of which lets a sender in; none where anybody on this machine may post."""
        if self.webhook_secret is None:
            return ()
        return tuple(s.strip() for s in self.webhook_secret.get_secret_value().split(",") if s.strip())

    @cached_property
    def own_secrets(self) -> tuple[str, ...]:
        """What senders know, and what signs tokens: in what is kept of a webhook, none of them."""
        signs = self.auth_jwt_secret
        return (*self.webhook_secrets, *([signs.get_secret_value()] if signs else []))

    @property
    def sending_secret(self) -> str | None:
        """What we send webhooks with ourselves: the first that signs, which every server accepts, or else the first."""
        return next((s for s in self.webhook_secrets if s.startswith(PREFIX)), next(iter(self.webhook_secrets), None))

    @property
    def public_origin(self) -> str:
        """PUBLIC_URL's, as browsers write an origin; empty without one."""
        return _origin_of(self.public_url or "")

    @property
    def local_url(self) -> str:
        """This server's address on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - not bound here
        return str(URL.build(scheme="http", host=host, port=self.port))

    @property
    def signs_in(self) -> bool:
        """Whether users sign in."""
        return self.auth_jwt_secret is not None or self.auth_jwks_url is not None

    @property
    def generates(self) -> bool:
        """Whether somebody makes the videos that are asked for here."""
        return self.generator_url is not None or self.app_env == "development"

    @property
    def admin_claim(self) -> tuple[str, str] | None:
        """Name and value of the claim that makes an admin. A secret is ours alone, an issuer's keys are not."""
        if self.auth_admin_claim is None:
            return ("role", "admin") if self.auth_jwt_secret is not None else None
        return _claim(self.auth_admin_claim)

    @property
    def viewer_claim(self) -> tuple[str, str] | None:
        """The same of one that makes a viewer: none unless it is named."""
        return None if self.auth_viewer_claim is None else _claim(self.auth_viewer_claim)


def _claim(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip(), value.strip()


def _origin_of(address: str) -> str:
    """As browsers write an origin: no path, default port or capital letters. What is no address stays as it is."""
    try:
        url = URL(address)
        return str(url.origin()) if url.absolute else address
    except ValueError:
        return address


def load() -> Settings:
    """The settings in force. Raises SettingsError, naming each variable that is wrong, never its value."""
    try:
        settings = Settings()
    except ValidationError as error:
        raise SettingsError(
            " ".join(
                f"{'_'.join(str(p) for p in e['loc']).upper()} is not usable: {e['msg'].removeprefix('Value error, ')}."
                for e in error.errors(include_url=False, include_context=False, include_input=False)
            )
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise SettingsError(f"the file .env cannot be read: {why}.") from None
    return settings
