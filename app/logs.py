"""Logs: one line an event, for people on a terminal, as JSON elsewhere."""

import logging
import sys
from collections import Counter
from typing import Any

import structlog

from app.redaction import without_secrets_within

_JSON = (str, int, float, bool, type(None), dict, list, tuple)


def configure(level: str, **always: Any) -> None:
    """From `level` up; each line has what `always` says."""

    def add(_logger: Any, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        event.update(always)
        return event

    rendered: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            add,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _without_secrets,
            rendered,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Libraries()], level=logging.WARNING, force=True)
    # It warns of nothing but `Sec-WebSocket-Protocol`, whole: some clients carry their token there.
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)


def _without_secrets(_logger: Any, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Texts of backends, databases and libraries are logged at many places, and any may hold one. What is logged as an
    object is its text then: nothing else would look into it."""
    return {name: without_secrets_within(_plain(value)) for name, value in event.items()}


def _plain(value: Any) -> Any:
    return value if isinstance(value, _JSON) else str(value)


class _Libraries(logging.Handler):
    """What libraries log, in the same form. aiohttp's lines go without their values, which are parts of requests."""

    def emit(self, record: logging.LogRecord) -> None:
        message = record.msg if record.name.startswith("aiohttp.") else record.getMessage()
        event = structlog.get_logger(record.name)
        event.log(record.levelno, "library", logger=record.name, message=str(message), exc_info=record.exc_info)


_unknown: Counter[str] = Counter()
_UNKNOWN_MAX = 1000


def note_unknown_codes(codes: list[str]) -> None:
    """Counts codes of providers that no table knows, and tells an operator of each, the first time and the tenth and so
    on: the table has grown old."""
    for code in codes:
        if code in _unknown or len(_unknown) < _UNKNOWN_MAX:
            _unknown[code] += 1
            if set(str(_unknown[code])[1:]) <= {"0"} and str(_unknown[code])[0] == "1":
                structlog.get_logger(__name__).warning("support_code_unknown", code=code, times=_unknown[code])
