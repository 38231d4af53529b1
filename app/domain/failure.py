"""Why a generation failed, recognised by what providers, the backend and this service say. Pure.

`RULES` is a table in the order in which it is asked. Safety comes first, since refusals also carry INVALID_ARGUMENT.
Access comes before what passes, since "internal" can hide a model that is not enabled, and so does storage: that a
video was made says more than why it could not be fetched. Codes and fragments that have been stable are matched, and
nothing looser: a guess that is wrong sends a user the wrong way, and `other` only tells him less.
"""

import re
from functools import lru_cache
from typing import Any, Literal, NamedTuple, get_args

from app.redaction import MARK, names_secret, without_secrets
from app.texts import GIVEN_UP, MESSAGES, NOT_STARTED

Kind = Literal[
    "safety", "audio", "quota", "access", "parameter", "cancelled", "timeout", "storage", "transient", "no_video",
    "unreachable", "other",
]  # fmt: skip
Side = Literal["image", "prompt", "output", "rate", "day", "persons"]

KINDS: tuple[Kind, ...] = get_args(Kind)


class Failure(NamedTuple):
    """`side` is the part that is to blame, where that is known. `category` says which rule of safety, or "unknown".
    `retryable`: the same order may pass if it is sent again now. `operator`: only the operator can do anything."""

    kind: Kind
    side: Side | None = None
    category: str | None = None
    retryable: bool = False
    operator: bool = False


SUPPORT_CODES = {
    code: category
    for category, codes in {
        "child": "58061214 17301594",
        "celebrity": "29310472 15236754",
        "video_safety": "64151117 42237218",
        "dangerous": "62263041",
        "hate": "57734940 22137204",
        "prohibited": "89371032 49114662 63429089 72817394 60599140",
        "third_party_content": "35561574 35561575",
        "sexual": "90789179 43188360",
        "toxic": "78610348",
        "violence": "61493863 56562880",
        "vulgar": "32635315",
        "other": "74803281 29578790 42876398",
    }.items()
    for code in codes.split()
}

_CODES = re.compile(r"(?i:support codes?)\W{0,5}((?:\d{8}\W{0,5})+)")


def _public(*names: str) -> str:
    """One of the provider's own codes."""
    return rf"\bPUBLIC_ERROR_(?:\w{{1,60}}_)?(?:{'|'.join(names)})\b"


def _grpc(number: int, name: str) -> str:
    """A canonical code, as its name or as `code: 13`."""
    return rf"\b{name}\b|\b(?i:code)[\"']?\s{{0,3}}[=:]?\s{{0,3}}{number}(?![\d.])"


def _http(status: int) -> str:
    """As `HTTP 502`, `status: 502`, or `502 Bad Gateway` at the beginning."""
    return rf"\b(?i:http|status|code|error)(?:/1\.[01])?[\"':=\s(]{{1,4}}{status}\b|^{status}(?=\W*(?:$|[A-Z]))"


def _with(word: str, code: str) -> str:
    """A word and a code in one line, whichever comes first."""
    return rf"{code}[^\n]{{0,300}}{word}|{word}[^\n]{{0,300}}{code}"


_NOT_BE = r"(?i:(?:could|can|did)(?: not|n[o']?t|n’t) be "
_RULES_OF_SAFETY = r")[^\n]{0,300}?(?i:sensitive|violat|responsible ai|policies)"
_INVALID = r"\bINVALID_ARGUMENT\b"


class Rule(NamedTuple):
    """A text in which `pattern` is found is that failure."""

    failure: Failure
    pattern: re.Pattern[str]


def _rule(failure: Failure, *fragments: str) -> Rule:
    return Rule(failure, re.compile("|".join(fragments)))


_SAFETY = Failure("safety")
_OF_OUTPUT = Failure("safety", "output", retryable=True)
_ACCESS = Failure("access", operator=True)

