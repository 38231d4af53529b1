"""The `rushes` command."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, closing, nullcontext, suppress
from typing import TYPE_CHECKING, Any

import click

from app.settings import Settings, SettingsError, load

if TYPE_CHECKING:
    from app.db.errors import DatabaseError


class Failure(click.ClickException):
    """One sentence on what is wrong and what to do; exit code 1."""

    def show(self, file: Any = None) -> None:
        click.secho(f"rushes: {self.format_message()}", fg="red", err=True, file=file)


class _Commands(click.Group):
    def main(self, *args: Any, **kwargs: Any) -> Any:
        """What the machine refuses us, as room for our output, is a sentence too. (Of a reader who has gone, click ends
        without a word.)"""
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            named = f"{error.filename}: " if error.filename else ""
            Failure(f"{named}{error.strerror or error}").show()
            drop_output()
            raise SystemExit(1) from None


def drop_output() -> None:
    """Lets standard output lead nowhere. Python would write at its end what could not be written before, and say so in
    its own words."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rushes", message="rushes %(version)s")
def main() -> None:
    """AI video status webhooks in, the browser updated the moment they are committed."""


def _settings() -> Settings:
    try:
        return load()
    except SettingsError as error:
        raise Failure(str(error)) from None


def run_async(coroutine: Coroutine[Any, Any, int]) -> None:
    """Runs on uvloop where there is one, and ends the process with the code that comes back."""
    if sys.platform == "win32":
        raise SystemExit(asyncio.run(coroutine))
    import uvloop

    raise SystemExit(uvloop.run(coroutine))


# Seconds. Whoever types a command learns by then that nothing answers; what the database does may take DB_TIMEOUT.
_PATIENCE = 2.0


@asynccontextmanager
async def database(settings: Settings, *, waits: bool = False) -> AsyncIterator[str]:
    """The database's URL; runs the private one where no other is set. What goes wrong with it is a Failure.

    So is another one that cannot be reached at once, unless it `waits` for that by itself.
    """
    from pymysql.err import Error

    from app.db.connection import connect
    from app.db.errors import DatabaseError, judged
    from app.db.local import LocalDatabaseError, private_database

    given = settings.database_url
    try:
        async with (
            private_database(settings.data_dir) if given is None else nullcontext(given.get_secret_value()) as url
        ):
            if given is not None and not waits:
                (await connect(url, settings.db_timeout, patience=min(_PATIENCE, settings.db_timeout))).close()
            yield url
    except (LocalDatabaseError, ValueError) as error:
        raise Failure(str(error)) from None
    except (DatabaseError, Error) as error:
        raise _failure(judged(error) if isinstance(error, Error) else error) from None


def _failure(error: "DatabaseError") -> Failure:
    from app.db.errors import RetryableError, ValuesRefusedError

    if isinstance(error, RetryableError) and error.lacks_table:
        return Failure(f"the database lacks a table of ours ({error.sentence}); run `rushes migrate` first")
    if isinstance(error, (RetryableError, ValuesRefusedError)):
        return Failure(f"the database refuses us: {error.sentence}")
    return Failure(error.sentence)


@main.command()
@click.option("--workers", type=click.IntRange(min=1), help="Processes on the one port; default WORKERS, or 1.")
def serve(workers: int | None) -> None:
    """Serve, on a private database unless DATABASE_URL names another."""
    from app.serve import serve as run

    settings = _settings()
    settings.workers = workers or settings.workers
    run_async(run(settings))


@main.command()
@click.option("--add-indexes", is_flag=True, help="Also make the indexes that tables of the site's lack.")
def migrate(*, add_indexes: bool) -> None:
    """Bring the database up to date; safe on one that Prisma made."""
    from app.db import migrate as migrations
    from app.db.health import columns_without_default, examine

    async def run(settings: Settings) -> int:
        async with database(settings) as url:
            report = await asyncio.to_thread(migrations.apply, url, add_indexes=add_indexes)
            _tell(report, add_indexes=add_indexes)
            await examine(url, settings.db_timeout)
            for column in await columns_without_default(url, settings.db_timeout):
                click.echo(f"warning    {column} has no default, so no row can be added there: give it one")
        return 0

    run_async(run(_settings()))


def _tell(report: Any, *, add_indexes: bool) -> None:
    for table in report.adopted:
        click.echo(f"adopted  {table} (as it is)")
    for name in report.applied:
        click.echo(f"applied  {name}")
    if not report.applied:
        click.echo("nothing to apply, the database is up to date")
    for statement in report.missing_indexes:
        click.echo(f"{'added' if add_indexes else 'missing'}    {statement};")
    if report.missing_indexes and not add_indexes:
        click.echo(
            "The gallery is slow without them on a large table, and stalled jobs are found late; "
            "`rushes migrate --add-indexes` makes them."
        )


