"""GET /openapi.json: the API, from the models that validate what comes in and the forms of what goes out."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, reduce
from http import HTTPStatus
from importlib.metadata import version
from operator import attrgetter, or_
from typing import Any, Literal

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from app.appkeys import SETTINGS
from app.domain.payload import VERSIONS, Envelope
from app.routes import admin, schemas, videos
from app.routes.http import JSON_HEADERS

_ABOUT = "AI video status webhooks in, the browser updated the moment they are committed."

Security = list[dict[str, list[str]]]

_SIGNED_IN: Security = [{"bearer": []}, {"cookie": []}]
_LISTENER: Security = [*_SIGNED_IN, {"ticket": []}]
_SENDER: Security = [{"secret": []}, {"id": [], "timestamp": [], "signature": []}]

_REFUSALS = {
    204: "Nothing new, and nothing will come: an EventSource stops.",
    400: "Not valid; `details` tells what is wrong where.",
    401: "Not signed in, or the secret or signature is missing or wrong.",
    403: "Signed in, and may not do this; or through a proxy to a server where nobody signs in.",
    404: "There is no such thing, or it is not the caller's.",
    408: "The body did not arrive in time.",
    409: "In conflict with what is there already.",
    413: "The body is too large.",
    415: "The body must be sent as application/json.",
    422: "It cannot be applied, for a reason of its own.",
    426: "Connect with a WebSocket client.",
    429: "Too many; `Retry-After` tells when to come back.",
    502: "The generation backend refused or did not answer; the job says why.",
    503: "The database, or what tokens are signed with, is out of reach; `Retry-After` tells when to come back.",
}

_TAGS = {
    "/api/webhooks": "Webhooks in",
    "/events": "Live updates out",
    "/ws": "Live updates out",
    "/api/stream-tickets": "Live updates out",
    "/api/videos": "Videos",
    "/api/admin": "For admins",
    "/": "Operations",
}

_EXAMPLE: dict[str, Any] = {"job_id": "j1", "content_type": "video", "timestamp": "2025-10-23T14:30:00Z"}

_BODY = (400, 408, 413, 415)
_ADMIN = (401, 403, 503)


Form = type[Any] | str | None
"""What an answer looks like: a TypedDict, the media type of one that is not JSON of ours, or None without a body."""

Refs = dict[Any, Any]
"""Where the schema of each form stands in the document."""


class OfUpdate(Envelope):
    """A webhook of an intermediate status, or of a failure."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE | {"status": "generating"}]})

    status: Literal["pending", "processing", "generating", "downloading", "failed"]


# Of all versions that payload.py has, the oldest first.
_DATA: Any = reduce(or_, (completion.model_fields["data"].annotation for _, _, completion in reversed(VERSIONS)))


class OfCompletion(Envelope):
    """A webhook that brings files, in any version of the payload, or says that they will follow."""

    status: Literal["completed"]
    data: _DATA | None = None


class Resume(BaseModel):
    """Where an earlier stream ended; the header Last-Event-ID wins, of the queries the greater."""

    last_event_id: str = ""
    of_polyfills: str = Field("", alias="lastEventId")


@dataclass(frozen=True, slots=True)
class Operation:
    """What a route does. `answers` are forms by status; `refusals` are statuses of the table above."""

    summary: str
    answers: dict[int, Form]
    refusals: Iterable[int] = ()
    body: tuple[type[BaseModel], ...] = ()
    query: type[BaseModel] | None = None
    who: Security | None = None
    headers: tuple[str, ...] = ()


_STREAM = Operation(
    "Server-Sent Events of all the caller's jobs: what is, then each committed change",
    {200: "text/event-stream"},
    (401, 403),
    query=Resume,
    who=_LISTENER,
    headers=("Last-Event-ID",),
)
_SOCKET = Operation(
    "The same events over WebSocket",
    {101: None},
    (403, 426, 503),
    query=Resume,
    who=_LISTENER,
    headers=_STREAM.headers,
)

