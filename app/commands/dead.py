"""`rushes dead`: webhooks that were not applied, from a terminal, straight on the database."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from typing import Any, Literal

import click
import orjson
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from app import logs
from app.commands.console import Failure, run_async, settings_or_failure, typist
from app.commands.database import database
from app.db.dead_letters import OPEN, REPLAYABLE, ReceivedWebhooks
from app.db.people import reference_of
from app.db.pool import Pool
from app.db.webhook_list import Filter, WebhookList
from app.db.webhook_rows import Webhook, WholeWebhook
from app.db.writer.writer import Writer
from app.domain import forms
from app.domain.estimate import Estimates
from app.domain.event import LogEvent
from app.settings import Settings
from app.times import rfc3339

_LISTED = 100

# Columns that a row of the list takes with what was wrong beside it; in fewer that comes below.
_WIDE = 160

# Outcomes of a replay that are told also among many.
_NOT_DONE = ("dead", "busy", "queued")

Database = AbstractAsyncContextManager[str]
Answer = Mapping[str, Any]


@click.group()
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
def dead_list(outcome: Literal["dead", "parked"] | None, job_id: str | None) -> None:
    """The newest of them, with what was wrong."""
    settings = settings_or_failure()
    outcomes = (outcome,) if outcome else OPEN
    run_async(_list_webhooks(database(settings), settings, Filter(outcomes, job_id)))


@dead.command("show")
@click.argument("webhook_id", metavar="ID")
def dead_show(webhook_id: str) -> None:
    """One webhook: its payload, what was wrong, and what a replay would change."""
    settings = settings_or_failure()
    run_async(_show(database(settings), settings, webhook_id))


@dead.command("replay")
@click.argument("webhook_ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All, in the order of receipt.")
@click.option("--outcome", type=_OPEN, help="With --all: only these.")
def dead_replay(webhook_ids: tuple[str, ...], outcome: str | None, *, everything: bool) -> None:
    """Try webhooks again; exit 1 when any is still dead or could not be tried."""
    outcomes = _which(webhook_ids, outcome, everything=everything)
    settings = settings_or_failure()
    run_async(_replay(database(settings), settings, webhook_ids, outcomes))


@dead.command("discard")
@click.argument("webhook_ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option("--outcome", type=_OPEN, help="With --all: only these.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def dead_discard(webhook_ids: tuple[str, ...], outcome: str | None, *, everything: bool, yes: bool) -> None:
    """Let webhooks rest; one that its sender sends again is tried again."""
    outcomes = _which(webhook_ids, outcome, everything=everything)
    settings = settings_or_failure()
    run_async(_discard(database(settings), settings, webhook_ids, outcomes, sure=yes))


async def _list_webhooks(database: Database, settings: Settings, wanted: Filter) -> int:
    """The newest of them, as a table."""
    async with database as url:
        with closing(Pool(url, 1, settings.db_timeout)) as pool:
            found, more = await WebhookList(pool).page(wanted, _LISTED)
    if not found:
        click.echo("nothing is dead or parked" if wanted.job_id is None else "nothing of that job is dead or parked")
        return 0
    console = _console()
    for part in [_table(found)] if console.width >= _WIDE else _pairs(found):
        console.print(part)
    if more is not None:
        click.echo(f"These are the newest {_LISTED}; there are more.")
    return 0


async def _show(database: Database, settings: Settings, webhook_id: str) -> int:
    """One of any outcome: what came in, what was wrong, and what a replay would change."""
    async with _received(database, settings) as (received, _url):
        webhook = await _get(received, webhook_id)
        preview = await received.preview(webhook) if webhook.outcome in REPLAYABLE else None
    for name, value in webhook.summary().items():
        click.echo(f"{name:12} {'' if value is None else _plain(str(value))}")
    detail = webhook.detail()
    click.echo("\nheaders")
    for name, value in orjson.loads(webhook.headers).items():
        click.echo(f"  {_plain(name)}: {_plain(str(value))}")
    click.echo(f"\npayload ({detail['payload_encoding']})")
    click.echo(_payload(webhook, detail))
    if preview is not None:
        click.echo("")
        _tell_preview(preview)
    return 0


async def _replay(database: Database, settings: Settings, webhook_ids: Sequence[str], outcomes: Sequence[str]) -> int:
    """Tries the named ones again; without names, all of `outcomes` in the order of receipt.

    The code is 1 when any is not there, still dead, or could not be tried.
    """
    logs.configure("error")
    by = typist()
    async with _received(database, settings) as (received, url), _writing(url, settings) as writer:
        if webhook_ids:
            webhooks = [await _get(received, webhook_id) for webhook_id in webhook_ids]

            async def some(at: str | None) -> tuple[list[Answer], str | None]:
                place = int(at or 0)
                answer = await received.replay_or_busy(webhooks[place], writer, by)
                return [answer], str(place + 1) if place + 1 < len(webhooks) else None

            answers = await _with_progress("replaying", len(webhooks), some)
        else:
            count, newest = await received.count(outcomes)

            async def some(at: str | None) -> tuple[list[Answer], str | None]:
                return await received.replay_some(writer, by, outcomes, at, newest)

            answers = await _with_progress("replaying", count, some)
    for answer in answers:
        if webhook_ids or answer["outcome"] in _NOT_DONE:
            click.echo(_told(answer))
    counted = Counter(a["outcome"] for a in answers if "message" not in a or a["outcome"] in _NOT_DONE)
    if counted or not webhook_ids:
        click.echo(f"{counted.total()} replayed" + _listed(counted))
    return 1 if counted["dead"] or counted["busy"] else 0


async def _discard(
    database: Database, settings: Settings, webhook_ids: Sequence[str], outcomes: Sequence[str], *, sure: bool
) -> int:
    """Lets the named ones rest; without names, all of `outcomes`. Asks first, unless `sure`.

    The code is 1 when a named one is not there, or was neither dead nor parked.
    """
    async with _received(database, settings) as (received, _url):
        if webhook_ids:
            for webhook_id in webhook_ids:
                await _get(received, webhook_id)
            count, newest = len(set(webhook_ids)), ""
        else:
            count, newest = await received.count(outcomes)
        if not count:
            click.echo("nothing to discard")
            return 0
        if not sure:
            click.confirm(f"Discard {count} webhook{'s' if count > 1 else ''}?", abort=True)
        if webhook_ids:
            discarded = await received.discard(webhook_ids, typist())
        else:
            discarded = 0
            while some := await received.discard_some(outcomes, newest, typist()):
                discarded += some
    click.echo(f"{discarded} discarded")
    if webhook_ids and discarded < count:
        click.echo(f"rushes: {count - discarded} of them were neither dead nor parked, and stay as they are", err=True)
        return 1
    return 0


@asynccontextmanager
async def _received(database: Database, settings: Settings) -> AsyncIterator[tuple[ReceivedWebhooks, str]]:
    """With the database's URL."""
    async with database as url:
        with closing(Pool(url, 2, settings.db_timeout)) as pool:
            most = settings.max_files_per_job
            received = ReceivedWebhooks(
                pool,
                settings.app_language,
                create_unknown=_creates(settings),
                max_files=most,
                users=reference_of(settings.auth_user_lookup),
            )
            yield received, url


