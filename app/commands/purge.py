"""`rushes purge`."""

from contextlib import closing

import click

from app.commands.console import run_async, settings_or_failure, typist
from app.commands.database import database
from app.db.audit import Audit
from app.db.pool import Pool
from app.domain.audit import Entry
from app.lifecycle import retention_of, storage_of
from app.settings import Settings
from app.upkeep.leader import Leader


@click.command()
def purge() -> None:
    """Delete what is older than RETENTION_DAYS now; the server also does it by itself."""
    run_async(_purge(settings_or_failure()))


async def _purge(settings: Settings) -> int:
    async with database(settings) as url:
        with closing(Pool(url, 1, settings.db_timeout)) as pool:
            audit = Audit(pool)
            act = await audit.begun(Entry(typist(), "purge", was={"retention_days": settings.retention_days}))
            deleted = await retention_of(settings, pool, Leader(url), storage_of(settings)).purge()
            await audit.ended(act, deleted)
    for what, count in deleted.items():
        click.echo(f"{count:>9,}  {what}")
    return 0
