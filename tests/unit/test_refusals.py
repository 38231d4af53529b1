"""Why tokens are refused is told, and a stranger's flood does not fill the log."""

import pytest
import structlog
from structlog.testing import LogCapture

from app.auth import refusals
from app.auth.refusals import Refusals


def test_flood_is_one_line_and_after_a_while_one_more_with_its_count(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Refusals()
    lines = LogCapture()
    log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[lines], wrapper_class=structlog.BoundLogger)
    monkeypatch.setattr(refusals, "log", log)
    for _ in range(500):
        told.tell("bearer", "expired")
    told.tell("cookie", "expired")
    monkeypatch.setattr(refusals, "_EVERY", 0.0)  # a minute has passed
    told.tell("bearer", "expired")
    assert [(line["carrier"], line["more_since_last_told"]) for line in lines.entries] == [
        ("bearer", 0), ("cookie", 0), ("bearer", 499),
    ]  # fmt: skip
