"""Why a generation failed: what is recognised, what is not, and what a user is not shown."""

import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import failure
from app.domain.failure import (
    KINDS,
    OTHER,
    PARTIAL,
    RULES,
    SUPPORT_CODES,
    Failure,
    Kind,
    Side,
    recognise,
    redacted,
    redacted_within,
    unknown_codes,
)
from app.texts import ADVICE, GIVEN_UP, MESSAGES, NOT_STARTED, Language, advice

RAI = "violates Google's Responsible AI practices. If you think this was an error, send feedback."

# (what was seen, kind, side, category, whether it may pass, whether only the operator can act)
SEEN = [
    ("Veo could not generate videos because the input image violates usage guidelines. Support codes: 15236754",
     "safety", "image", "celebrity", False, False),
    (f"The prompt could not be submitted. This prompt contains sensitive words that {RAI} Support codes: 58061214",
     "safety", "prompt", "child", False, False),
    ("This prompt couldn't be submitted because it might violate our policies.",
     "safety", "prompt", "unknown", False, False),
    (f"The video could not be generated. It contains sensitive words that {RAI} Support codes: 42237218",
     "safety", "output", "video_safety", True, False),
    ('{"raiMediaFilteredCount": 2, "raiMediaFilteredReasons": ["We encountered a problem. Support codes: 61493863"]}',
     "safety", "output", "violence", True, False),
    ('{"generateVideoResponse": {"raiMediaFilteredCount": 1}}', "safety", "output", "unknown", True, False),
    ("The input or output was flagged as sensitive. Please try again with different inputs. (E005)",
     "safety", None, "unknown", False, False),
    ("PUBLIC_ERROR_UNSAFE_GENERATION", "safety", None, "unknown", False, False),
    ("PUBLIC_ERROR_MINOR", "safety", None, "child", False, False),
    ("PUBLIC_ERROR_SEXUAL", "safety", None, "sexual", False, False),
    ("PUBLIC_ERROR_PROMINENT_PEOPLE_FILTER_FAILED", "safety", None, "celebrity", False, False),
    ("PUBLIC_ERROR_VIOLENCE_FILTER", "safety", None, "violence", False, False),
    ("PUBLIC_ERROR_DANGER_FILTER", "safety", None, "dangerous", False, False),
    ("PUBLIC_ERROR_IP_INPUT_IMAGE", "safety", "image", "third_party_content", False, False),
    ("PUBLIC_ERROR_MINOR_UPLOAD", "safety", "image", "child", False, False),
    ("INVALID_ARGUMENT: refused. Support codes: 12345678", "safety", None, "unknown", False, False),
    ("We encountered an issue with the audio for your prompt and can't create the video. You have not been charged.",
     "audio", None, None, True, False),
    ("PUBLIC_ERROR_AUDIO_FILTERED", "audio", None, None, True, False),
    ("429 RESOURCE_EXHAUSTED. Resource exhausted. Please try again later.", "quota", "rate", None, True, False),
    ("rateLimitExceeded", "quota", "rate", None, True, False),
    ("PUBLIC_ERROR_HIGH_TRAFFIC", "quota", "rate", None, True, False),
    ("PUBLIC_ERROR_USER_REQUESTS_THROTTLED", "quota", "rate", None, True, False),
    ("Resource has been exhausted (e.g. check quota).", "quota", "rate", None, True, False),
    ("429 RESOURCE_EXHAUSTED. You exceeded your current quota, please check your plan and billing details.",
     "quota", "day", None, False, False),
    ("PUBLIC_ERROR_USER_QUOTA_REACHED", "quota", "day", None, False, False),
    ("400 FAILED_PRECONDITION. User location is not supported for the API use.", "access", None, None, False, True),
    ("403 PERMISSION_DENIED. The caller does not have permission", "access", None, None, False, True),
    ("PUBLIC_ERROR_MODEL_ACCESS_DENIED", "access", None, None, False, True),
    ("404 Publisher Model `projects/p/models/veo-9` was not found or your project does not have access to it.",
     "access", None, None, False, True),
    ("code: 13 Internal error: model is not enabled", "access", None, None, False, True),
    ("400 INVALID_ARGUMENT. allow_all for personGeneration is currently not supported.",
     "parameter", "persons", None, False, False),
    ("400 INVALID_ARGUMENT. Invalid resource field value in the request.", "parameter", None, None, False, True),
    ("400 INVALID_ARGUMENT. Input image is too large.", "parameter", "image", None, False, False),
    ("400 INVALID_ARGUMENT. The prompt is too long.", "parameter", "prompt", None, False, False),
    ("The Operation ID must be a Long, but was instead: abc", "parameter", None, None, False, True),
    ("{'code': 1, 'message': 'stopped'}", "cancelled", None, None, True, False),
    ("499 CANCELLED", "cancelled", None, None, True, False),
    ("504 DEADLINE_EXCEEDED. Deadline expired before operation could complete.", "timeout", None, None, True, False),
    ("{'code': 4, 'message': ''}", "timeout", None, None, True, False),
    ("PUBLIC_ERROR_VIDEO_GENERATION_TIMED_OUT", "timeout", None, None, True, False),
    ("Operation timed out after 600 seconds", "timeout", None, None, True, False),
    ("Timeout: la génération a dépassé 600 s", "timeout", None, None, True, False),
    ("500 INTERNAL. Internal error encountered.", "transient", None, None, True, False),
    ('{"code": 13, "message": "Internal error encountered."}', "transient", None, None, True, False),
    ("503 UNAVAILABLE. The model is overloaded. Please try again later.", "transient", None, None, True, False),
    ("An error occurred (AccessDenied) when calling the PutObject operation: Access Denied",
     "storage", None, None, True, False),
    ("Generated, but the download failed", "storage", None, None, True, False),
    ("No videos were generated.", "no_video", None, None, True, False),
    ("HTTPConnectionPool(host='backend', port=5001): Connection refused", "unreachable", None, None, True, False),
    ("[Errno -2] Name or service not known", "unreachable", None, None, True, False),
    ("SSL: CERTIFICATE_VERIFY_FAILED, certificate verify failed", "unreachable", None, None, True, False),
    ("HTTP 502", "unreachable", None, None, True, False),
    ("download failed: the film about INTERNAL affairs", "storage", None, None, True, False),
    ("Failed to download: 503 UNAVAILABLE", "storage", None, None, True, False),
    ("INTERNAL error", "transient", None, None, True, False),
    ("{'status': 'INTERNAL', 'details': []}", "transient", None, None, True, False),
]  # fmt: skip

