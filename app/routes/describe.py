"""What a route does, said over its handler. `openapi` and the page of the docs read it from the router."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel

Form = type[Any] | str | None
"""What an answer looks like: a TypedDict, the media type of one that is not JSON of ours (or several, with commas), or
None without a body."""

Security = list[dict[str, list[str]]]
"""Ways to prove who one is, of which one is enough, by the names that openapi.json has for their parts."""

SIGNED_IN: Security = [{"bearer": []}, {"cookie": []}]
LISTENER: Security = [*SIGNED_IN, {"ticket": []}]
SENDER: Security = [{"secret": []}, {"id": [], "timestamp": [], "signature": []}]

OF_BODY = (400, 408, 413, 415)
"""Refusals of every route that reads a body."""


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """What a route does.

    `answers` are forms by status; `refusals` are further statuses, each of which answers an error, and 204 nothing.
    `body` has the models of which one must fit; `query` is the model of the query; `who` says how callers prove who
    they are; `headers` are the names of those that it reads.
    """

    summary: str
    answers: Mapping[int, Form]
    refusals: tuple[int, ...]
    body: tuple[type[BaseModel], ...]
    query: type[BaseModel] | None
    who: Security | None
    headers: tuple[str, ...]


Handler = TypeVar("Handler", bound=Callable[[web.Request], Awaitable[web.StreamResponse]])

_OPERATIONS: dict[object, Operation] = {}


def describes(
    summary: str,
    answers: Mapping[int, Form],
    refusals: tuple[int, ...] = (),
    *,
    body: tuple[type[BaseModel], ...] = (),
    query: type[BaseModel] | None = None,
    who: Security | None = None,
    headers: tuple[str, ...] = (),
) -> Callable[[Handler], Handler]:
    """Says over a handler what its route does; the arguments are the fields of `Operation`. The handler stays as it is.

    The tests hold every answer of every handler to it.
    """
    operation = Operation(summary, answers, refusals, body, query, who, headers)

    def remember(handler: Handler) -> Handler:
        _OPERATIONS[handler] = operation
        return handler

    return remember


def operations(router: web.UrlDispatcher) -> dict[str, Operation]:
    """What the router's routes do, by "METHOD /path" and in their order. Those without a description are left out."""
    found = {}
    for route in router.routes():
        operation = _OPERATIONS.get(route.handler)
        # GET routes answer HEAD too, by the same handler.
        if operation is not None and route.resource is not None and route.method != "HEAD":
            found[f"{route.method} {route.resource.canonical}"] = operation
    return found
