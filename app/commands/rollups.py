"""`rushes rollups`."""

from contextlib import closing

import click

from app import times
from app.commands.console import Failure, run_async, settings_or_failure, typist
from app.commands.database import database
from app.db.audit import Audit
from app.db.pool import Pool
from app.db.rollup_check import Difference, RollupCheck
from app.domain.audit import Entry
from app.domain.rollup import Rollup
from app.domain.spans import start_of
from app.settings import Settings


@click.command()
@click.option("--rebuild", is_flag=True, help="Count all anew of which the webhooks are kept.")
@click.option("--check", is_flag=True, help="Compare them with a full count; exit code 1 where they differ.")
def rollups(*, rebuild: bool, check: bool) -> None:
    """Make the statistics again, or compare them with a full count."""
    if rebuild == check:
        raise Failure("say --rebuild or --check")
    settings = settings_or_failure()
    run_async(_rebuild(settings) if rebuild else _check(settings))


async def _rebuild(settings: Settings) -> int:
    async with database(settings) as url:
        with closing(Pool(url, 2, settings.db_timeout)) as pool:
            audit = Audit(pool)
            act = await audit.begun(Entry(typist(), "rollups"))
            quarters = await RollupCheck(pool).rebuild()
            await audit.ended(act, {"quarters": quarters})
    click.echo(f"{quarters:,} quarters of an hour are counted anew")
    return 0


async def _check(settings: Settings) -> int:
    async with database(settings) as url:
        with closing(Pool(url, 2, settings.db_timeout)) as pool:
            check, wrong = RollupCheck(pool), 0
            async for difference in check.differences():
                wrong += 1
                _tell(difference)
            untold = await check.untold()
    if untold:
        click.echo(f"{untold:,} generations ended otherwise than the log tells")
    if wrong or untold:
        click.echo("`rushes rollups --rebuild` puts that right")
        return 1
    click.echo("the statistics say what a full count says")
    return 0


def _tell(difference: Difference) -> None:
    stored, counted = (_said(rollup) for rollup in (difference.stored, difference.counted))
    click.echo(f"{times.rfc3339(start_of(difference.quarter))}  stored {stored}, there is {counted}")


def _said(rollup: Rollup | None) -> str:
    if rollup is None:
        return "nothing"
    took = ", ".join(f"{sketch.total / 1e6:.3f} s" for sketch in (rollup.job_times, rollup.webhook_times))
    return f"{rollup.counts} {took}"
