"""Under load for long, the server's memory does not grow, and `/healthz` never waits for anything.

A short run is part of the suite; `make chaos` sends more (RUSHES_CHAOS=1).
"""

import asyncio
import signal
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from app.db.local import private_database
from tests.load import LONG, Killable, Load, prepare, report, verify
from tests.matching import found

WARM, COUNT = (25_000, 40_000) if LONG else (300, 3000)
# First the ring of events fills. Bytes: some are the allocator's; if each webhook of a long run left 1 KB behind, it
# would be 40 MB.
GROWTH_MAX = 32 * 1024 * 1024
WAIT_MAX = 0.25  # seconds

# A process of its own. What it counts is without the time for which the machine gave a processor neither to it nor to
# the server: on a busy machine that is most of it, and says nothing of the server.
PROBE = """
import http.client, sys, threading, time
host, port, server = sys.argv[1], int(sys.argv[2]), sys.argv[3]
def kept_waiting():
    return sum(int(open(f"/proc/{pid}/schedstat").read().split()[1]) for pid in (server, "self")) / 1e9
client, longest, count = http.client.HTTPConnection(host, port, timeout=30), 0.0, 0
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
while not ended.is_set():
    waited, began = kept_waiting(), time.perf_counter()
    client.request("GET", "/healthz")
    answer = client.getresponse()
    assert (answer.status, bool(answer.read())) == (200, True)
    longest = max(longest, time.perf_counter() - began - (kept_waiting() - waited))
    count += 1
    time.sleep(0.01)
print(count, longest)
"""


def memory(pid: int) -> int:
    """Bytes that a process has."""
    return int(found(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.timeout(1800)
async def test_memory_does_not_grow_and_health_is_told_at_once_under_load(tmp_path: Path) -> None:
    async with private_database(tmp_path / "database") as url:
        await asyncio.to_thread(prepare, url)
        server = Killable(tmp_path, url)
        await server.start()
        pid, address = server._process.pid, urlsplit(server.url)
        load = Load(server.url)
        sending = asyncio.create_task(load.run())
        await acknowledged(load, WARM)
        before = memory(pid)
        probe = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROBE, str(address.hostname), str(address.port), str(pid)),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        await acknowledged(load, COUNT)
        count, longest = (await probe.communicate(b""))[0].split()
        growth = memory(pid) - before
        load.stop = True
        await sending
        await server.end(signal.SIGTERM)
        verify(url, load)
    report("nothing killed", 0, load)
    wait = float(longest) * 1000
    sys.stderr.write(f"memory grew by {growth / 1e6:.1f} MB; /healthz: {int(count)} times, {wait:.0f} ms at most\n")
    assert growth < GROWTH_MAX
    assert int(count) > 50
    assert float(longest) < WAIT_MAX


async def acknowledged(load: Load, count: int) -> None:
    """Until so many more were."""
    for _ in range(count // 100):
        await load.until(100)