@asynccontextmanager
async def _writing(url: str, settings: Settings) -> AsyncIterator[Writer]:
    """A writer of our own. Servers learn of its commits from the log."""
    writer = Writer(
        url,
        language=settings.app_language,
        estimates=Estimates(),
        on_commit=_nobody_listens,
        batch_max=settings.batch_max,
        batch_max_bytes=settings.batch_max_bytes,
        budget=settings.answer_budget,
        wait=settings.db_timeout,
        create_unknown=_creates(settings),
        users=reference_of(settings.auth_user_lookup),
        max_files=settings.max_files_per_job,
    )
    writer.start()
    try:
        yield writer
    finally:
        await writer.stop()


def _creates(settings: Settings) -> bool:
    return settings.unknown_job == "create"


def _nobody_listens(_events: list[LogEvent]) -> None:
    pass


async def _get(received: ReceivedWebhooks, webhook_id: str) -> WholeWebhook:
    webhook = await received.get(webhook_id)
    if webhook is None:
        raise Failure(f"there is no webhook {_plain(webhook_id)}; `rushes dead list` shows those that there are")
    return webhook


async def _with_progress(
    what: str, total: int, some: Callable[[str | None], Awaitable[tuple[list[Answer], str | None]]]
) -> list[Answer]:
    """Calls `some` with where it left off until it is at the end; a bar on a terminal when there are many."""
    answers: list[Answer] = []
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=total < 2) as progress:  # noqa: PLR2004
        task = progress.add_task(what, total=total)
        at: str | None = None
        while True:
            found, at = await some(at)
            answers += found
            progress.advance(task, len(found))
            if at is None:
                return answers


