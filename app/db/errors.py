"""What may go wrong with the database, and how its own errors are told apart."""

from pymysql.constants import CR, ER

RETRYABLE = {ER.CHECKREAD, ER.LOCK_WAIT_TIMEOUT, ER.LOCK_DEADLOCK}  # InnoDB asks for another try
AWAY = {
    ER.CON_COUNT_ERROR,
    ER.SERVER_SHUTDOWN,
    ER.ABORTING_CONNECTION,
    ER.NET_READ_ERROR,
    ER.NET_READ_INTERRUPTED,
    ER.NET_ERROR_ON_WRITE,
    ER.NET_WRITE_INTERRUPTED,
    ER.NEW_ABORTING_CONNECTION,
    ER.TOO_MANY_USER_CONNECTIONS,
    ER.OPTION_PREVENTS_STATEMENT,
    1792,  # CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
    1836,  # READ_ONLY_MODE
    1927,  # CONNECTION_KILLED
    CR.CR_CONNECTION_ERROR,
    CR.CR_CONN_HOST_ERROR,
    CR.CR_SERVER_GONE_ERROR,
    CR.CR_SERVER_LOST,
    CR.CR_COMMANDS_OUT_OF_SYNC,
    4031,  # CLIENT_INTERACTION_TIMEOUT
}

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
    3118,  # ACCOUNT_HAS_BEEN_LOCKED, to MySQL
    3159,  # SECURE_TRANSPORT_REQUIRED
    4151,  # ACCOUNT_HAS_BEEN_LOCKED, to MariaDB
}


class DatabaseAwayError(Exception):
    """The database is out of reach, or cannot be written to."""


class UnreachableError(DatabaseAwayError):
    """No session can be had: the database does not answer, or lets nobody in."""


class RefusedError(UnreachableError):
    """The database answers, and what is in DATABASE_URL will never do: user, password, database, encryption."""


class RetryableError(Exception):
    """The transaction was undone by the database, which asks for another try (deadlock, lock wait)."""


class BusyError(Exception):
    """Too many webhooks wait for the database, or it did not answer in time."""


class HeldError(BusyError):
    """The job was held by somebody else for too long."""


def not_connected(error: Exception) -> UnreachableError:
    """What a failed try to connect means, in a sentence without a password."""
    code, why = (error.args[0], error.args[-1]) if error.args else (0, type(error).__name__)
    kind = RefusedError if code in _REFUSED else UnreachableError
    return kind(f"cannot connect to the database: {why}")
