"""README.md, word for word: what it says to type does what it says beside it."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

from tests.client import Client

README = (Path(__file__).parents[2] / "README.md").read_text()


async def test_what_a_newcomer_pastes_from_the_readme_does_what_it_says(server: Client) -> None:
    async def paste(command: str) -> dict[str, Any]:
        command = command.replace("http://127.0.0.1:8080", server.url)
        curl = await asyncio.create_subprocess_shell(command + " -s", stdout=asyncio.subprocess.PIPE)
        out, _ = await curl.communicate()
        assert curl.returncode == 0
        answer: dict[str, Any] = json.loads(out)
        return answer

    blocks = re.findall(r"```sh\n(curl .*?)```", README, flags=re.DOTALL)
    generate, register, move, finish = (block.strip() for block in blocks)
    assert (await paste(generate))["status"] == "pending"
    assert (await paste(register))["job_id"] == "demo-1"
    assert (await paste(move))["progress"] == 50
    assert (await paste(finish))["num_videos"] == 1
    assert (await paste(finish))["status"] == "duplicate"
    _, job = await server.read("/api/videos/demo-1")
    assert job["state"] == "COMPLETED"
    async with server.get(job["videos"][0]["file_url"]) as video:
        assert (video.status, video.content_type) == (200, "video/mp4")
