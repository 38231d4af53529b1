"""`rushes migrate`."""

import asyncio

import click

from app.commands.console import run_async, settings_or_failure
from app.commands.database import database
from app.db import migrate as migrations
from app.db.health import columns_without_default, examine
from app.settings import Settings


@click.command()
@click.option("--add-indexes", is_flag=True, help="Also make the indexes that tables of the site's lack.")
def migrate(*, add_indexes: bool) -> None:
    """Bring the database up to date; safe on one that Prisma made."""
    run_async(_migrate(settings_or_failure(), add_indexes=add_indexes))


async def _migrate(settings: Settings, *, add_indexes: bool) -> int:
    async with database(settings) as url:
        report = await asyncio.to_thread(migrations.apply, url, add_indexes=add_indexes)
        _tell(report, add_indexes=add_indexes)
        await examine(url, settings.db_timeout)
        for column in await columns_without_default(url, settings.db_timeout):
            click.echo(f"warning    {column} has no default, so no row can be added there: give it one")
    return 0


def _tell(report: migrations.Report, *, add_indexes: bool) -> None:
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