# Three a kind, which speak of the same and are not it.
PARAPHRASES = [
    "An image of guidelines on a wall", "The prompt was submitted by a sensitive man", "Support for codes: 123",
    "raiMediaFilteredCount: 0", "a film that was rated unsafe for minors", "He could not be generated twice",
    "The audio of the sea was requested", "issue with the radio for your prompt", "an audio filter was wanted",
    "She exhausted all her resources", "4290 birds", "a quota of fish per day",
    "Access to the beach is forbidden at night", "The publisher found a model", "precondition: calm sea",
    "an argument about invalid parking", "personGeneration", "a long operation",
    "The flight was cancelled", "code: 11", "a cancelled stamp, macro shot",
    "The children had a time out after lunch", "the deadline of a newspaper", "code: 42",
    "internal organs of a clock", "a film about INTERNAL affairs", "an unavailable taxi", "code: 130",
    "a folder to which access is denied", "a man downloads a film", "an upload bar at 50 %",
    "no video was ever as good", "A video was produced", "nothing was shown",
    "a connection that she refused to end", "502 sheep", "an unknown host of a party",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "kind", "side", "category", "retryable", "operator"), SEEN, ids=[s[0][:40] for s in SEEN]
)
def test_what_was_seen_is_recognised(
    text: str, kind: Kind, side: Side | None, category: str | None, retryable: bool, operator: bool
) -> None:
    assert recognise(text) == Failure(kind, side, category, retryable, operator)


@pytest.mark.parametrize("text", PARAPHRASES)
def test_what_only_speaks_of_the_same_is_not_taken_for_it(text: str) -> None:
    assert recognise(text) == OTHER


