"""The hub's writing: whoever else has something to do gets his turn, however many listen."""

import asyncio

import pytest

from app.domain.event import LogEvent
from app.push.frames import Framing
from app.push.hub import _WRITES_IN_A_ROW, Hub
from app.push.subscriber import Limits, Subscriber
from app.push.traces import Traces


class Written(asyncio.Transport):
    """A socket that takes everything, and counts."""

    count = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert data
        Written.count += 1

    def get_write_buffer_size(self) -> int:
        return 0


def event(number: int, job_id: str) -> LogEvent:
    return LogEvent(number, job_id, "ada", None, "progress", b"{}", "0000abcd")


@pytest.mark.parametrize("unheard", [0, 1, 50, 99, 100, 101, 150, 5000])
@pytest.mark.parametrize("listening", [1, 99, 100, 101, 1000])
async def test_no_more_is_written_in_a_row_than_may_be_whatever_nobody_heard_before(
    unheard: int, listening: int
) -> None:
    limits = Limits(heartbeat=15, ping=25, dead_after=60, max_messages=10)
    hub = Hub(
        max_connections=2000, max_per_user=2000, limits=limits, max_buffer=1 << 20, max_lag=10, end_completed=60,
        end_failed=60, last_words=1, traces=Traces(0),
    )  # fmt: skip
    for _ in range(listening):
        subscriber = Subscriber(limits, Written(), Framing.CHUNKED, "bob", "heard", lambda *_: True)
        subscriber.owner = ("ada", None)
        hub.admit(subscriber)
        hub.join(subscriber)
    for number in range(1, unheard + 1):
        await hub.publish(event(number, "unheard"))
    turns: list[int] = []

    async def others() -> None:
        while True:
            turns.append(Written.count)
            await asyncio.sleep(0)

    Written.count = 0
    waiting = asyncio.create_task(others())
    await asyncio.sleep(0)
    for number in range(3):
        await hub.publish(event(unheard + 1 + number, "heard"))
    waiting.cancel()
    assert Written.count == 3 * listening == hub.writes
    parts = [after - before for before, after in zip(turns, [*turns[1:], Written.count], strict=True)]
    assert max(parts) <= _WRITES_IN_A_ROW
