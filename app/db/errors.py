"""What may go wrong with the database, and the one place that judges the database's own errors, `judged`.

    DatabaseError
    ├── PassingError                  it may go another time: nothing is wrong with what was to be written
    │   ├── DatabaseAwayError         nothing can be read or written now; the session is closed
    │   │   ├── NotCommittedError     the session was lost, and its transaction with it
    │   │   ├── NotWritableError      it can be read, and for now not be written to
    │   │   ├── NotMigratedError      it lacks what this version needs
    │   │   │   └── TableGoneError    … and `rushes migrate` would not make it
    │   │   └── UnreachableError      no session can be had
    │   │       └── RefusedError      … and waiting would not help
    │   │           └── UnfitError    … since the server is set so that nothing can rest on it
    │   ├── RetryableError            a statement failed, and what it belonged to is undone
    │   │   └── PacketTooLargeError   more than the server takes at once
    │   ├── UnknownOutcomeError       the commit happened, or not
    │   └── BusyError                 too much waits for the database
    │       └── HeldError             somebody else holds the job
    └── ValuesRefusedError            the database will never take these values
        ├── DuplicateKeyError         another row has that key
        └── MissingRowError           the row that they refer to is not there

`PassingError` is where it is asked whether to try again. A spool that fails has its own error, `SpoolError`: it is the
disk's, not the database's.

Only what blames the values is never tried again. Whatever else a server, a proxy or a plug-in says, now or in a
version to come, is taken for something that passes: a webhook that is refused wrongly is lost, one that is tried again
is late.
"""

import ssl
from collections.abc import Mapping
from typing import Any

from pymysql.constants import CR, ER
from pymysql.err import Error, InterfaceError

from app.reasons import reason

# SQLSTATE classes that blame the values: data exception, integrity constraint violation, with check option violation,
# and an exception that a trigger raises for itself.
_VALUES = ("22", "23", "44", "45")

# The same under SQLSTATEs that say nothing: truncated, no default, wrong value, no partition for it, CHECK violated.
_VALUES_BY_NUMBER = {1265, 1364, 1366, 1526, 3819}

_DUPLICATE = {ER.DUP_ENTRY, 1169, 1586, 1859}
_MISSING_ROW = {1216, ER.NO_REFERENCED_ROW_2}

# SQLSTATE class of whatever is wrong with the connection.
_CONNECTION = "08"

# The same under other SQLSTATEs: this server takes no writes, or the session is no good any more.
_AWAY = {
    ER.OPTION_PREVENTS_STATEMENT,
    ER.TOO_MANY_USER_CONNECTIONS,
    1792,  # CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
    1836,  # READ_ONLY_MODE
    1927,  # CONNECTION_KILLED
    4031,  # CLIENT_INTERACTION_TIMEOUT
    9001,  # ProxySQL's: no server behind it
}

# The client's own numbers: what it says of a connection.
_CLIENT = range(CR.CR_ERROR_FIRST, CR.CR_ERROR_LAST + 1)

CONTENTION = {ER.CHECKREAD, ER.LOCK_WAIT_TIMEOUT, ER.LOCK_DEADLOCK, 3572, 4165}
"""InnoDB undid the transaction, or waited no longer, because of another one: nothing is wrong with either."""

# What no waiting mends: user, password, host, database, encryption. Everything else at the door may pass: a server that
# starts, recovers or has too many guests, a name that is not known yet.
_REFUSED = {
    ER.DBACCESS_DENIED_ERROR,
    ER.ACCESS_DENIED_ERROR,
    ER.BAD_DB_ERROR,
    ER.HOST_NOT_PRIVILEGED,
    ER.NOT_SUPPORTED_AUTH_MODE,
    1698,  # ACCESS_DENIED_NO_PASSWORD_ERROR
    1862,  # MUST_CHANGE_PASSWORD_LOGIN
    CR.CR_AUTH_PLUGIN_CANNOT_LOAD,
    CR.CR_SSL_CONNECTION_ERROR,
    3118,  # ACCOUNT_HAS_BEEN_LOCKED, to MySQL
    3159,  # SECURE_TRANSPORT_REQUIRED
    4151,  # ACCOUNT_HAS_BEEN_LOCKED, to MariaDB
}

_RIGHTS = {ER.DBACCESS_DENIED_ERROR, ER.TABLEACCESS_DENIED_ERROR, ER.COLUMNACCESS_DENIED_ERROR, 1227, 1370}


class DatabaseError(Exception):
    """Something is wrong between us and the database. `sentence` is what is told of it, `number` the server's or the
    client's, 0 where neither said it."""

    def __init__(self, sentence: str = "", number: int = 0) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.number = number

    def __str__(self) -> str:
        return f"{self.sentence} (error {self.number})" if self.number else self.sentence


class PassingError(DatabaseError):
    """It may go another time."""

    @property
    def may_be_own(self) -> bool:
        """Whether it may be for what was sent, and not for the database as a whole or for another transaction."""
        return False


class DatabaseAwayError(PassingError):
    """The database is out of reach, or cannot be written to."""


class UnreachableError(DatabaseAwayError):
    """No session can be had: the database does not answer, or lets nobody in."""


