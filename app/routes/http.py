"""What handlers share: reading a bounded body, answering JSON, refusing who takes too much."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple, TypeVar, get_args

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from app import errors, lenient
from app.appkeys import SETTINGS
from app.errors import ApiError
from app.routes import cors
from app.routes.whole import JSON_HEADERS, WholeAnswer
from app.shares import NoShareError, Shares
from app.texts import Language

Model = TypeVar("Model", bound=BaseModel)

LANGUAGES: dict[str, Language] = {language: language for language in get_args(Language)}
_LANGUAGES_MAX = 1000  # characters

LANGUAGE_COOKIE = "rushes_language"

# Of a request that is no webhook: its form has a dozen, and all of them are read before the unknown ones are dropped.
_VALUES_MAX = 10_000


def reply(body: Mapping[str, object], status: int = 200) -> web.Response:
    """The answer whose JSON this is: one of the forms in `schemas`."""
    return WholeAnswer(orjson.dumps(body), status)


async def hand_out(request: web.Request, body: bytes, headers: Mapping[str, str] | None = None) -> web.StreamResponse:
    """Answers with this JSON, or whatever `headers` say that it is, and returns once the client has taken it. Raises
    ConnectionError when it has gone."""
    response = web.Response(body=body, headers=JSON_HEADERS | cors.allowed(request) | dict(headers or {}))
    await response.prepare(request)
    await response.write_eof()
    return response


def language_of(request: web.Request) -> Language:
    """Of the languages that we have the one that the client likes best, else APP_LANGUAGE."""
    best, found = 0.0, request.app[SETTINGS].app_language
    for part in request.headers.get("Accept-Language", "")[:_LANGUAGES_MAX].split(","):
        name, _, weight = part.strip().partition(";")
        try:
            liked = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        tag = name.strip().lower().partition("-")[0]
        if liked > best and tag in LANGUAGES:
            best, found = liked, LANGUAGES[tag]
    return found


def reader_language(request: web.Request) -> Language:
    """The one that he chose on the page, else his browser's, else APP_LANGUAGE."""
    chosen = LANGUAGES.get(request.cookies.get(LANGUAGE_COOKIE, ""))
    return chosen or language_of(request)


def is_json(media_type: str) -> bool:
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))


async def read_json_body(request: web.Request, limit: int, take: Callable[[int], None] = lambda _size: None) -> bytes:
    """The raw body. Raises ApiError 415, 413 without reading on past `limit` bytes, or 408.

    `take` is told of the bytes as they come, before they are kept, and may raise.
    """
    if not is_json(request.content_type):
        raise ApiError(415, "not_json", "Send the body as Content-Type: application/json.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        # A signature is over the bytes that were sent, and aiohttp would give us others.
        raise ApiError(415, "compressed", "Send the body as it is, without Content-Encoding.")
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    if request.content.is_eof():
        # A short body comes with its headers: nothing to wait for, and a time-out costs more than the reading.
        whole = request.content.read_nowait()
        if len(whole) > limit:
            raise _too_large(limit)
        return whole
    seconds = request.app[SETTINGS].body_timeout
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            while data := await request.content.readany():
                take(len(data))
                body += data
                if len(body) > limit:
                    raise _too_large(limit)
    except TimeoutError:
        raise ApiError(408, "too_slow", f"The body must arrive within {seconds:g} seconds.") from None
    return bytes(body)


def _too_large(limit: int) -> ApiError:
    return ApiError(413, "too_large", f"The body may have at most {limit} bytes.")


async def read_model(request: web.Request, model: type[Model], limit: int) -> Model:
    """The body as `model`. Raises as `read_json_body` and `as_model` do."""
    return as_model(await read_json_body(request, limit), model)


def as_model(body: bytes, model: type[Model]) -> Model:
    """The body as `model`. Raises ApiError 400 with a detail for each field."""
    if lenient.has_more_values(body, _VALUES_MAX):
        raise ApiError(400, "invalid_request", f"Invalid request: the body has more than {_VALUES_MAX} values.")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _invalid(error) from None


def read_query(request: web.Request, model: type[Model]) -> Model:
    """The query as `model`; an empty value is one that was not sent. Raises as `as_model` does."""
    try:
        return model.model_validate({name: value for name, value in request.query.items() if value})
    except ValidationError as error:
        raise _invalid(error) from None


def _invalid(error: ValidationError) -> ApiError:
    details = errors.details(error)
    return ApiError(400, "invalid_request", f"Invalid request: {errors.sentence(details)}", details=details)


class TooMuch(NamedTuple):
    """How a request is refused that takes more of `Shares` than there is: 429 `of_one` whose own share is used up, 503
    `of_all` once nothing is left; `code` in either case."""

    code: str
    of_one: str
    of_all: str


UNREAD = TooMuch(
    "too_much_unread",
    of_one="You have not read what you were answered; read that first.",
    of_all="Too many answers are on their way; try again shortly.",
)


@contextmanager
def holding(shares: Shares, who: str, too_much: TooMuch) -> Iterator[Callable[[int], None]]:
    """Gives what takes so much more of the shares for `who`, until the end. That raises ApiError 429 or 503."""
    try:
        with shares.holding(who) as take:
            yield take
    except NoShareError as error:
        # Made anew for each: an exception keeps the frames of every raise, and with them what was held there.
        status, said = (503, too_much.of_all) if error.whole else (429, too_much.of_one)
        raise ApiError(status, too_much.code, said, retry_after=errors.RETRY_AFTER) from None