RULES: tuple[Rule, ...] = (
    _rule(
        Failure("safety", "image"),
        r"(?i:input image (?:violat|was (?:refused|rejected|blocked)))",
        r"(?i:image)[^\n]{0,80}(?i:usage guidelines)",
    ),
    _rule(Failure("safety", "prompt"), rf"{_NOT_BE}submitted{_RULES_OF_SAFETY}"),
    _rule(_OF_OUTPUT, rf"{_NOT_BE}generated{_RULES_OF_SAFETY}"),
    _rule(
        _OF_OUTPUT,
        r"(?i:rai_?media_?filtered_?count)[\"']?\s{0,3}[:=]\s{0,3}[1-9]",
        r"(?i:rai_?media_?filtered_?reasons)",
    ),
    _rule(_SAFETY, r"(?i:input or output was flagged as sensitive)", r"\(E005\)"),
    _rule(Failure("safety", "image", "third_party_content"), _public("IP_INPUT_IMAGE")),
    _rule(Failure("safety", "image", "child"), _public("MINOR_UPLOAD")),
    _rule(Failure("safety", None, "child"), _public("MINOR")),
    _rule(Failure("safety", None, "sexual"), _public("SEXUAL")),
    _rule(Failure("safety", None, "celebrity"), _public("PROMINENT_PEOPLE_FILTER_FAILED")),
    _rule(Failure("safety", None, "violence"), _public("VIOLENCE_FILTER")),
    _rule(Failure("safety", None, "dangerous"), _public("DANGER_FILTER")),
    _rule(_SAFETY, _public("UNSAFE_GENERATION"), _CODES.pattern),
    _rule(Failure("audio", retryable=True), r"(?i:issue with the audio for your prompt)", _public("AUDIO_FILTERED")),
    _rule(Failure("quota", "day"), r"(?i:exceeded your current quota)", _public("USER_QUOTA_REACHED")),
    _rule(
        Failure("quota", "rate", retryable=True),
        r"\bRESOURCE_EXHAUSTED\b",
        r"(?i:resource (?:has been )?exhausted)",
        r"\brateLimitExceeded\b",
        _public("HIGH_TRAFFIC", "USER_REQUESTS_THROTTLED"),
        _http(429),
    ),
    _rule(
        _ACCESS,
        r"\bFAILED_PRECONDITION\b",
        r"\bPERMISSION_DENIED\b",
        r"(?i:user location is not supported)",
        r"(?i:publisher model)[^\n]{0,300}(?i:not found|not have access)",
        r"(?i:model (?:is )?not enabled)",
        _public("MODEL_ACCESS_DENIED"),
        _http(403),
    ),
    _rule(Failure("parameter", "persons"), r"(?i:for personGeneration is (?:currently )?not supported)"),
    _rule(Failure("parameter", "image"), _with(r"(?i:\bimage)", _INVALID)),
    _rule(Failure("parameter", "prompt"), _with(r"(?i:\bprompt)", _INVALID)),
    _rule(
        Failure("parameter", operator=True),
        _INVALID,
        r"(?i:invalid resource field value)",
        r"(?i:operation id must be a long)",
    ),
    _rule(Failure("cancelled", retryable=True), _grpc(1, "CANCELLED"), _http(499), r"(?i:operation was cancell?ed)"),
    _rule(
        Failure("timeout", retryable=True),
        _grpc(4, "DEADLINE_EXCEEDED"),
        r"(?i:deadline exceeded)",
        _public("VIDEO_GENERATION_TIMED_OUT"),
        _http(504),
        r"(?i:gateway time-?out)",
        r"(?i:(?:operation|generation|request|polling) (?:has )?timed out)",
        r"(?i:timed? ?out after \d)",
        r"(?i:\btimeout\b)[^\n]{0,40}(?i:génération|generation|polling|opération|operation)",
    ),
    _rule(
        Failure("storage", retryable=True),
        r"\bAccessDenied\b",
        r"\bNoSuchBucket\b",
        r"(?i:(?:download|upload)(?:ing)? (?:of the video |to s3 )?(?:has )?failed)",
        r"(?i:failed to (?:download|upload))",
        r"(?i:échec du téléchargement)",
    ),
    _rule(
        Failure("transient", retryable=True),
        # Not: internal affairs, in capitals.
        _grpc(13, r"INTERNAL(?!\s+(?!error\b)[a-z])"),
        _grpc(14, "UNAVAILABLE"),
        r"(?i:internal error encountered)",
        _http(500),
        _http(503),
        r"(?i:(?:model|service|server) is (?:currently )?overloaded)",
        r"(?i:service (?:is )?(?:currently |temporarily )?unavailable)",
    ),
    _rule(Failure("no_video", retryable=True), r"(?i:no videos? (?:was|were) (?:produced|generated|returned))"),
    _rule(
        Failure("unreachable", retryable=True),
        r"(?i:connection refused)",
        r"\bECONNREFUSED\b",
        r"\bENOTFOUND\b",
        r"\bgetaddrinfo\b",
        r"(?i:name or service not known)",
        r"(?i:temporary failure in name resolution)",
        r"(?i:certificate verify failed)",
        r"\bSSLError\b",
        _http(502),
        r"(?i:\b502 bad gateway)",
    ),
)
"""The first that fits counts. A safety rule without a category has that of the text's support codes."""

