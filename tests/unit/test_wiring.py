"""Every setting reaches what it names: one that is read and handed to nobody changes nothing, and nobody notices."""

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
import yarl
from pydantic import ByteSize, SecretStr

from app import appkeys, lifecycle, main
from app.settings import Settings
from tests.client import GivenSettings

ROOT = Path(__file__).parents[2]
URL = "mysql://root@localhost/never-connected-to"
SIGNS = {"auth_jwt_secret": "a secret of thirty-two characters"}
KEYS = {"aws_access_key_id": "AKIA", "aws_secret_access_key": "hush"}
PUSH_KEY = "A" * 42 + "E"
PUSHES = {"vapid_private_key": "A" * 42 + "I", "vapid_subject": "mailto:a@b.example"}
FETCHES = {"auth_jwks_url": "https://issuer.example/jwks"}


@dataclass(frozen=True)
class Reaches:
    """With `value`, `seen` gives `as_` (or the value itself) of the application, made with `others` too."""

    value: Any
    seen: Callable[[Any], Any]
    as_: Any = None
    others: Any = None


@dataclass(frozen=True)
class AskedIn:
    """Asked for by its name, or by that of a property, in these modules, each time it is needed."""

    modules: tuple[str, ...]
    name: str | None = None


def writer(name: str, value: Any, as_: Any = None) -> Reaches:
    return Reaches(value, lambda app: attrgetter(name)(app[appkeys.WRITER]), as_)


def hub(name: str, value: Any) -> Reaches:
    return Reaches(value, lambda app: attrgetter(name)(app[appkeys.HUB]))


def tokens(name: str, value: Any, as_: Any = None, others: Any = None) -> Reaches:
    return Reaches(value, lambda app: getattr(app[appkeys.TOKENS], name), as_, others or SIGNS)


def jwks(name: str, value: Any) -> Reaches:
    return Reaches(value, lambda app: getattr(app[appkeys.TOKENS].keys, name), others=FETCHES)


def languages(app: Any) -> set[str]:
    return {app[key]._language for key in (appkeys.WRITER, appkeys.REGISTRAR, appkeys.RECEIVED)}


def waits(app: Any) -> set[float]:
    pools = {app[key]._wait for key in (appkeys.POOL, appkeys.FOLLOWING, appkeys.WRITER, appkeys.LEADER)}
    return pools | {app[appkeys.READINESS]._wait, app[appkeys.READINESS].health._wait}


def unknown_jobs(app: Any) -> tuple[bool, bool]:
    return app[appkeys.WRITER]._create_unknown, app[appkeys.RECEIVED]._create_unknown


def files_of_a_job(app: Any) -> set[int]:
    return {app[key]._max_files for key in (appkeys.WRITER, appkeys.RECEIVED)}


def share(key: Any, name: str, value: Any) -> Reaches:
    return Reaches(value, lambda app: getattr(app[key], name))


def notifier(app: Any) -> Any:
    return lifecycle._notifier(app, app[appkeys.PUSH])


def s3(name: str, value: Any, as_: Any = None) -> Reaches:
    return Reaches(value, lambda app: getattr(app[appkeys.STORAGE], name), as_, KEYS)


def people(name: str, value: Any, as_: Any = None) -> Reaches:
    return Reaches(value, lambda app: getattr(app[appkeys.PEOPLE], name), as_, SIGNS)


def users_looked_up(app: Any) -> set[Any]:
    return {app[key]._users for key in (appkeys.PEOPLE, appkeys.WRITER, appkeys.RECEIVED)}


def bus(name: str, value: Any) -> Reaches:
    return Reaches(value, lambda app: getattr(app[appkeys.BUS], name), others={"redis_url": "redis://h:6379"})