@main.command()
@click.option("--user", required=True, help="Whose token it is: its `sub`.")
@click.option("--org", help="The organisation whose jobs he may see too: its `org_id`.")
@click.option("--admin", is_flag=True, help="Sees everything: the claim of AUTH_ADMIN_CLAIM.")
@click.option("--ttl", type=click.IntRange(min=1), default=3600, show_default=True, help="Seconds until it expires.")
def token(user: str, org: str | None, ttl: int, *, admin: bool) -> None:
    """Print an access token made with AUTH_JWT_SECRET."""
    import time

    import jwt

    from app.tokens import TokenError, check_name

    settings = _settings()
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


@main.group()
def dead() -> None:
    """Webhooks that were not applied: dead letters, and those parked until their job appears."""


_OPEN = click.Choice(["dead", "parked"])


def _which(webhook_ids: tuple[str, ...], outcome: str | None, *, everything: bool) -> list[str]:
    """The outcomes meant. Raises UsageError unless either ids or --all is there."""
    if bool(webhook_ids) == everything:
        raise click.UsageError("Name the webhooks by their ids, or say --all.")
    if outcome and webhook_ids:
        raise click.UsageError("--outcome goes with --all.")
    return [outcome] if outcome else ["dead", "parked"]


@dead.command("list")
@click.option("--outcome", type=_OPEN, help="Only these; both without it.")
@click.option("--job-id", help="Only those for this job.")
def dead_list(outcome: str | None, job_id: str | None) -> None:
    """The newest of them, with what was wrong."""
    from app import dead as letters

    settings = _settings()
    outcomes = [outcome] if outcome else ["dead", "parked"]
    run_async(letters.list_webhooks(database(settings), settings, outcomes, job_id))


@dead.command("show")
@click.argument("webhook_id", metavar="ID")
def dead_show(webhook_id: str) -> None:
    """One webhook: its payload, what was wrong, and what a replay would change."""
    from app import dead as letters

    settings = _settings()
    run_async(letters.show(database(settings), settings, webhook_id))


@dead.command("replay")
@click.argument("webhook_ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All, in the order of receipt.")
@click.option("--outcome", type=_OPEN, help="With --all: only these.")
def dead_replay(webhook_ids: tuple[str, ...], outcome: str | None, *, everything: bool) -> None:
    """Try webhooks again; exit 1 when any is still dead or could not be tried."""
    from app import dead as letters

    outcomes = _which(webhook_ids, outcome, everything=everything)
    settings = _settings()
    run_async(letters.replay(database(settings), settings, webhook_ids, outcomes))


@dead.command("discard")
@click.argument("webhook_ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option("--outcome", type=_OPEN, help="With --all: only these.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def dead_discard(webhook_ids: tuple[str, ...], outcome: str | None, *, everything: bool, yes: bool) -> None:
    """Let webhooks rest; one that its sender sends again is tried again."""
    from app import dead as letters

    outcomes = _which(webhook_ids, outcome, everything=everything)
    settings = _settings()
    run_async(letters.discard(database(settings), settings, webhook_ids, outcomes, sure=yes))


@main.command()
def purge() -> None:
    """Delete what is older than RETENTION_DAYS now; the server also does it by itself."""
    from app.db.leader import Leader
    from app.db.pool import Pool
    from app.db.retention import Retention

    async def run(settings: Settings) -> int:
        async with database(settings) as url:
            with closing(Pool(url, 1, settings.db_timeout)) as pool:
                deleted = await Retention(pool, Leader(url), days=settings.retention_days).purge()
        for what, count in deleted.items():
            click.echo(f"{count:>9,}  {what}")
        return 0

    run_async(run(_settings()))


# As Envelope of app/payload.py has them, which takes long to import.
_STATUSES = ("pending", "processing", "generating", "downloading", "completed", "failed")


@main.command()
@click.argument("url", required=False)
@click.option("--job-id", required=True)
@click.option("--status", required=True, type=click.Choice(_STATUSES, case_sensitive=False))
@click.option("--data", help="The data object, as JSON.")
@click.option("--attempts", default=6, show_default=True, type=click.IntRange(min=1))
def send(url: str | None, job_id: str, status: str, data: str | None, attempts: int) -> None:
    """Post one webhook to URL, by default the server here, with retries on 5xx, 429, 408 and connection errors.

    The secret, if one is needed, is the first in WEBHOOK_SECRET that signs, or else the first.
    """
    from app.send import webhook_command

    settings = _settings()
    raise SystemExit(webhook_command(url or settings.local_url, job_id, status, data, settings, attempts=attempts))


@main.command()
@click.argument("url", required=False)
@click.option("--user", default="smoke", show_default=True, help="Owner of the jobs made for it.")
@click.option("--token", help="Access token to read the jobs back with, where one must sign in.")
def smoke(url: str | None, user: str, token: str | None) -> None:
    """Check the server at URL, by default the one here, with the nine checks of the product document.

    Exit 1 if any fails. Where one must sign in and no token is given, nothing is read back, and so it says. What it
    makes stays, and is named at the end. The secret, if one is needed, is the first in WEBHOOK_SECRET that signs, or
    else the first.
    """
    from app.smoke import NoServerError
    from app.smoke import smoke as run

    settings = _settings()
    try:
        run_async(run(url or settings.local_url, settings, user=user, token=token))
    except (NoServerError, ValueError) as error:
        raise Failure(str(error)) from None
