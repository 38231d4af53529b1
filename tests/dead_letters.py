"""Received webhooks as an admin has them: what is asked of them, and one that can be applied."""

from typing import Any

from tests.client import Client
from tests.databases import Rows, Sql
from tests.webhooks import completion, video

WEBHOOKS = "/api/admin/webhooks"
TABLES = ("video_generations", "video_files", "rushes_events", "rushes_webhooks", "rushes_jobs", "rushes_counter")


async def act(server: Client, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
    async with server.session.post(server.url + WEBHOOKS + path, json=body) as answer:
        return answer.status, await answer.json()


def everything(sql: Sql) -> dict[str, Rows]:
    return {table: sql(f"SELECT * FROM {table} ORDER BY 1") for table in TABLES}


async def conflict(server: Client, sql: Sql) -> str:
    """The id of a dead letter that can be applied, now that the key it wants belongs to nobody."""
    await server.register("owner")
    await server.register("j2")
    await server.send(completion("owner", video("k/1")))
    code, body = await server.send(completion("j2", video("k/1"), video("k/2")))
    assert code == 409
    sql("DELETE FROM video_files WHERE generationId = 'owner'")
    return str(body["webhook_id"])
