"""Which generator a server has."""

import pytest
from structlog.testing import CapturingLogger

from app import lifecycle
from tests.client import GivenSettings


@pytest.mark.parametrize(
    ("app_env", "generator_url", "warned"),
    [("production", None, True), ("production", "http://g.example", False), ("development", None, False)],
)
async def test_server_that_can_make_no_videos_says_so_as_it_starts(
    monkeypatch: pytest.MonkeyPatch, app_env: str, generator_url: str | None, warned: bool
) -> None:
    logged = CapturingLogger()
    monkeypatch.setattr(lifecycle, "log", logged)
    async with lifecycle._generator(GivenSettings(app_env=app_env, generator_url=generator_url)):
        pass
    assert [call.args[0] for call in logged.calls] == ["no_generator"] * warned
