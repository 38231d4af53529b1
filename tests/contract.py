"""Holds what a server answers to its own openapi.json: in every test, whatever that is about."""

import functools
import json
from typing import Any

import jsonschema_rs
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from app.routes.describe import Operation, operations
from app.routes.openapi import document

Routes = tuple[tuple[str, Operation], ...]


@functools.cache
def described(routes: Routes) -> dict[str, Any]:
    """The document, where fields that it does not name are not allowed in answers."""
    whole = document(dict(routes), "__session")
    for schema in whole["components"]["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return whole


@functools.cache
def validator(routes: Routes, route: str, status: int, kind: str) -> jsonschema_rs.Draft202012Validator | None:
    """Of the answers of a route, by media type; None if it may not answer so."""
    method, path = route.split()
    answer = described(routes)["paths"][path][method.lower()]["responses"].get(str(status))
    content = (answer or {}).get("content", {})
    if kind not in content:
        return None
    schema = content[kind].get("schema", {})
    return jsonschema_rs.Draft202012Validator(
        schema | {"components": described(routes)["components"]}, validate_formats=True
    )


def contract(broken: list[str]) -> Middleware:
    """A middleware that adds a sentence to `broken` for each answer that is not as described."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        resource = request.match_info.route.resource
        route = f"{request.method} {resource.canonical}" if resource else ""
        # An empty 200 goes to nobody: the client has left, or a stream has taken its socket over.
        routes = operations(request.app.router)
        if route in routes and isinstance(response, web.Response) and response.body:
            broken.extend(_differences(tuple(routes.items()), route, response))
        return response

    return check


def _differences(routes: Routes, route: str, response: web.Response) -> list[str]:
    status, body = response.status, response.body
    found = validator(routes, route, status, response.content_type)
    if found is None:
        return [f"{route} answers {status} {response.content_type}, which is not described: {body!r:.300}"]
    if response.content_type != "application/json":
        return []
    assert isinstance(body, bytes | bytearray)
    errors = found.iter_errors(json.loads(body))
    return [f"{route} {status}: {error.instance_path}: {error.message}" for error in errors]
