"""Nobody waits much longer than ANSWER_BUDGET, whatever another one's webhook does to the database."""

import asyncio

from tests.client import running
from tests.databases import Sql
from tests.gate import Gate
from tests.webhooks import completion, video
from tests.writing import add_jobs

BUDGET, STALL = 1.0, 0.45  # seconds


class Stalling(Gate):
    """Leaves a session without an answer for a while when it says the word, then ends it."""

    stalled = 0

    async def _lets_through(self, data: bytes) -> bool:
        if b"'STALL ME.mp4'" not in data:
            return True
        self.stalled += 1
        await asyncio.sleep(STALL)
        return False


async def test_one_that_stalls_every_session_keeps_the_others_of_its_batch_no_longer_than_the_budget(
    database_url: str, sql: Sql
) -> None:
    gate = Stalling(database_url)
    await gate.open()
    try:
        async with running(gate.url, answer_budget=BUDGET) as server:
            names = [f"j{n}" for n in range(100)]
            add_jobs(sql, *names)

            async def post(name: str) -> tuple[int, int]:
                before = gate.stalled
                named = "STALL ME.mp4" if name == "j60" else "a.mp4"
                code, _ = await server.send(completion(name, video(name, filename=named)))
                return code, gate.stalled - before

            answers = await asyncio.gather(*(post(name) for name in names))
            assert {code for code, _ in answers} <= {200, 202}
            # So many stalls he waited for, whatever else the machine made him wait for.
            assert max(stalls for _, stalls in answers) * STALL < 2 * BUDGET
    finally:
        await gate.shut()
