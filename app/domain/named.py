"""What a webhook that is refused names all the same: its dead letter is looked for by that. Pure."""

import contextlib
import re
from typing import Any

import orjson

from app import lenient

COLUMN_MAX = 191  # characters, what the columns of ids and names hold
_STATUS_MAX = 16  # characters, what the column of received webhooks holds

# Python's own way of writing a dict is taken for JSON, too.
_JOB_ID = re.compile(rb"""["']job_id["']\s*:\s*(?:"((?:[^"\\]|\\.)*)"|'([^'"\\]*)'|(\d{1,18}))""")
_STATUS = re.compile(rb"""["']status["']\s*:\s*["']([A-Za-z]{1,16})["']""")


def in_object(document: dict[str, Any]) -> tuple[str | None, str | None]:
    """(job_id, status); of ids that cannot be one's, the one in `data`."""
    status, data = document.get("status"), document.get("data")
    inner = data.get("job_id") if isinstance(data, dict) else None
    return (
        _legible_id(document.get("job_id")) or _legible_id(inner),
        _legible_word(status) if isinstance(status, str) else None,
    )


def in_text(body: bytes) -> tuple[str | None, str | None]:
    """(job_id, status) of what is no JSON object: the first that looks like it, for much may have been lost."""
    job_id, status = _JOB_ID.search(body), _STATUS.search(body)
    found = None
    if job_id:
        with contextlib.suppress(orjson.JSONDecodeError):
            found = _legible_id(lenient.read(b'"%b"' % (job_id[1] or job_id[2] or job_id[3] or b"")))
    return found, _legible_word(status[1].decode()) if status else None


def _legible_id(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not 0 < len(value) <= COLUMN_MAX:
        return None
    return value if lenient.whole(value) == value else None


def _legible_word(status: str) -> str | None:
    word = lenient.whole(status.strip().lower())
    return word if 0 < len(word) <= _STATUS_MAX else None
