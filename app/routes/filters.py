"""Which received webhooks a request means: read once, said again in each answer."""

from typing import Annotated

from pydantic import Field

from app import times
from app.db.webhook_list import Filter
from app.domain import forms
from app.routes.moments import Span, refuse_empty

# Characters: of what is looked for, and of a name, as the columns hold them.
Q_MAX, _NAME_MAX = 100, 191

_MS = 1_000


Name = Annotated[str, Field(max_length=_NAME_MAX)]


class FilterQuery(Span):
    """All that is named must be so. `q` is looked for in their errors, whatever the case; `from` <= received < `to`, a
    day alone is midnight in UTC."""

    outcome: forms.Outcome | None = None
    job_id: Name | None = None
    status: Name | None = None
    version: Name | None = None
    origin: Name | None = None
    q: Annotated[str | None, Field(max_length=Q_MAX)] = None

    def filter(self, *, live: bool = False) -> Filter:
        """With bounds that are the same whenever it is asked again: without `to`, up to now, or, `live`, without an
        end. Raises ApiError 400."""
        # Whole milliseconds, as answers say them.
        since = (self.begins() or 0) // _MS * _MS
        until = self.ends()
        if until is None and not live:
            until = times.receipt() + 1  # after all that this process has received, also when the clock was set back
        until = None if until is None else -(-until // _MS) * _MS
        refuse_empty(since, until)
        outcomes = () if self.outcome is None else (self.outcome,)
        return Filter(outcomes, self.job_id, self.status, self.version, self.origin, self.q or None, since, until)
