"""The peer that stores nothing: what aiohttp and pydantic alone take for the same request and answer.

`GET /count` tells how many webhooks it has answered.
"""

from aiohttp import web

from bench import payload
from bench.peers.body import Webhook, answer, serve

WEBHOOK_ID = "0" * 32


def create_app() -> web.Application:
    """Return the application."""
    app = web.Application()
    answered = 0

    async def receive(request: web.Request) -> web.Response:
        nonlocal answered
        webhook = Webhook.model_validate_json(await request.read())
        answered += 1
        return answer(webhook, WEBHOOK_ID)

    async def count(_request: web.Request) -> web.Response:
        return web.json_response(answered)

    app.router.add_post(payload.PATH, receive)
    app.router.add_get("/count", count)
    return app


if __name__ == "__main__":
    serve(create_app())