TABLE: dict[str, Reaches | AskedIn] = {
    "app_env": Reaches("production", lambda app: app[appkeys.READINESS]._may_migrate, as_=False),
    "host": AskedIn(("app/commands/serve.py", "app/routes/callers.py")),
    "workers": AskedIn(("app/commands/serve.py", "app/commands/supervisor.py")),
    "port": AskedIn(("app/commands/serve.py",)),
    "data_dir": Reaches(Path("/d"), lambda app: app[appkeys.SPOOL]._folder, Path("/d/spool")),
    "database_url": AskedIn(("app/commands/database.py", "app/commands/serve.py")),
    "redis_url": Reaches("redis://h:1", lambda app: app[appkeys.BUS]._url),
    "sign_in_url": AskedIn(("app/routes/pages.py",)),
    "public_url": AskedIn(("app/routes/callers.py",), "public_origin"),
    "app_language": Reaches("en", languages, {"en"}),
    "log_level": AskedIn(("app/commands/serve.py", "app/commands/worker.py")),
    "auth_jwt_secret": Reaches("x" * 40, lambda app: app[appkeys.TOKENS]._secret),
    "auth_jwks_url": Reaches("https://i.example/k", lambda app: app[appkeys.TOKENS].keys._url),
    "auth_jwt_issuer": tokens("_issuer", "us"),
    "auth_jwt_audience": tokens("_audience", "pages"),
    "auth_authorized_parties": tokens("_parties", ("https://app.example",)),
    "auth_admin_claim": tokens("_admin_claim", "a.b=c", ("a.b", "c")),
    "auth_viewer_claim": tokens("_viewer_claim", "a.b=c", ("a.b", "c")),
    "viewer_users": tokens("_viewers", ("ada", "bob"), frozenset({"ada", "bob"})),
    "admin_hide_payloads": AskedIn(("app/routes/admin.py",)),
    "metrics_token": AskedIn(("app/routes/metrics.py",)),
    "auth_user_lookup": Reaches("users.clerkId:id", users_looked_up, {("users", "clerkId", "id")}, SIGNS),
    "auth_org_lookup": people("_members", "members.user:organization", ("members", "user", "organization")),
    "auth_admin_lookup": people("_admins", "users.role=ADMIN", ("role", "ADMIN")),
    "auth_lookup_max_age": people("_max_age", 3.0),
    "auth_cookie": AskedIn(("app/routes/callers.py", "app/routes/openapi.py")),
    "admin_users": tokens("_admins", ("ada", "bob"), frozenset({"ada", "bob"})),
    "ticket_ttl": Reaches(33.0, lambda app: app[appkeys.TICKETS]._seconds),
    "jwks_max_age": jwks("_max_age", 333.0),
    "jwks_cool_down": jwks("_cool_down", 3.0),
    "webhook_secret": AskedIn(("app/routes/senders.py", "app/settings.py"), "webhook_secrets"),
    "webhook_require_signature": AskedIn(("app/routes/senders.py",)),
    "auth_failures_per_minute": Reaches(3, lambda app: app[appkeys.FAILURES]._per_minute),
    "trusted_proxies": AskedIn(("app/routes/callers.py", "app/routes/senders.py")),
    "unknown_job": Reaches("create", unknown_jobs, (True, True)),
    "parked_poll": Reaches(3.0, lambda app: app[appkeys.PARKED]._poll),
    "parked_per_round": Reaches(33, lambda app: app[appkeys.PARKED]._per_round),
    "stall_after": Reaches(33.0, lambda app: lifecycle._reconciler(app)._stall_after),
    "give_up_after": Reaches(3333.0, lambda app: lifecycle._reconciler(app)._give_up_after),
    "retention_days": Reaches(3.0, lambda app: lifecycle._retention(app)._days),
    "replays_per_second": Reaches(33, lambda app: lifecycle._replays(app)._per_second),
    "audit_days": Reaches(3.0, lambda app: lifecycle._retention(app)._audit_days),
    "trace_per_second": Reaches(3, lambda app: app[appkeys.TRACES]._sampling._most, 15),
    "rollups_poll": Reaches(3.0, lambda app: lifecycle._rollups(app)._every),
    "generator_url": Reaches("http://g", lambda app: app[appkeys.GENERATOR]._url, "http://g/api/videos/"),
    "generator_timeout": Reaches(
        3.0, lambda app: app[appkeys.GENERATOR]._session.timeout.total, others={"generator_url": "http://g"}
    ),
    "simulated_step": Reaches(0.3, lambda app: lifecycle._simulated(app[appkeys.SETTINGS])._step),
    "cors_origins": AskedIn(("app/routes/callers.py", "app/routes/cors.py")),
    "s3_bucket": s3("_bucket", "videos"),
    "s3_endpoint_url": s3("_endpoint", "http://s3:9000", yarl.URL("http://s3:9000")),
    "s3_url_ttl": s3("_ttl", 33.0),
    "s3_delete": Reaches(True, lambda app: lifecycle._retention(app)._deleted._remove is not None, others=KEYS),
    "aws_region": s3("_region", "eu-west-3"),
    "aws_access_key_id": Reaches("AKIA3", lambda app: app[appkeys.STORAGE]._credentials.key_id, others=KEYS),
    "aws_secret_access_key": Reaches("s3", lambda app: app[appkeys.STORAGE]._credentials.secret, others=KEYS),
    "aws_session_token": Reaches("lent", lambda app: app[appkeys.STORAGE]._credentials.token, others=KEYS),
    "max_body_bytes": AskedIn(("app/routes/webhooks.py", "app/routes/replays.py")),
    "max_json_depth": AskedIn(("app/routes/webhooks.py",)),
    "max_image_body_bytes": AskedIn(("app/routes/orders.py",)),
    "body_timeout": AskedIn(("app/routes/http.py",)),
    "max_header_bytes": AskedIn(("app/server.py",)),
    "header_timeout": AskedIn(("app/server.py",)),
    "health_timeout": AskedIn(("app/routes/ops.py",)),
    "keep_alive": AskedIn(("app/server.py",)),
    "shutdown_grace": AskedIn(("app/lifecycle.py", "app/commands/serve.py", "app/commands/supervisor.py")),
    "max_http_connections": AskedIn(("app/server.py", "app/commands/serve.py")),
    "max_pending_webhooks": writer("_pending_max", 33),
    "batch_max": writer("_queue.batch_max", 33),
    "batch_max_bytes": writer("_queue.batch_max_bytes", ByteSize(3333)),
    "spool_max_bytes": Reaches(ByteSize(3333), lambda app: app[appkeys.SPOOL]._max_bytes),
    "spool_tries": writer("_outage._spool_tries", 33),
    "answer_budget": writer("_queue.budget", 3.0),
    "db_pool_size": Reaches(3, lambda app: app[appkeys.POOL]._gate._value),
    "db_timeout": Reaches(1.5, waits, {1.5}),
    "max_connections": hub("_max_connections", 33),
    "max_connections_per_user": hub("_max_per_user", 3),
    "stream_heartbeat": hub("limits.heartbeat", 3.0),
    "stream_last_words": hub("_last_words", 3.0),
    "stream_dead_after": hub("limits.dead_after", 3.0),
    "websocket_ping": hub("limits.ping", 3.0),
    "websocket_max_messages": hub("limits.max_messages", 3),
    "stream_max_buffer": hub("_max_buffer", ByteSize(3333)),
    "stream_max_lag": hub("_max_lag", 3.0),
    "stream_end_completed": Reaches(3.0, lambda app: app[appkeys.HUB]._grace["completed"]),
    "stream_end_failed": Reaches(33.0, lambda app: app[appkeys.HUB]._grace["failed"]),
    "log_poll": Reaches(3.0, lambda app: app[appkeys.FOLLOWER]._poll),
    "log_poll_with_redis": Reaches(33.0, lambda app: app[appkeys.FOLLOWER]._poll_with_bus),
    "redis_buffer_max": bus("_buffer_max", ByteSize(3333)),
    "redis_message_max": bus("_message_max", ByteSize(3333)),
    "ring_size": Reaches(33, lambda app: app[appkeys.FOLLOWER]._ring_bounds[0]),
    "ring_max_bytes": Reaches(ByteSize(3333), lambda app: app[appkeys.FOLLOWER]._ring_bounds[1]),
    "snapshot_max": Reaches(33, lambda app: app[appkeys.SNAPSHOTS]._most),
    "snapshot_max_bytes": Reaches(ByteSize(3333), lambda app: app[appkeys.SNAPSHOTS]._most_bytes),
    "list_max_bytes": Reaches(ByteSize(3333), lambda app: app[appkeys.GALLERY]._most_bytes),
    "list_cache_bytes": Reaches(
        ByteSize(3333), lambda app: {app[appkeys.RENDERED]._left, app[appkeys.TOLD]._left}, {3333}
    ),
    "vapid_private_key": Reaches(PUSH_KEY, lambda app: app[appkeys.PUSH]._private_key, others=PUSHES),
    "vapid_subject": Reaches("mailto:b@c.example", lambda app: app[appkeys.PUSH]._subject, others=PUSHES),
    "push_timeout": Reaches(3.0, lambda app: app[appkeys.PUSH]._wait, others=PUSHES),
    "push_ttl": Reaches(33.0, lambda app: notifier(app)._ttl, others=PUSHES),
    "push_poll": Reaches(3.0, lambda app: notifier(app)._every, others=PUSHES),
    "push_max_per_user": Reaches(3, lambda app: app[appkeys.SUBSCRIPTIONS]._most),
    "push_allow_loopback": Reaches(True, lambda app: app[appkeys.PUSH].allow_loopback, others=PUSHES),
    "max_files_per_job": Reaches(33, files_of_a_job, {33}),
    "max_unfinished_per_user": Reaches(33, lambda app: app[appkeys.REGISTRAR]._max_unfinished),
    "max_orders": share(appkeys.ORDERS, "_whole", 33),
    "max_orders_per_user": share(appkeys.ORDERS, "_each", 3),
    "max_answer_bytes": share(appkeys.ANSWERS, "_whole", ByteSize(3**20)),
    "max_answer_bytes_per_user": share(appkeys.ANSWERS, "_each", ByteSize(3**20)),
    "max_upload_bytes": share(appkeys.UPLOADS, "_whole", ByteSize(3**20)),
    "max_upload_bytes_per_user": share(appkeys.UPLOADS, "_each", ByteSize(3**20)),
    "max_unproven_bytes": share(appkeys.UNPROVEN, "_whole", ByteSize(3**20)),
    "max_json_values": AskedIn(("app/routes/webhooks.py",)),
    "max_http_connections_per_address": AskedIn(("app/server.py",)),
    "response_stall": AskedIn(("app/server.py",)),
}


