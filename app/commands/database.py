"""The database as commands use it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from pymysql.err import Error

from app.commands.console import Failure
from app.db.connection import connect
from app.db.errors import DatabaseError, RetryableError, ValuesRefusedError, judged
from app.db.local import LocalDatabaseError, private_database
from app.settings import Settings

# Seconds. Whoever types a command learns by then that nothing answers; what the database does may take DB_TIMEOUT.
_PATIENCE = 2.0


@asynccontextmanager
async def database(settings: Settings, *, waits: bool = False) -> AsyncIterator[str]:
    """The database's URL; runs the private one where no other is set. What goes wrong with it is a Failure.

    So is another one that cannot be reached at once, unless it `waits` for that by itself.
    """
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


def _failure(error: DatabaseError) -> Failure:
    if isinstance(error, RetryableError) and error.lacks_table:
        return Failure(f"the database lacks a table of ours ({error.sentence}); run `rushes migrate` first")
    if isinstance(error, (RetryableError, ValuesRefusedError)):
        return Failure(f"the database refuses us: {error.sentence}")
    return Failure(error.sentence)
