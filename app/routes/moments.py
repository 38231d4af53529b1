"""Times as they are asked for: a moment, or a day of a time zone."""

import re
from datetime import UTC, date, datetime, time, tzinfo
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema

from app import times
from app.errors import ApiError

_LAST_YEAR = 9998

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)

# As answers say a time before which nothing was.
_BEGINNING = times.rfc3339(0)

_A_TIME = "a time like 2025-10-23T14:30:00Z, or a date"


def _moment(value: Any) -> int | date:
    """Microseconds since 1970, or a day of the time zone that is asked for. Raises ValueError."""
    if isinstance(value, str) and _DATE.fullmatch(value):
        found = date.fromisoformat(value)
        if not 1970 < found.year <= _LAST_YEAR:  # noqa: PLR2004
            raise ValueError("must be between the years 1971 and 9998")
        return found
    at = 0 if value == _BEGINNING else times.read(value)
    if at is None:
        raise ValueError(f"must be {_A_TIME}")
    return at


Moment = Annotated[
    Any, BeforeValidator(_moment), WithJsonSchema({"type": "string", "description": f"It is {_A_TIME}."})
]


def begin(at: int | date | None, zone: tzinfo) -> int | None:
    """In microseconds since 1970; a day begins at midnight of the zone."""
    return times.microseconds(datetime.combine(at, time(), zone)) if isinstance(at, date) else at


class Span(BaseModel):
    """`from` <= t < `to`, of a query that may name either."""

    since: Annotated[Moment | None, Field(alias="from")] = None
    until: Annotated[Moment | None, Field(alias="to")] = None

    def begins(self, zone: tzinfo = UTC) -> int | None:
        return begin(self.since, zone)

    def ends(self, zone: tzinfo = UTC) -> int | None:
        return begin(self.until, zone)


def refuse_empty(since: int, until: int | None) -> None:
    """Raises ApiError 400 where nothing is between the two."""
    if until is not None and since >= until:
        raise ApiError(400, "invalid_request", "Invalid request: `from` must be before `to`.")
