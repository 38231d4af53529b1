"""What a caller is told when something is wrong: a sentence, and a stable word."""

from typing import Any

# Seconds after which it is worth asking again for what is out of reach.
RETRY_AFTER = 2


class ApiError(Exception):
    """An answer: `status`, {"error": sentence, "code": word, …}, and a `Retry-After` in seconds if there is one."""

    def __init__(self, status: int, code: str, error: str, *, retry_after: int | None = None, **more: Any) -> None:
        super().__init__(error)
        self.status = status
        self.retry_after = retry_after
        self.body = {"error": error, "code": code} | more


def not_found() -> ApiError:
    """The same for what is not there and for what is not the caller's."""
    return ApiError(404, "not_found", "There is no such job.")


def away(reason: str = "The database is out of reach; try again shortly.") -> ApiError:
    return ApiError(503, "unavailable", reason, retry_after=RETRY_AFTER)
