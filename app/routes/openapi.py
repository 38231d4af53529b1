"""GET /openapi.json: the API as its handlers describe it, with the models that validate what comes in and the forms of
what goes out."""

import asyncio
from collections.abc import Iterable, Mapping
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from operator import attrgetter
from typing import Any

import orjson
from aiohttp import web
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from app.appkeys import SETTINGS
from app.errors import Error
from app.routes.describe import Form, Operation, describes, operations
from app.routes.whole import JSON_HEADERS

_ABOUT = "AI video status webhooks in, the browser updated the moment they are committed."

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

Refs = dict[Any, Any]
"""Where the schema of each form stands in the document."""


@describes("This document", {200: "application/json"})
async def whole(request: web.Request) -> web.Response:
    """The document, for everybody: it is made once, and whoever asks is not asked who he is."""
    routes = tuple(operations(request.app.router).items())
    # The first time it takes a third of a second.
    body = await asyncio.to_thread(_encoded, routes, request.app[SETTINGS].auth_cookie)
    return web.Response(body=body, headers=JSON_HEADERS)


@cache
def _encoded(routes: tuple[tuple[str, Operation], ...], cookie: str) -> bytes:
    return orjson.dumps(document(dict(routes), cookie))


class _Untitled(GenerateJsonSchema):
    """Without a title for each field, which only says its name again."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        return False


def document(routes: Mapping[str, Operation], cookie: str) -> dict[str, Any]:
    """The API that these routes make, by "METHOD /path", in OpenAPI 3.1. `cookie` is the name of the one that may carry
    a token."""
    answers = [
        form
        for operation in routes.values()
        for form in operation.answers.values()
        if form and not isinstance(form, str)
    ]
    bodies = [model for operation in routes.values() for model in operation.body]
    forms: list[Any] = sorted({Error, *answers, *bodies}, key=attrgetter("__name__"))
    refs, definitions = TypeAdapter.json_schemas(
        [(form, "validation", TypeAdapter(form)) for form in forms],
        ref_template="#/components/schemas/{model}",
        schema_generator=_Untitled,
    )
    ref_of = {form: refs[form, "validation"] for form in forms}
    paths: dict[str, dict[str, Any]] = {}
    for route, operation in routes.items():
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
        return answer | {"content": {kind: {} for kind in form.split(", ")}}
    return answer | ({"content": {"application/json": {"schema": ref_of[form]}}} if form else {})


def _refusal(status: int, ref_of: Refs) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": _REFUSALS[status]} | _headers(status)
    if status < HTTPStatus.BAD_REQUEST:
        return answer
    return answer | {"content": {"application/json": {"schema": ref_of[Error]}}}


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
        "metrics": {"type": "http", "scheme": "bearer"},
        "secret": key("header", "X-Webhook-Secret"),
        "id": key("header", "webhook-id"),
        "timestamp": key("header", "webhook-timestamp"),
        "signature": key("header", "webhook-signature"),
    }
