"""A real S3, nanio, which refuses what is not signed for it, in a folder of its own."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp.test_utils import unused_port

KEY_ID, SECRET, BUCKET = "AKIATEST", "a secret of the bucket/+", "videos"


class S3:
    """`url` is its address; `put` lays an object into the bucket."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = unused_port()
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def settings(self) -> dict[str, object]:
        return {
            "s3_bucket": BUCKET, "s3_endpoint_url": self.url, "aws_region": "us-east-1", "aws_access_key_id": KEY_ID,
            "aws_secret_access_key": SECRET,
        }  # fmt: skip

    def put(self, key: str, content: bytes) -> None:
        file = self._folder / BUCKET / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    def has(self, key: str) -> bool:
        return (self._folder / BUCKET / key).exists()


@asynccontextmanager
async def s3_server(folder: Path) -> AsyncIterator[S3]:
    server = S3(folder)
    (folder / BUCKET).mkdir(parents=True)
    program = Path(sys.executable).parent / "nanio"
    process = await asyncio.create_subprocess_exec(
        program, "serve", "--data-dir", folder, "--host", "127.0.0.1", "--port", str(server.port),
        env=os.environ | {"NANIO_ACCESS_KEY": KEY_ID, "NANIO_SECRET_KEY": SECRET},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(20):
            while not await _listens(server.port):
                assert process.returncode is None
                await asyncio.sleep(0.02)
        yield server
    finally:
        process.kill()
        await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