class RefusedError(UnreachableError):
    """The database answers, and what is in DATABASE_URL will never do: user, password, database, encryption."""


class UnfitError(RefusedError):
    """The database lets us in, and as it is set nothing can rest on it: what is otherwise, and what to do."""


class NotWritableError(DatabaseAwayError):
    """The database can be read, and for now not be written to."""


class NotMigratedError(DatabaseAwayError):
    """The database lacks what this version needs."""


class TableGoneError(NotMigratedError):
    """A table is not there, though its migration was applied, so that `rushes migrate` would do nothing."""

    def __init__(self, error: "RetryableError") -> None:
        """Of the error that says so: Table 'database.table' doesn't exist."""
        table = error.sentence.partition("'")[2].partition("'")[0].rpartition(".")[2]
        super().__init__(
            f"the table {table} is gone, although its migration was applied: put it back from a backup, or have it "
            "made anew, empty, by `DELETE FROM _yoyo_migration` and the command rushes migrate"
        )


class NotCommittedError(DatabaseAwayError):
    """The session was lost in the commit, and the transaction did not happen."""

    @property
    def may_be_own(self) -> bool:
        """There are servers that end the session of whoever sends a certain row."""
        return True


class RetryableError(PassingError):
    """A statement failed for a reason that may pass."""

    @property
    def may_be_own(self) -> bool:
        return not self.is_contention

    @property
    def is_contention(self) -> bool:
        return self.number in CONTENTION

    @property
    def lacks_right(self) -> bool:
        return self.number in _RIGHTS

    @property
    def lacks_table(self) -> bool:
        return self.number == ER.NO_SUCH_TABLE


class PacketTooLargeError(RetryableError):
    """The statements are more than the server takes in one packet; they were not sent."""


class ValuesRefusedError(DatabaseError):
    """The database will never take these values."""

    def __str__(self) -> str:
        return self.sentence


class DuplicateKeyError(ValuesRefusedError):
    """Another row has that key."""

    def is_of(self, *names: str) -> bool:
        """Whether it is a key whose name ends so. The sentence ends in the key's name; before stand the values."""
        return self.sentence.endswith(tuple(f"{name}'" for name in names))


class MissingRowError(ValuesRefusedError):
    """The row that they refer to is not there."""


class UnknownOutcomeError(PassingError):
    """The connection was lost while the commit was under way: it may or may not have happened."""


class BusyError(PassingError):
    """Too many webhooks wait for the database, or it did not answer in time."""


class HeldError(BusyError):
    """The job was held by somebody else for too long."""


def judged(error: Error) -> DatabaseError:
    """What an error of the driver means: of these classes, one that says how to go on."""
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    message = str(error.args[-1]) if error.args else type(error).__name__
    state: str = getattr(error, "sqlstate", None) or ""
    if number in _VALUES_BY_NUMBER or state.startswith(_VALUES):
        kind = DuplicateKeyError if number in _DUPLICATE else ValuesRefusedError
        return (MissingRowError if number in _MISSING_ROW else kind)(message, number)
    if (
        state.startswith(_CONNECTION)
        or number in _AWAY
        or number in _CLIENT
        or isinstance(error, InterfaceError)
        or number == ER.CON_COUNT_ERROR
    ):
        return DatabaseAwayError(message, number)
    return RetryableError(message, number)


NO_TLS = "DATABASE_URL asks for TLS, and the server does not offer it; set it up there, or take it out"


def not_connected(error: Exception, arguments: Mapping[str, Any]) -> UnreachableError:
    """What a failed try to connect means, in a sentence with the place and without a password.

    `arguments` are those of the client that tried.
    """
    host, port = arguments["host"], arguments["port"]
    place = arguments.get("unix_socket") or (f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    code, why = (error.args[0], error.args[-1]) if error.args else (0, type(error).__name__)
    distrust = _distrusted(error)
    refused = distrust is not None or code in _REFUSED
    if distrust is not None:
        why = distrust
    elif code == CR.CR_SSL_CONNECTION_ERROR:
        why = NO_TLS  # PyMySQL has other words for it
    elif not isinstance(error, Error) or code in _CLIENT or not code:
        why = _machines_words(error, str(why))
    return (RefusedError if refused else UnreachableError)(f"cannot connect to the database at {place}: {why}")


def _machines_words(error: Exception, otherwise: str) -> str:
    """Both clients put the reason into words of their own, which tell less."""
    for cause in (getattr(error, "original_exception", None), error, error.__cause__, error.__context__):
        if isinstance(cause, OSError):
            return reason(cause)
        if isinstance(cause, EOFError):
            return "it ended the connection"
    return (
        otherwise if isinstance(error, Error) else f"what answers is neither MySQL nor MariaDB ({type(error).__name__})"
    )


def _distrusted(error: Exception) -> str | None:
    """Why TLS was not agreed on, where another try would end the same."""
    tls = next((e for e in (error, error.__cause__, error.__context__) if isinstance(e, ssl.SSLError)), None)
    if isinstance(tls, ssl.SSLCertVerificationError):
        return f"the server's certificate is not accepted ({tls.verify_message})"
    if tls is None or isinstance(tls, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)):
        return None  # it broke off, as a server that stops does
    return f"TLS was not agreed on ({tls.reason})"