@pytest.mark.parametrize("number", range(len(RULES)))
def test_every_rule_is_needed_for_something_that_was_seen(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """A pattern that a change has made match nothing fails here."""
    monkeypatch.setattr(failure, "RULES", RULES[:number] + RULES[number + 1 :])
    assert any(failure._recognise(text)[:3] != tuple(expected[:3]) for text, *expected in SEEN)


@pytest.mark.parametrize(("code", "category"), SUPPORT_CODES.items())
def test_each_support_code_says_its_category(code: str, category: str) -> None:
    found = recognise(f"We could not do it. Support codes: {code}")
    assert (found.kind, found.category) == ("safety", category)
    assert recognise(f"(support code {code})").category == category


def test_of_several_codes_the_first_that_is_known_counts_and_those_unknown_are_told() -> None:
    text = "Support codes: 99999999, 61493863"
    assert recognise(text).category == "violence"
    assert unknown_codes(text) == ["99999999"]
    assert unknown_codes("Job 99999999 failed") == []


@pytest.mark.parametrize("language", ["fr", "en"])
def test_what_this_service_says_itself_is_recognised_and_no_prompt_is(language: str) -> None:
    says, not_started, given_up = MESSAGES[language], NOT_STARTED[language], GIVEN_UP[language]
    assert recognise(says["failed_for"].format(prompt="499 CANCELLED, RESOURCE_EXHAUSTED")) == OTHER
    assert recognise(says["failed_unknown"]) == OTHER
    assert recognise(says["cancelled"]).kind == "cancelled"
    assert recognise(says["nothing_produced"]) == PARTIAL
    assert recognise(f"{says['nothing_produced']}: raiMediaFilteredCount: 1").kind == "safety"
    assert recognise(not_started["refused"].format(reason="PUBLIC_ERROR_SEXUAL")).category == "sexual"
    assert recognise(not_started["unexplained"].format(status=503)).kind == "transient"
    assert recognise(not_started["unexplained"].format(status=502)).kind == "unreachable"
    assert recognise(not_started["silent"]).kind == "unreachable"
    assert recognise(not_started["none"]) == Failure("access", operator=True)
    assert recognise(given_up["silent"].format(span="24 h")).kind == "unreachable"
    assert recognise(given_up["unknown"].format(span="24 h")).kind == "timeout"


@pytest.mark.parametrize("error", [None, "", "Boom", "Ça n'a pas marché"])
def test_what_is_not_known_is_other(error: str | None) -> None:
    assert recognise(error) == OTHER


PIECES = st.lists(
    st.sampled_from([text for text, *_ in SEEN] + PARAPHRASES + [" ", "\n", "é", "{"]) | st.text(max_size=20)
)


@given(PIECES.map("".join))
def test_whatever_is_said_is_of_one_kind_and_what_is_shown_of_it_stays_the_same(text: str) -> None:
    found = recognise(text)
    assert found.kind in KINDS
    assert (found.category is None) == (found.kind != "safety")
    assert redacted(redacted(text)) == redacted(text)
    assert recognise(text) == found


@pytest.mark.parametrize(
    "piece",
    [
        "could not be submitted ",
        "image ",
        "Support codes: ",
        "code ",
        "project ",
        "request id: ",
        "a-",
        "operation ",
        "request id is ",
        "x-a-request-id",
        "projet a",
        "projects/",
        "gs://",
        "0",
        "a0",
    ],
)
def test_long_text_takes_time_in_proportion_to_its_length(piece: str) -> None:
    def seconds(size: int) -> float:
        text = (piece * size)[:size]
        began = time.process_time()
        recognise(text)
        redacted(text)
        return time.process_time() - began

    seconds(1000)
    assert seconds(16_000) < 40 * max(seconds(2_000), 0.001)


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("Publisher Model `projects/my-project-7/locations/us/models/veo` was not found",
         "Publisher Model `projects/…/locations/…/models/veo` was not found"),
        ("Consumer 'project_number:123456789012' is over quota", "Consumer 'project_number:…' is over quota"),
        ("denied on project my-project-7.", "denied on project …."),
        ("your project does not have access", "your project does not have access"),
        ("AccessDenied: RequestId: 4442587FB7D0A2F9, HostId: vYg/abc+def=", "AccessDenied: RequestId: …, HostId: …"),
        ("request_id=abc-def-123456 failed", "request_id=… failed"),
        ("x-goog-request-id: 8f14e45fceea167a", "x-goog-request-id: …"),
        ("trace 0af7651916cd43dd8448eb211c80319c", "trace …"),
        ("operation 3f2504e0-4f89-11d3-9a0c-0305e82c3301 failed", "operation … failed"),
        ("veo-sa@my-project-7.iam.gserviceaccount.com may not", "… may not"),
        ("operations/abcdef0123 is gone", "operations/… is gone"),
        ("Support codes: 42237218", "Support codes: 42237218"),
        ("La scène demandée n'est pas possible", "La scène demandée n'est pas possible"),
        ("500 Internal (request 4442587FB7D0A2F9)", "500 Internal (request …)"),
        ("<RequestId>4442587F</RequestId><HostId>a/bc12=</HostId>", "<RequestId>…</RequestId><HostId>…</HostId>"),
        ("request_id='req_011CSHoEeqs5C35K2UUqR7Fy'", "request_id='…'"),
        ("req_011CSHoEeqs5C35K2UUqR7Fy failed", "… failed"),
        ("Request id is 9f86d081884c7d65", "Request id is …"),
        ("requestId%3D9f86d081884c7d65", "requestId%3D…"),
        ("requestId:\n9f86d081884c7d65", "requestId:\n…"),
        ("id de requête : 9f86d081884c7d65", "id de requête : …"),
        ("X-Cloud-Trace-Context: 105445aa7843bc8bf206b12000100000/1", "X-Cloud-Trace-Context: …"),
        ("traceparent 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "traceparent …"),
        ("TRACE 0AF7651916CD43DD8448EB211C80319C", "TRACE …"),
        ("le projet my-startup-123 est inconnu", "le projet … est inconnu"),
        ("resource project my-startup (or it may not exist)", "resource project … (or it may not exist)"),
        ("Project `startup` is not allowed", "Project `…` is not allowed"),
        (r'{\"project\":\"startup\"}', r'{\"project\":\"…\"}'),
        (r'project=\"my-startup\"', r'project=\"…\"'),
        ("overview?project=1048576 then retry", "overview?project=… then retry"),
        ("gs://my-startup-videos/out", "gs://…/out"),
        ("projects%2Fmy-startup%2Flocations", "projects%2F…%2Flocations"),
        (r"projects\/my-startup\/x", r"projects\/…\/x"),
        ("Operation abc123 failed", "Operation … failed"),
        ("L'opération abc123 a échoué", "L'opération … a échoué"),
        ("url: /v1?key=AIzaSyA1234567890abcdefghijkl for projects/p1", "url: /v1?key=… for projects/…"),
        (None, None),
    ],
)  # fmt: skip
def test_request_ids_and_names_of_projects_are_not_shown(error: str | None, shown: str | None) -> None:
    assert redacted(error) == shown