async def seen(reaches: Reaches, changed: dict[str, Any]) -> Any:
    app = main.create_app(GivenSettings(**((reaches.others or {}) | changed)), URL)
    async with lifecycle._generator(app[appkeys.SETTINGS]) as app[appkeys.GENERATOR]:
        return reaches.seen(app)


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
async def test_setting_reaches_what_it_names(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for other in Settings.model_fields:
        monkeypatch.delenv(other.upper(), raising=False)
    assert name in TABLE, f"say here where {name.upper()} is seen"
    row = TABLE[name]
    if isinstance(row, AskedIn):
        for module in row.modules:
            tree = ast.parse((ROOT / module).read_text())
            asked = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
            assert (row.name or name) in asked, f"{module} does not ask for {name}"
        return
    wanted = row.value if row.as_ is None else row.as_
    assert await seen(row, {name: row.value}) == wanted
    if name not in (row.others or {}) and name not in (
        "redis_url",
        "auth_jwt_secret",
        "auth_jwks_url",
        "generator_url",
    ):
        assert await seen(row, {}) != wanted, f"the default of {name.upper()} cannot be told from the test's value"


def test_no_row_names_a_setting_that_is_gone() -> None:
    assert set(TABLE) == set(Settings.model_fields)


UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def default_told(text: str) -> Any:
    if text == "none":
        return None
    if text.startswith("`"):
        return text.strip("`")
    number, unit = text.split()
    return str(int(number) * UNITS[unit])


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_default_of_a_setting_is_the_one_that_is_documented(name: str) -> None:
    (told,) = re.findall(
        rf"^\| `{name.upper()}` \| ([^|]+) \|", (ROOT / "docs/operations.md").read_text(), re.MULTILINE
    )
    default = Settings.model_fields[name].default
    value = default.get_secret_value() if isinstance(default, SecretStr) else default
    shown = None if value in (None, ()) else f"{value:g}" if isinstance(value, float) else str(value)
    told_value = default_told(told)
    if isinstance(value, bool):
        shown = str(value).lower()
    assert shown == told_value or (shown is not None and told_value is not None and float(shown) == float(told_value))
