"""Jobs of users who sign in, and what they do to them."""

from typing import Any

from tests.client import Client
from tests.sign_in import SECRET, SENDERS, bearer
from tests.webhooks import webhook

USERS = {
    "author": bearer("author", 3600, org_id="org"),
    "member": bearer("member", 3600, org_id="org"),
    "stranger": bearer("stranger", 3600, org_id="other"),
    "admin": bearer("boss", 3600, role="admin"),
}
SIGNED = {"auth_jwt_secret": SECRET, "webhook_secret": SENDERS}
ACTS = {"cancel": "POST", "dismiss": "POST", "restore": "POST", "retry": "POST", "": "DELETE"}


async def act(
    server: Client, job_id: str, name: str, who: dict[str, str] | None = None, **headers: str
) -> tuple[int, dict[str, Any]]:
    path = f"/api/videos/{job_id}/{name}".rstrip("/")
    async with server.session.request(ACTS[name], server.url + path, headers=(who or {}) | headers) as answer:
        return answer.status, await answer.json()


async def made(server: Client, job_id: str, *steps: str | dict[str, Any], **owner: Any) -> None:
    """A job of "author" at the end of these steps: statuses, or a whole webhook."""
    headers = {"X-Webhook-Secret": SENDERS}
    order = {"job_id": job_id, "prompt": "the sea", "user_id": "author", "organization_id": "org"} | owner
    async with server.session.post(f"{server.url}/api/videos", json=order, headers=headers) as answer:
        assert answer.status == 201, await answer.text()
    for step in steps:
        body = webhook(job_id, step) if isinstance(step, str) else step
        assert (await server.send(body, headers))[0] == 200


async def tell(server: Client, *bodies: dict[str, Any]) -> list[str | None]:
    """What each webhook is answered."""
    return [(await server.send(body, {"X-Webhook-Secret": SENDERS}))[1].get("status") for body in bodies]


async def state(server: Client, job_id: str, who: str = "author") -> str | int:
    status, job = await server.read(f"/api/videos/{job_id}", headers=USERS[who])
    return job["state"] if status == 200 else status