OPERATIONS = {
    "POST /api/webhooks/video-completion": Operation(
        "Take a webhook; 2xx means that it is durable",
        {200: schemas.Received, 202: schemas.Queued},
        (*_BODY, 401, 403, 404, 409, 422, 429, 503),
        body=(OfUpdate, OfCompletion),
        who=_SENDER,
    ),
    "GET /api/webhooks/video-completion": Operation(
        "Whether webhooks are applied at once", {200: schemas.Health, 503: schemas.Health}
    ),
    "GET /events": _STREAM,
    "GET /events/{job_id}": Operation(
        "Server-Sent Events of one job",
        _STREAM.answers,
        (204, 401, 403, 404),
        query=Resume,
        who=_LISTENER,
        headers=_STREAM.headers,
    ),
    "GET /ws": _SOCKET,
    "GET /ws/{job_id}": _SOCKET,
    "POST /api/videos/generate": Operation(
        "Have a video made",
        {202: schemas.Started},
        (*_BODY, 401, 403, 409, 422, 429, 502, 503),
        body=(videos.Order,),
        who=_SIGNED_IN,
        headers=("Idempotency-Key",),
    ),
    "POST /api/videos": Operation(
        "Register a job whose generation somebody else starts",
        {201: schemas.RegisteredJob, 200: schemas.RegisteredJob},
        (*_BODY, 401, 403, 409, 422, 429, 503),
        body=(videos.Registration,),
        who=_SIGNED_IN + _SENDER,
    ),
    "GET /api/videos/user": Operation(
        "The caller's finished videos, newest first, and his unfinished jobs",
        {200: schemas.Gallery},
        (400, 401, 403, 429, 503),
        query=videos.GalleryPage,
        who=_SIGNED_IN,
    ),
    "GET /api/videos/{job_id}": Operation(
        "One job in any state",
        {200: schemas.JobAsSeen},
        (400, 401, 403, 404, 429, 503),
        query=videos.JobPage,
        who=_SIGNED_IN,
    ),
    "POST /api/stream-tickets": Operation(
        "Buy what opens a stream where no header can be set",
        {200: schemas.Ticket},
        (401, 403, 409, 503),
        who=_SIGNED_IN,
    ),
    "GET /api/admin/webhooks": Operation(
        "Received webhooks, newest first",
        {200: schemas.Webhooks},
        (400, *_ADMIN),
        query=admin.WebhooksPage,
        who=_SIGNED_IN,
    ),
    "GET /api/admin/webhooks/{id}": Operation(
        "One, with its payload, its headers, and what a replay would change",
        {200: schemas.WholeWebhook},
        (404, *_ADMIN),
        who=_SIGNED_IN,
    ),
    "POST /api/admin/webhooks/{id}/replay": Operation(
        "Try a dead or parked webhook again", {200: schemas.Replayed}, (404, *_ADMIN), who=_SIGNED_IN
    ),
    "POST /api/admin/webhooks/{id}/discard": Operation(
        "Give a dead or parked webhook up", {200: schemas.Discarded}, (404, *_ADMIN), who=_SIGNED_IN
    ),
    "POST /api/admin/webhooks/replay": Operation(
        "Try all dead, or all parked, again",
        {200: schemas.ReplayedMany},
        (*_BODY, *_ADMIN),
        body=(admin.Replay,),
        who=_SIGNED_IN,
    ),
    "GET /healthz": Operation("Whether the process lives", {200: schemas.Alive}),
    "GET /readyz": Operation(
        "Whether it can do its work, each dependency named", {200: schemas.Readiness, 503: schemas.Readiness}
    ),
    "GET /openapi.json": Operation("This document", {200: "application/json"}),
}


async def whole(request: web.Request) -> web.Response:
    # The first time it takes a third of a second, and whoever asks is not asked who he is.
    body = await asyncio.to_thread(_encoded, request.app[SETTINGS].auth_cookie)
    return web.Response(body=body, headers=JSON_HEADERS)


