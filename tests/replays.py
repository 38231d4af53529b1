"""Replays as an admin has them: begun, waited for, and what became of each webhook."""

import asyncio
from typing import Any

from tests.client import Client

REPLAYS_PATH = "/api/admin/replays"


async def begin(server: Client, status: int = 202, **order: Any) -> dict[str, Any]:
    async with server.post(REPLAYS_PATH, json=order) as answer:
        body: dict[str, Any] = await answer.json()
        assert answer.status == status, body
        return body


async def ended(server: Client, replay_id: str, seconds: float = 30) -> dict[str, Any]:
    async with asyncio.timeout(seconds):
        while (body := (await server.read(f"{REPLAYS_PATH}/{replay_id}"))[1])["state"] == "running":
            await asyncio.sleep(0.05)
    return body


async def results(server: Client, replay_id: str, **query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        path = f"{REPLAYS_PATH}/{replay_id}/results"
        code, body = await server.read(path, params=query | {"cursor": cursor, "limit": "70"})
        assert code == 200, body
        found += body["results"]
        cursor = body["next_cursor"]
    return found
