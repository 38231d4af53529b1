"""Orders of videos: generated here, or registered for whoever starts their generation."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Any

import orjson
from aiohttp import web
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator

from app import errors, times
from app.appkeys import (
    ACTS,
    COMMITTED,
    GENERATOR,
    ORDERS,
    PARKED,
    PEOPLE,
    REGISTRAR,
    SETTINGS,
    UPLOADS,
    VIDEOS,
    WRITER,
)
from app.auth.tokens import Identity
from app.db.register import NewJob, Registered, TooManyUnfinishedError, UnknownOwnerError
from app.db.requests import KeyReusedError, Request, of_sender
from app.db.videos import Generation
from app.domain import fields
from app.domain.delivery import made_here
from app.domain.failure import redacted
from app.errors import ApiError
from app.generator import GeneratorError
from app.ids import RESERVED
from app.routes import schemas
from app.routes.acts import to_act
from app.routes.callers import NotSignedInError, actor, identify
from app.routes.describe import OF_BODY, SENDER, SIGNED_IN, describes
from app.routes.http import TooMuch, as_model, holding, read_json_body, reply
from app.routes.senders import authorized_body, knows_secret, names_secret
from app.routes.shown import job_of

Short = Annotated[str, Field(min_length=1, max_length=191)]
Upto8 = Annotated[int, Field(ge=1, le=8)]
Upto600 = Annotated[int, Field(ge=1, le=600)]

# Seconds: some videos end in the meantime.
_UNFINISHED_RETRY = 60

_TOO_MANY = TooMuch(
    "too_many_orders",
    of_one="Too many of your orders are under way; wait for their answers.",
    of_all="Too many orders are under way; try again shortly.",
)
_TOO_LONG = TooMuch(
    "too_much_uploaded",
    of_one="Too much of yours is on its way; wait for its answers.",
    of_all="Too much is on its way; try again shortly.",
)


def _free(job_id: str) -> str:
    if job_id in RESERVED:
        raise ValueError(f"{job_id} is an address of its own under /api/videos")
    return job_id


def _describe(schema: dict[str, Any]) -> None:
    fields.say_null_is_missing(schema)
    schema["examples"] = [{"prompt": "A calm sea at sunrise"}]


class Order(BaseModel):
    """What a user asks for. What is null counts as missing."""

    model_config = {"json_schema_extra": _describe}

    prompt: Annotated[str, Field(min_length=1, max_length=10_000, pattern=r"\S")]
    aspect_ratio: Short = "16:9"
    number_of_videos: Annotated[Upto8, BeforeValidator(fields.number, json_schema_input_type=Upto8)] = 1
    duration_seconds: Annotated[Upto600, BeforeValidator(fields.number, json_schema_input_type=Upto600)] = 8
    person_generation: Short = "ALLOW_ALL"
    input_image_base64: str | None = None

    _without_nulls = model_validator(mode="before")(fields.without_nulls)


class Registration(Order):
    """A job whose generation somebody else starts."""

    job_id: Annotated[Short, AfterValidator(_free), Field(json_schema_extra={"not": {"enum": [*RESERVED]}})] | None = (
        None
    )
    user_id: Short | None = None
    organization_id: Short | None = None


@describes(
    "Have a video made",
    {202: schemas.Started},
    (*OF_BODY, 401, 403, 409, 422, 429, 502, 503),
    body=(Order,),
    who=SIGNED_IN,
    headers=("Idempotency-Key",),
)
async def generate(request: web.Request) -> web.Response:
    """Makes the job, then hands it to the generation backend, and answers once that has accepted it: 502 where it has
    not, and the job has failed. A repetition with the same `Idempotency-Key` is answered of the job that is there."""
    who = await identify(request)
    with holding(request.app[ORDERS], who.user_id, _TOO_MANY) as take:
        take(1)
        with holding(request.app[UPLOADS], who.user_id, _TOO_LONG) as take_bytes:
            return await _generate(request, who, take_bytes)


async def _generate(request: web.Request, who: Identity, take: Callable[[int], None]) -> web.Response:
    order = as_model(await read_json_body(request, request.app[SETTINGS].max_image_body_bytes, take), Order)
    return await _start(request, who, order, _new_job(order, None, who.user_id, who.organization_id))


@describes(
    "Have the same video made again",
    {202: schemas.Started},
    (400, 401, 403, 404, 409, 422, 429, 502, 503),
    who=SIGNED_IN,
    headers=("Idempotency-Key",),
)
async def retry(request: web.Request) -> web.Response:
    """A new job with the order of another one, its image too, for the same author. Else as `generate`."""
    who, job_id = await to_act(request)
    with holding(request.app[ORDERS], who.user_id, _TOO_MANY) as take:
        take(1)
        with holding(request.app[UPLOADS], who.user_id, _TOO_LONG) as take_bytes:
            ordered = await request.app[REGISTRAR].ordered(job_id, take_bytes)
            if ordered is None:
                raise errors.not_found()
            order = Order.model_construct(**{name: getattr(ordered, name) for name in Order.model_fields})
            if who.admin and who.user_id != ordered.author_id:
                ordered = replace(ordered, by=(actor(who), "retry"))
            return await _start(request, who, order, ordered)


async def _start(request: web.Request, who: Identity, order: Order, new: NewJob) -> web.Response:
    """Makes the job, or finds the one that the same request made, and hands a new one to the backend."""
    key = request.headers.get("Idempotency-Key") or None
    if key is not None and not (key.isascii() and len(key) <= 191):  # noqa: PLR2004
        raise ApiError(400, "invalid_request", "Idempotency-Key may have at most 191 characters, all of them ASCII.")
    repeated = None if key is None else Request(who.user_id, key, _digest(order, new.author_id))
    job_id, how = await _register(request, new, repeated, limited=True)
    made = how == "made"
    _, job = await request.app[VIDEOS].with_head(job_id)
    if job is None or not who.may_see(job.author_id, job.organization_id):
        raise _gone(job_id)
    if made:
        await _hand_over(request, job, order)
    elif job.state == "FAILED":
        reason = redacted(job.error or job.message) or "It failed."
        raise ApiError(502, "generation_failed", reason, job_id=job_id)
    body: schemas.Started = {
        "job_id": job_id,
        "status": "pending" if made else job.status,
        "message": redacted(job.message),
        "created_at": times.rfc3339(job.created_at),
    }
    return reply(body, 202)


@describes(
    "Register a job whose generation somebody else starts",
    {201: schemas.RegisteredJob, 200: schemas.RegisteredJob},
    (*OF_BODY, 401, 403, 409, 422, 429, 503),
    body=(Registration,),
    who=SIGNED_IN + SENDER,
)
async def register(request: web.Request) -> web.Response:
    """201 once the job is there and its parked webhooks are applied; 200 where it was there already."""
    # A wrong secret is refused, and counted, also of a user who is signed in: nobody may guess at it here.
    if names_secret(request):
        return await _register_as_sender(request)
    return await _register_as_user(request)


async def _register_as_sender(request: web.Request) -> web.Response:
    """For whomever the order names, under any id."""
    order = as_model(await authorized_body(request, request.app[SETTINGS].max_image_body_bytes), Registration)
    author, organization = order.user_id, order.organization_id
    # A signature does not cover a token beside it: whoever captured one could make its job his own.
    if author is None and knows_secret(request):
        with suppress(NotSignedInError):
            who = await identify(request)
            author, organization = who.user_id, organization or who.organization_id
    if order.user_id is not None:
        author = await request.app[PEOPLE].author_of(order.user_id)
    if author is None:
        raise ApiError(400, "invalid_request", "Invalid request: user_id: name the owner of the job.")
    named = request.headers.get("webhook-id")
    repeated = of_sender(named, _digest(order, author)) if named else None
    return await _registered(request, _new_job(order, order.job_id, author, organization), repeated)


async def _register_as_user(request: web.Request) -> web.Response:
    """For himself, in his own organization and under an id that is made here; an admin for whomever he names."""
    who = await identify(request)
    with holding(request.app[UPLOADS], who.user_id, _TOO_LONG) as take:
        body = await read_json_body(request, request.app[SETTINGS].max_image_body_bytes, take)
        order = as_model(body, Registration)
        if not who.admin:
            _refuse_what_is_not_his(order, who)
        named = order.user_id
        author = who.user_id if named is None else await request.app[PEOPLE].author_of(named)
        himself = author == who.user_id
        organization = order.organization_id or (who.organization_id if himself else None)
        new = _new_job(order, order.job_id, author, organization)
        if not himself:
            new = replace(new, by=(actor(who), "register"))
        return await _registered(request, new, limited=himself)


def _refuse_what_is_not_his(order: Registration, who: Identity) -> None:
    """Raises ApiError 403."""
    if order.job_id is not None or order.user_id not in (None, who.user_id, who.subject):
        raise ApiError(
            403, "forbidden", "Only an admin or a sender with the webhook secret may name job_id or user_id."
        )
    if order.organization_id not in (None, *who.seen):
        raise ApiError(403, "forbidden", "You are not a member of that organization.")


async def _registered(
    request: web.Request, new: NewJob, repeated: Request | None = None, *, limited: bool = False
) -> web.Response:
    """The answer once the job is there. Raises ApiError 409 where its id is another's, and as `_register` does."""
    job_id, how = await _register(request, new, repeated, limited=limited)
    if how == "made":
        await request.app[PARKED].apply_for(job_id)
    job = await request.app[VIDEOS].get(job_id)
    if job is None and (how == "known" or await request.app[ACTS].find(job_id) is not None):
        raise _gone(job_id)
    if job is None or (how != "made" and job.author_id != new.author_id):
        raise ApiError(409, "id_conflict", "That job_id belongs to another job.", job_id=job_id)
    body: schemas.RegisteredJob = {
        "job_id": job.id,
        **job_of(request, job),
    }
    return reply(body, 201 if how == "made" else 200)