@cache
def _encoded(cookie: str) -> bytes:
    return orjson.dumps(document(cookie), option=orjson.OPT_INDENT_2)


class _Untitled(GenerateJsonSchema):
    """Without a title for each field, which only says its name again."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        return False


def document(cookie: str) -> dict[str, Any]:
    """The whole API in OpenAPI 3.1. `cookie` is the name of the one that may carry a token."""
    answers = [
        form
        for operation in OPERATIONS.values()
        for form in operation.answers.values()
        if form and not isinstance(form, str)
    ]
    bodies = [model for operation in OPERATIONS.values() for model in operation.body]
    forms: list[Any] = sorted({schemas.Error, *answers, *bodies}, key=attrgetter("__name__"))
    refs, definitions = TypeAdapter.json_schemas(
        [(form, "validation", TypeAdapter(form)) for form in forms],
        ref_template="#/components/schemas/{model}",
        schema_generator=_Untitled,
    )
    ref_of = {form: refs[form, "validation"] for form in forms}
    paths: dict[str, dict[str, Any]] = {}
    for route, operation in OPERATIONS.items():
        method, path = route.split()
        paths.setdefault(path, {})[method.lower()] = _described(route, operation, ref_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "rushes", "version": version("rushes"), "description": _ABOUT},
        "paths": paths,
        "components": {"schemas": definitions["$defs"], "securitySchemes": _schemes(cookie)},
    }


def _described(route: str, operation: Operation, ref_of: Refs) -> dict[str, Any]:
    method, path = route.split()
    described: dict[str, Any] = {
        "operationId": f"{method.lower()}{path.translate(str.maketrans('/-.', '___', '{}'))}",
        "summary": operation.summary,
        "tags": [next(tag for prefix, tag in _TAGS.items() if path.startswith(prefix))],
        "parameters": list(_parameters(path, operation)),
        "responses": {str(status): _answer(status, form, ref_of) for status, form in operation.answers.items()},
    }
    for status in sorted(operation.refusals):
        described["responses"][str(status)] = _refusal(status, ref_of)
    if operation.body:
        found = [ref_of[model] for model in operation.body]
        schema = found[0] if len(found) == 1 else {"anyOf": found}
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if operation.who:
        described["security"] = operation.who
    return described


def _parameters(path: str, operation: Operation) -> Iterable[dict[str, Any]]:
    for part in path.split("/"):
        if part.startswith("{"):
            yield {"name": part[1:-1], "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    query = operation.query.model_json_schema(schema_generator=_Untitled) if operation.query else {}
    for name, schema in query.get("properties", {}).items():
        yield {"name": name, "in": "query", "allowEmptyValue": True, "schema": schema}
    for name in operation.headers:
        yield {"name": name, "in": "header", "schema": {"type": "string"}}


def _answer(status: int, form: Form, ref_of: Refs) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": HTTPStatus(status).phrase} | _headers(status)
    if isinstance(form, str):
        return answer | {"content": {form: {}}}
    return answer | ({"content": {"application/json": {"schema": ref_of[form]}}} if form else {})


def _refusal(status: int, ref_of: Refs) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": _REFUSALS[status]} | _headers(status)
    if status < HTTPStatus.BAD_REQUEST:
        return answer
    return answer | {"content": {"application/json": {"schema": ref_of[schemas.Error]}}}


def _headers(status: int) -> dict[str, Any]:
    if status not in (429, 503):
        return {}
    return {"headers": {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}}}


def _schemes(cookie: str) -> dict[str, Any]:
    def key(where: str, name: str) -> dict[str, str]:
        return {"type": "apiKey", "in": where, "name": name}

    return {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        "cookie": key("cookie", cookie),
        "ticket": key("query", "ticket"),
        "secret": key("header", "X-Webhook-Secret"),
        "id": key("header", "webhook-id"),
        "timestamp": key("header", "webhook-timestamp"),
        "signature": key("header", "webhook-signature"),
    }