OTHER = Failure("other")

PARTIAL = Failure("no_video", retryable=True)
"""Of a job that brought fewer videos than were asked for, where nobody said why."""

_OURS: tuple[tuple[str, Failure], ...] = tuple(
    (texts[name].partition("{")[0], failure)
    for table, name, failure in (
        # What follows is the prompt: it may speak of anything.
        (MESSAGES, "failed_for", OTHER),
        (MESSAGES, "failed_unknown", OTHER),
        (MESSAGES, "cancelled", Failure("cancelled", retryable=True)),
        (NOT_STARTED, "silent", Failure("unreachable", retryable=True)),
        (NOT_STARTED, "none", _ACCESS),
        (GIVEN_UP, "unknown", Failure("timeout", retryable=True)),
        (GIVEN_UP, "silent", Failure("unreachable", retryable=True)),
    )
    for texts in table.values()
)

_NOTHING = tuple(texts["nothing_produced"] for texts in MESSAGES.values())


# Texts up to this length are remembered: the same few failures come again and again.
_SHORT = 1000


def recognise(error: str | None) -> Failure:
    """Why, by a job's stored `error`. Takes time in proportion to its length, whatever it says."""
    text = error or ""
    return _short(text) if len(text) <= _SHORT else _recognise(text)


@lru_cache(maxsize=2048)
def _short(text: str) -> Failure:
    return _recognise(text)


def _recognise(text: str) -> Failure:
    for beginning, failure in _OURS:
        if text.startswith(beginning):
            return failure
    for rule in RULES:
        if rule.pattern.search(text):
            failure = rule.failure
            return failure if failure.kind != "safety" or failure.category else _by_code(text, failure)
    return PARTIAL if text.startswith(_NOTHING) else OTHER


def _by_code(text: str, failure: Failure) -> Failure:
    codes = support_codes(text)
    return failure._replace(category=next((SUPPORT_CODES[c] for c in codes if c in SUPPORT_CODES), "unknown"))


def support_codes(text: str) -> list[str]:
    """The provider's codes of why it refused, known or not."""
    return [code for found in _CODES.findall(text) for code in re.findall(r"\d{8}", found)]


def unknown_codes(text: str) -> list[str]:
    """Those that this table does not know: it grows old."""
    return [code for code in support_codes(text) if code not in SUPPORT_CODES]