def _gone(job_id: str) -> ApiError:
    return ApiError(409, "deleted", "That job is deleted.", job_id=job_id)


def _new_job(order: Order, job_id: str | None, author_id: str, organization_id: str | None) -> NewJob:
    return NewJob(
        id=job_id,
        author_id=author_id,
        organization_id=organization_id,
        prompt=order.prompt,
        aspect_ratio=order.aspect_ratio,
        number_of_videos=order.number_of_videos,
        duration_seconds=order.duration_seconds,
        person_generation=order.person_generation,
        input_image_base64=order.input_image_base64,
    )


def _digest(order: Order, author: str) -> bytes:
    """The same for two orders of the same, however they are written: by whom captured with another's token, too."""
    asked = order.model_dump(exclude_defaults=True) | {"author": author}
    return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).digest()


async def _register(
    request: web.Request, new: NewJob, repeated: Request | None, *, limited: bool
) -> tuple[str, Registered]:
    """(the job's id, what became of it), once its first event is passed on. Raises ApiError 422 or 429."""
    try:
        job_id, how, events = await request.app[REGISTRAR].register(new, repeated, limited=limited)
    except TooManyUnfinishedError:
        raise ApiError(
            429,
            "too_many_unfinished",
            "Too many of your videos are unfinished; wait until some have ended.",
            retry_after=_UNFINISHED_RETRY,
        ) from None
    except UnknownOwnerError:
        raise ApiError(422, "unknown_owner", "The database knows no such user or organization.") from None
    except KeyReusedError:
        raise ApiError(
            422, "idempotency_key_reused", "That Idempotency-Key, or webhook-id, came with another order before."
        ) from None
    request.app[COMMITTED](events)
    return job_id, how


async def _hand_over(request: web.Request, job: Generation, order: Order) -> None:
    """Raises ApiError 502 when the backend will not make the video; the job then says why."""
    fields = order.model_dump(exclude_none=True) | {"job_id": job.id, "user_id": job.author_id}
    try:
        await request.app[GENERATOR].start(fields)
    except GeneratorError as error:
        failed = {"job_id": job.id, "status": "failed", "content_type": "video", "error": str(error)}
        await request.app[WRITER].submit(made_here(orjson.dumps(failed), "generator", unique=True))
        raise ApiError(502, "generation_failed", str(redacted(str(error))), job_id=job.id) from None
