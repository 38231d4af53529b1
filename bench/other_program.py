"""A program that is not rushes, and writes into the site's tables while its gallery is read."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiomysql

from bench.library import METADATA, PROMPT, READER
from bench.seed import connected

_JOB = """
INSERT INTO video_generations (id, prompt, status, progress, message, processingTime, generationTime, downloadTime,
  authorId, createdAt, updatedAt, completedAt)
VALUES (%s, %s, 'COMPLETED', 100, 'Génération terminée avec succès', 120.5, 90.2, 30.3, %s, NOW(3), NOW(3), NOW(3))
"""

_FILE = """
INSERT INTO video_files (id, filename, s3Key, fileUrl, filePath, fileSize, durationSeconds, aspectRatio, width, height,
  metadata, generationId)
VALUES (%s, 'sunset-ocean.mp4', %s, %s, %s, 15728640, 8, '16:9', 1920, 1080, %s, %s)
"""

_DELETE = "DELETE FROM video_generations WHERE id = %s"


@dataclass
class OtherProgram:
    """`written` are the ids of its jobs that are committed, the newest last."""

    written: list[str] = field(default_factory=list)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def insert(self, cursor: aiomysql.Cursor) -> None:
        """One more finished job of the reader's, with its file."""
        job_id = f"other-{secrets.token_hex(8)}"
        key = f"/videos/{job_id}/sunset-ocean.mp4"
        url = f"https://s3.amazonaws.com/sorami-videos{key}"
        await cursor.execute("BEGIN")
        await cursor.execute(_JOB, (job_id, f"{PROMPT}, {len(self.written)}", READER))
        await cursor.execute(_FILE, (f"f{job_id}", key, url, key, METADATA, job_id))
        await cursor.execute("COMMIT")
        self.written.append(job_id)

    async def insert_until_stopped(self, cursor: aiomysql.Cursor, pause: float) -> None:
        """One every `pause` seconds, or as fast as the database is if that is slower."""
        due = time.monotonic()
        while not self.stopping.is_set():
            due = max(due + pause, time.monotonic())
            try:
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + due - time.monotonic()):
                    await self.stopping.wait()
            except TimeoutError:
                await self.insert(cursor)


@asynccontextmanager
async def other_program(database_url: str, pause: float) -> AsyncIterator[OtherProgram]:
    """One that writes until it is stopping, or the block ends; its rows are gone afterwards."""
    other = OtherProgram()
    async with connected(database_url) as cursor:
        try:
            await other.insert(cursor)
            async with asyncio.TaskGroup() as group:
                group.create_task(other.insert_until_stopped(cursor, pause))
                try:
                    yield other
                finally:
                    other.stopping.set()
        finally:
            for job_id in other.written:
                await cursor.execute(_DELETE, job_id)
