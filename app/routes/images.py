"""The images that jobs were ordered with."""

from aiohttp import web

from app.appkeys import ANSWERS, SETTINGS, VIDEOS
from app.domain.image import GIF, JPEG, PNG, UNKNOWN, WEBP, kind_of
from app.errors import ApiError
from app.routes.acts import to_act
from app.routes.describe import SIGNED_IN, describes
from app.routes.http import UNREAD, hand_out, holding

_KINDS = ", ".join(kind.media_type for kind in (PNG, JPEG, GIF, WEBP, UNKNOWN))


@describes("The image that a job was ordered with", {200: _KINDS}, (401, 403, 404, 429, 503), who=SIGNED_IN)
async def image(request: web.Request) -> web.StreamResponse:
    """For whoever may have the job made again, as long as its row has it: else 404 `no_image`. It returns once the
    client has taken it, and until then counts against what he may leave unread."""
    who, job_id = await to_act(request)
    with holding(request.app[ANSWERS], who.user_id, UNREAD) as take:
        found = await request.app[VIDEOS].image(job_id, take, request.app[SETTINGS].max_image_body_bytes)
        if found is None:
            raise ApiError(404, "no_image", "There is no image of that job, or none that can be read.", job_id=job_id)
        kind = kind_of(found)
        return await hand_out(request, found, {
            "Content-Type": kind.media_type,
            "Content-Disposition": f'attachment; filename="image{kind.ending}"',
            "Content-Security-Policy": "default-src 'none'; sandbox",
        })  # fmt: skip