# What providers put into their messages that is for their support and our operator alone: what names a project, an
# operation or a request. What such a word is only said of ("the project manager") has no digit, dash or quote.
_QUOTE = r"\\{0,3}[\"'`]"
_SLASH = r"(?:/|%2[fF]|\\/)"
_SET = r"(?:\s{0,3}(?:[:=>]|%3[aAdD])\s{0,3})"
_PRIVATE = re.compile(
    rf"""
      (?P<path>\b(?i:projects|operations|locations|endpoints|organizations|folders){_SLASH}|\b(?:gs|s3)://)
      [^\s"'`,;)<>/%\\…]+
    | (?P<label>\b(?i:(?:x-[\w-]{{1,40}}-)?(?:request|trace|correlation|host)[ _-]?id|id[ ]de[ ](?:la[ ])?requ[êe]te)
      (?![^\W_])(?:{_QUOTE})?
      (?:{_SET}(?:{_QUOTE}|\()?|\s{{1,3}}(?i:(?:is|was|est)\s{{1,3}})?(?:{_QUOTE}|\()?(?=[\w.:/+=-]{{0,64}}\d)))[\w.:/+=-]{{6,}}
    | (?P<named>\b(?i:request|requ[êe]te|trace|operation|opération)\s{{1,3}}(?:{_QUOTE})?)
      (?=[\w-]{{0,64}}\d)(?=[\w-]{{0,64}}[a-zA-Z])[a-zA-Z0-9][\w-]{{5,}}
    | (?P<project>\b(?i:project)(?i:[ _-]?(?:id|number|name))?(?:{_QUOTE})?
      (?:{_SET}|\s{{1,3}}|\s{{0,3}}\()(?P<quote>{_QUOTE})?)
      (?:(?=[\w-]{{0,64}}[\d-])[a-zA-Z0-9][\w-]{{4,}}|(?(quote)[\w-]+|(?!)))
    | (?P<projet>\b(?i:projet)(?:{_SET}|\s{{1,3}})(?:{_QUOTE})?)(?=[\w-]{{0,64}}\d)[a-zA-Z0-9][\w-]{{4,}}
    | \breq_[a-zA-Z0-9]{{8,}}
    | \b[0-9a-fA-F]{{8}}-[0-9a-fA-F]{{4}}-[0-9a-fA-F]{{4}}-[0-9a-fA-F]{{4}}-[0-9a-fA-F]{{12}}\b
    | \b[0-9a-fA-F]{{2}}-[0-9a-fA-F]{{32}}-[0-9a-fA-F]{{16}}-[0-9a-fA-F]{{2}}\b
    | \b(?=[a-fA-F]*\d)[0-9a-fA-F]{{32,}}\b(?:/\d+)?
    | [\w.+-]{{1,64}}@[\w.-]{{1,200}}gserviceaccount\.com
    """,
    re.VERBOSE,
)
_KEPT = ("path", "label", "named", "project", "projet")
_PRIVATE_NAME = re.compile(
    r"(?:x[_-].{0,40}[_-])?(?:(?:request|trace|correlation|host)[_-]?id"
    r"|(?:operation|project)(?:[_-]?(?:id|name|number))?|traceparent)",
    re.IGNORECASE,
)
# Characters.
_WITHIN_MAX = 32 * 1024
_PROMPTS = ("prompt", "prompt_used")

# What quotes a prompt is its user's own words.
_QUOTES_PROMPT = tuple(texts["failed_for"].partition("{")[0] for texts in MESSAGES.values())


def redacted(error: str | None) -> str | None:
    """What a user is shown of an error: secrets, request ids and names of projects are `…`."""
    if error is None or len(error) > _SHORT:
        return None if error is None else _redacted(error)
    return _redacted_short(error)


@lru_cache(maxsize=2048)
def _redacted_short(error: str) -> str:
    return _redacted(error)


def _redacted(error: str) -> str:
    if error.startswith(_QUOTES_PROMPT):
        return error
    return _PRIVATE.sub(_keep_label, without_secrets(error))


def _keep_label(found: re.Match[str]) -> str:
    return next((found[name] for name in _KEPT if found[name]), "") + MARK


def redacted_within(value: Any) -> Any:
    """Likewise of all texts in a JSON value, and of what is named so; prompts stay. Where the texts have more than
    `_WITHIN_MAX` characters together, those that are beyond are `…`: a search takes its time."""
    room = _WITHIN_MAX

    def shown(name: str, inner: Any) -> Any:
        nonlocal room
        if isinstance(inner, dict):
            return {key: shown(key, under) for key, under in inner.items()}
        if isinstance(inner, list):
            return [shown(name, under) for under in inner]
        if not isinstance(inner, str | int) or isinstance(inner, bool) or name in _PROMPTS:
            return inner
        if _PRIVATE_NAME.fullmatch(name) or (isinstance(inner, str) and names_secret(name)):
            return MARK
        if isinstance(inner, int):
            return inner
        room -= len(inner)
        return redacted(inner) if room >= 0 else MARK

    return shown("", value)
