"""Web Push: a browser's page subscribes to the ends of its user's jobs, and takes that back."""

from aiohttp import web
from pydantic import BaseModel

from app import webpush
from app.appkeys import PUSH, SUBSCRIPTIONS
from app.errors import ApiError
from app.routes import schemas
from app.routes.callers import identify
from app.routes.describe import OF_BODY, SIGNED_IN, describes
from app.routes.http import read_model, reader_language, reply
from app.webpush import WebPush

_BODY_MAX = 8 * 1024


class Keys(BaseModel):
    """What messages are encrypted with: base64url, as a browser's `PushSubscription` tells them."""

    p256dh: str
    auth: str


class SubscriptionBody(BaseModel):
    """A `PushSubscription`, as JSON."""

    endpoint: str
    keys: Keys


def _push_of(request: web.Request) -> WebPush:
    push = request.app[PUSH]
    if push is None:
        raise ApiError(409, "push_off", "Web Push is off here: it needs VAPID_PRIVATE_KEY.")
    return push


@describes("What a page subscribes to Web Push with", {200: schemas.PushKey}, (401, 403, 503), who=SIGNED_IN)
async def key(request: web.Request) -> web.Response:
    """The public key of `VAPID_PRIVATE_KEY`; null where Web Push is off."""
    await identify(request)
    push = request.app[PUSH]
    body: schemas.PushKey = {"public_key": None if push is None else push.public_key}
    return reply(body)


@describes(
    "Have a browser told of the ends of one's jobs",
    {200: schemas.Subscribed},
    (401, 403, 409, 503, *OF_BODY),
    body=(SubscriptionBody,),
    who=SIGNED_IN,
)
async def subscribe(request: web.Request) -> web.Response:
    """Also renews it, and hands it to whoever signed in there last. It is told in the language that its reader chose on
    the page, else in that of this request. A user has `PUSH_MAX_PER_USER`: of more, those that were renewed longest ago
    go. 409 `push_off`."""
    who, push = await identify(request), _push_of(request)
    body = await read_model(request, SubscriptionBody, _BODY_MAX)
    wanted = webpush.Subscription(body.endpoint, body.keys.p256dh, body.keys.auth)
    try:
        where = webpush.check(wanted, allow_loopback=push.allow_loopback)
    except ValueError as error:
        raise ApiError(400, "invalid_request", f"Invalid request: {error}.") from None
    stored = await request.app[SUBSCRIPTIONS].put(who.user_id, who.subject, where, reader_language(request))
    answer: schemas.Subscribed = {"success": True, "id": stored}
    return reply(answer)


@describes("Have one browser told no more", {200: schemas.Unsubscribed}, (401, 403, 503), who=SIGNED_IN)
async def unsubscribe(request: web.Request) -> web.Response:
    """`id` is the SHA-256 of its endpoint, in hex. One that is not the caller's is as one that is not there."""
    who = await identify(request)
    removed = await request.app[SUBSCRIPTIONS].remove(who.user_id, request.match_info["id"])
    body: schemas.Unsubscribed = {"success": True, "removed": int(removed)}
    return reply(body)


@describes("Have none of one's browsers told any more", {200: schemas.Unsubscribed}, (401, 403, 503), who=SIGNED_IN)
async def unsubscribe_all(request: web.Request) -> web.Response:
    """For a site whose user signs out everywhere."""
    who = await identify(request)
    body: schemas.Unsubscribed = {"success": True, "removed": await request.app[SUBSCRIPTIONS].remove_all(who.user_id)}
    return reply(body)