def _table(webhooks: list[Webhook]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("id", "received", "outcome", "tries", "job", "status", "error"):
        table.add_column(name, no_wrap=name != "error", overflow="fold", min_width=32 if name == "id" else None)
    for webhook in webhooks:
        cells = (
            webhook.id,
            rfc3339(webhook.received_at),
            webhook.outcome,
            str(webhook.attempts),
            webhook.job_id or "",
            webhook.status or "",
            _shortened(f"{webhook.error_code}: {webhook.error}"),
        )
        table.add_row(*(Text(_plain(cell)) for cell in cells))
    return table


def _pairs(webhooks: list[Webhook]) -> Iterator[RenderableType]:
    """What came and what became of it, in 70 columns; then whose it was and what was wrong, in as many as there are."""
    for webhook in webhooks:
        received = f"{rfc3339(webhook.received_at)[:19]}Z"
        yield Text(_plain(f"{webhook.id}  {received}  {webhook.outcome:9}  tries {webhook.attempts}"))
        said = (webhook.job_id or "", webhook.status or "", _shortened(f"{webhook.error_code}: {webhook.error}"))
        yield Padding(Text(_plain("  ".join(filter(None, said)))), (0, 0, 0, 2))


def _console() -> Console:
    """As wide as the terminal; wide enough for whole lines where there is none."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=400)


def _payload(webhook: WholeWebhook, detail: forms.WholeWebhook) -> str:
    if detail["payload_encoding"] == "json":
        try:
            return orjson.dumps(orjson.loads(webhook.body), option=orjson.OPT_INDENT_2).decode()
        except orjson.JSONEncodeError:  # too deep
            return _plain(webhook.body.decode())
    return "\n".join(_plain(line) for line in str(detail["payload"]).split("\n"))


def _tell_preview(preview: forms.Preview) -> None:
    why = f": {_plain(preview['error'])}" if preview["error"] else ""
    click.echo(f"a replay would leave it {preview['outcome'] or 'waiting'}{why}")
    if preview.get("makes_job"):
        click.echo("  a new job is made for it")
    if "note" in preview:
        click.echo(f"  {preview['note']}")
    for name, change in preview.get("columns", {}).items():
        click.echo(f"  {name:16} {_value(change['old'])} → {_value(change['new'])}")
    for file in preview.get("files_added", ()):
        click.echo(f"  new file         {_plain(file['s3_key'])}")
    for file in preview.get("files_refreshed", ()):
        names = ", ".join(file["columns"]) or "metadata"
        click.echo(f"  file refreshed   {_plain(file['s3_key'])} ({names})")


def _told(answer: Answer) -> str:
    why = answer.get("message") or answer["error"]
    return f"{answer['webhook_id']}  {answer['outcome']}" + (f"  {_plain(why)}" if why else "")


def _listed(counted: Counter[str]) -> str:
    return ": " + ", ".join(f"{count} {outcome}" for outcome, count in counted.most_common()) if counted else ""


def _value(value: Any) -> str:
    return "–" if value is None else _plain(str(value))


_LONG = 300


def _shortened(text: str) -> str:
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"


def _plain(text: str) -> str:
    """Without what would steer the terminal: much of this was written by others."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)
