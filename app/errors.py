"""What a caller is told when something is wrong: a sentence, and a stable word."""

from typing import NotRequired, Unpack

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from typing_extensions import TypedDict  # typing's own is too bare for pydantic before Python 3.12

# Seconds after which it is worth asking again for what is out of reach.
RETRY_AFTER = 2

_DETAILS_MAX = 20
_FIELD_MAX = 200  # characters

# Where pydantic's own sentences speak of Python.
_MESSAGES = {
    "model_type": "must be an object",
    "dict_type": "must be an object",
    "too_long": "must have at most {max_length} items",
    "value_error": "{error}",
}


class Problem(TypedDict):
    field: str
    message: str


class _More(TypedDict, total=False):
    details: list[Problem]
    job_id: str | None
    webhook_id: str


class Error(TypedDict):
    """Every answer of 400 and above: a sentence for people, a stable word for programs."""

    error: str
    code: str
    details: NotRequired[list[Problem]]
    job_id: NotRequired[str | None]
    webhook_id: NotRequired[str]


class ApiError(Exception):
    """An answer: `status`, {"error": sentence, "code": word, …}, and a `Retry-After` in seconds if there is one."""

    def __init__(
        self, status: int, code: str, error: str, *, retry_after: int | None = None, **more: Unpack[_More]
    ) -> None:
        super().__init__(error)
        self.status = status
        self.retry_after = retry_after
        self.body: Error = {"error": error, "code": code, **more}


def details(error: ValidationError) -> list[Problem]:
    """What is wrong where; of much, the beginning."""
    return [
        {"field": ".".join(map(str, e["loc"]))[:_FIELD_MAX], "message": _message(e)}
        for e in error.errors(include_url=False, include_input=False)[:_DETAILS_MAX]
    ]


def _message(error: ErrorDetails) -> str:
    text = _MESSAGES.get(error["type"])
    return error["msg"] if text is None else text.format_map(error.get("ctx", {}))


def sentence(details: list[Problem]) -> str:
    return "; ".join(f"{d['field']}: {d['message']}" if d["field"] else d["message"] for d in details)


def not_found() -> ApiError:
    """The same for what is not there and for what is not the caller's."""
    return ApiError(404, "not_found", "There is no such job.")


def away(reason: str = "The database is out of reach; try again shortly.") -> ApiError:
    return ApiError(503, "unavailable", reason, retry_after=RETRY_AFTER)