@pytest.mark.parametrize(
    "text",
    [
        "The project manager said no", "This project-wide quota is used up", "project: a film about the sea",
        "request identity", "the request idea that failed", "host idle timeout 30s", "1 sur 2 projet(s)",
        "folders/ and operations/ are words", "The operation timed out", "request 2 of 4", "operation 404 failed",
        "ce projet peut-être refusé", "a trace of gold", *PARAPHRASES,
    ],
)  # fmt: skip
def test_plain_words_are_shown_as_they_are(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize("language", ["fr", "en"])
def test_prompt_is_shown_as_its_user_wrote_it(language: str) -> None:
    error = MESSAGES[language]["failed_for"].format(prompt="project apollo-11, key=gold")
    assert redacted(error) == error


def test_metadata_is_shown_without_what_is_private_and_of_much_the_rest_not_at_all() -> None:
    assert redacted_within({"a": ["gs://b1/x", 1], "traceId": "x", "jwt": "y", "prompt": "project a-1"}) == {
        "a": ["gs://…/x", 1],
        "traceId": "…",
        "jwt": "…",
        "prompt": "project a-1",
    }
    assert redacted_within(["g" * 20_000, "h" * 20_000, "i"]) == ["g" * 20_000, "…", "…"]


@pytest.mark.parametrize("language", ["fr", "en"])
def test_every_failure_that_there_can_be_has_advice(language: Language) -> None:
    for found in {OTHER, PARTIAL} | {rule.failure for rule in RULES}:
        for category in {None, "unknown", *SUPPORT_CODES.values()} if found.kind == "safety" else {None}:
            assert len(advice(found._replace(category=category), language)) > 20
    assert ADVICE["fr"].keys() == ADVICE["en"].keys()
    assert not any(re.search(r"\{|\}", text) for text in ADVICE[language].values())


def test_page_about_failures_has_every_kind_side_and_category() -> None:
    page = (Path(__file__).parents[2] / "docs/failures.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| (.*?) \| (.*?) \| (.*?) \|$", page, re.MULTILINE)
    assert tuple(kind for kind, *_ in rows) == KINDS
    for kind, sides, retryable, operator in rows:
        found = [rule.failure for rule in RULES if rule.failure.kind == kind] or [OTHER]
        assert {f.side for f in found if f.side} == set(re.findall(r"`(\w+)`", sides))
        assert any(f.retryable for f in found) == (retryable != "no")
        assert any(f.operator for f in found) == (operator != "no")
    assert set(SUPPORT_CODES.values()) <= set(re.findall(r"`(\w+)`", page))
