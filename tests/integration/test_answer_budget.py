"""Nobody waits much longer than ANSWER_BUDGET, whatever another one's webhook does to the database."""

import asyncio
import time

from tests.client import running
from tests.databases import Sql
from tests.gate import Gate
from tests.webhooks import completion, video


class Stalling(Gate):
    """Leaves a session without an answer for a while when it says the word, then ends it."""

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 24):
                if b"'STALL ME.mp4'" in data:
                    await asyncio.sleep(0.45)
                    return
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


async def test_one_that_stalls_every_session_keeps_the_others_of_its_batch_no_longer_than_the_budget(
    database_url: str, sql: Sql
) -> None:
    gate = Stalling(database_url)
    await gate.open()
    try:
        async with running(gate.url, answer_budget=1.0) as server:
            names = [f"j{n}" for n in range(100)]
            sql(
                "INSERT INTO video_generations (id, prompt, authorId, updatedAt) VALUES "
                + ",".join(f"('{name}', 'p', 'dev', NOW(3))" for name in names)
            )

            async def post(name: str) -> tuple[int, float]:
                began = time.monotonic()
                named = "STALL ME.mp4" if name == "j60" else "a.mp4"
                code, _ = await server.send(completion(name, video(name, filename=named)))
                return code, time.monotonic() - began

            answers = await asyncio.gather(*(post(name) for name in names))
            assert {code for code, _ in answers} <= {200, 202}
            assert max(seconds for _, seconds in answers) < 2.2
    finally:
        await gate.shut()
