"""What is a webhook, and what is refused, with which words."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import lenient
from app.domain import payload
from app.domain.payload import InvalidPayloadError
from tests.payloads import HALF, V1, body, changed, refused, webhook_of_a_step


@pytest.mark.parametrize(
    ("sent", "user_id"), [(None, None), ("", None), ("é" * 191, "é" * 191), (5, "5"), (2**63, "9223372036854775808")]
)
def test_owner_is_a_text_or_a_whole_number_or_nobody(sent: int | str | None, user_id: str | None) -> None:
    for document in (changed("data.user_id", sent), webhook_of_a_step(user_id=sent)):
        assert payload.parse(body(document)).user_id == user_id


def test_owner_of_an_unfinished_job_must_be_one_too() -> None:
    assert refused(webhook_of_a_step(user_id={"a": 1})) == ["data.user_id"]


def test_status_is_read_in_any_case() -> None:
    assert payload.parse(body(changed("status", "COMPLETED"))).status == "completed"


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("job_id", ..., "job_id"),
        ("job_id", 7, "job_id"),
        ("job_id", "", "job_id"),
        ("job_id", "x" * 192, "job_id"),
        ("status", ..., "status"),
        ("status", "exploded", "status"),
        ("status", None, "status"),
        ("content_type", ..., "content_type"),
        ("content_type", "image", "content_type"),
        ("timestamp", "yesterday", "timestamp"),
        ("timestamp", "9999-12-31T23:59:59Z", "timestamp"),
        ("data.videos", ..., "data.videos"),
        ("data.videos", "none", "data.videos"),
        ("data.videos.0.filename", ..., "data.videos.0.filename"),
        ("data.videos.0.file_path", "", "data.videos.0.file_path"),
        ("data.videos.0.file_size", -1, "data.videos.0.file_size"),
        ("data.videos.0.dimensions", ..., "data.videos.0.dimensions"),
        ("data.videos.0.duration_seconds", "8s", "data.videos.0.duration_seconds"),
        ("data", None, "data"),
        ("timestamp", 1e300, "timestamp"),
        ("timestamp", -1, "timestamp"),
        ("timestamp", True, "timestamp"),
        ("timestamp", "2025-10-23T14:30:61Z", "timestamp"),
        ("timestamp", "2025-02-30T14:30:00Z", "timestamp"),
        ("data.success", "yes", "data.success"),
        ("timestamp", "2025-10-23", "timestamp"),
        ("has_data", "yes", "has_data"),
        ("data.videos.0.file_size", True, "data.videos.0.file_size"),
        ("data.videos.0.file_size", "12", "data.videos.0.file_size"),
        ("data.videos.0.duration_seconds", 1e30, "data.videos.0.duration_seconds"),
        ("data.videos", [{}] * 101, "data.videos"),
        ("data.user_id", {"a": 1}, "data.user_id"),
        ("data.user_id", ["u1"], "data.user_id"),
        ("data.user_id", True, "data.user_id"),
        ("data.user_id", 1.5, "data.user_id"),
        ("data.user_id", "x" * 192, "data.user_id"),
    ],
)
def test_wrong_field_is_named_as_the_sender_wrote_it(path: str, value: object, field: str) -> None:
    assert field in refused(changed(path, value))


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("timestamp", "yesterday", "timestamp: must look like 2025-10-23T14:30:00Z"),
        ("data", [], "data: must be an object"),
        ("data.videos.0", "sunset.mp4", "data.videos.0: must be an object"),
        ("data.videos.0.file_size", True, "data.videos.0.file_size: must be a number"),
        ("data.videos", V1["data"]["videos"] * 101, "data.videos: must have at most 100 items"),
    ],
)
def test_wrong_field_is_told_in_the_words_of_json(path: str, value: object, sentence: str) -> None:
    with pytest.raises(InvalidPayloadError) as error:
        payload.parse(body(changed(path, value)))
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"null", b"NaN", b"\xff\xfe", b'{"a": 1,}', b'{"a":' + b"[" * 100_000 + b"NaN"]
)
def test_what_is_not_a_json_object_is_refused_with_a_sentence(raw: bytes) -> None:
    with pytest.raises(InvalidPayloadError) as error:
        payload.parse(raw)
    assert str(error.value)


@given(
    st.integers(1, payload.DEPTH_MAX),
    st.integers(1, 300) | st.sampled_from([199, 200, 201, 253, 254, 255, 1023, 1024, 1025, 5000]),
    st.sampled_from([(b"[", b"]", 0), (b'{"x":', b"}", 0), (b"[[],", b"]", 1)]),
    st.sampled_from([b"error", b"message", b"unknown"]),
)
def test_body_is_read_to_the_depth_allowed_and_refused_beyond_it(
    max_depth: int, depth: int, brackets: tuple[bytes, bytes, int], field: bytes
) -> None:
    opened, closed, beside = brackets
    inner = opened * depth + b"1" + closed * depth
    raw = b'{"job_id":"j","status":"failed","content_type":"video","%b":%b}' % (field, inner)
    if 1 + depth + beside <= max_depth:
        payload.parse(raw, max_depth)
    else:
        with pytest.raises(InvalidPayloadError, match=r"nested more than|not JSON"):
            payload.parse(raw, max_depth)


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        (body(V1 | {"job_id": "inv", "status": "Exploded"}), ("inv", "exploded", "v1")),
        (body(V1 | {"job_id": "inv", "status": "FAILED", "content_type": "image"}), ("inv", "failed", "v1")),
        (body(changed("data.user_id", [1]) | {"job_id": "é" * 191, "status": "x" * 16}), ("é" * 191, "x" * 16, "v3")),
        (body(V1 | {"job_id": "x" * 192, "status": "x" * 17}), ("cm123abc456", None, "v1")),
        (body({"job_id": "", "status": ""}), (None, None, "v1")),
        (body({"job_id": "x" * 192, "status": " Failed "}), (None, "failed", "v1")),
        (body({"job_id": 7, "status": ["failed"], "error": 1}), ("7", None, "v3")),
        (body({"status": "completed", "data": {"job_id": "inner"}}), ("inner", "completed", "v1")),
        (b'{"job_id":"nan","status":"completed","data":{"videos":[{"file_size":NaN}]}}', ("nan", "completed", "v1")),
        (b'{"job_id":"half \\ud83d","status":"failed"}', (None, "failed", "v1")),
        (b'{"job_id":"cut","status":"completed","data":{"vid', ("cut", "completed", None)),
        (b'[{"job_id": "listed", "status": "failed"}]', ("listed", "failed", None)),
        (b"{'job_id': 'python', 'has_data': True}", ("python", None, None)),
        (b'{"job_id": "a\\"b\\u00e9", "x"', ('a"b\u00e9', None, None)),
        (b'{"job_id": "\\x", "x"', None),
        (body({"status": "İ" * 16}), (None, None, "v1")),  # twice as long in lower case
        (body(V1 | {"data": None}), ("cm123abc456", "completed", "v1")),
        (b'{"job_id":"deep","x":' + b"[" * 200 + b"]" * 200 + b"}", ("deep", None, "v1")),
        (b"[]", None),
        (b"{", None),
    ],
)
def test_what_an_invalid_webhook_names_legibly_is_told_with_its_refusal(
    raw: bytes, named: tuple[str | None, str | None, str | None] | None
) -> None:
    with pytest.raises(InvalidPayloadError) as error:
        payload.parse(raw)
    assert error.value.named == named


def test_body_that_begins_with_a_byte_order_mark_is_read() -> None:
    assert payload.parse(b"\xef\xbb\xbf" + body(V1)).files


@pytest.mark.parametrize("name", ["file_path", "filename", "format"])
def test_name_or_key_that_is_no_text_is_refused_and_not_altered(name: str) -> None:
    raw = body(changed(f"data.videos.0.{name}", "ODD")).replace(b'"ODD"', HALF)
    with pytest.raises(InvalidPayloadError, match=name):
        payload.parse(raw)


@pytest.mark.parametrize("name", ["file_size", "duration_seconds"])
def test_size_or_duration_that_is_no_number_is_refused(name: str) -> None:
    raw = body(changed(f"data.videos.0.{name}", "ODD")).replace(b'"ODD"', b"NaN")
    with pytest.raises(InvalidPayloadError, match=name):
        payload.parse(raw)


def test_owner_that_is_no_text_is_refused_and_not_altered() -> None:
    with pytest.raises(InvalidPayloadError, match="user_id"):
        payload.parse(body(changed("data.user_id", "ODD")).replace(b'"ODD"', HALF))


@pytest.mark.parametrize("said", [False, 0, "false", "False"])
def test_no_success_is_understood_however_it_is_written(said: bool | int | str) -> None:
    update = payload.parse(body(changed("data.success", said)))
    assert (update.has_data, update.files) == (True, ())
    assert payload.parse(body(V1 | {"has_data": said, "data": {"success": said}})).has_data


@pytest.mark.parametrize("said", [True, 1, "true", "True"])
def test_success_is_understood_however_it_is_written(said: bool | int | str) -> None:
    assert payload.parse(body(changed("data.success", said) | {"has_data": said})).files


def test_files_are_taken_even_beside_has_data_false() -> None:
    assert payload.parse(body(changed("has_data", value=False))).files


def test_completion_without_data_has_none() -> None:
    update = payload.parse(body(V1 | {"has_data": False, "data": None}))
    assert (update.has_data, update.files) == (False, ())


def test_unsuccessful_completion_brings_no_file() -> None:
    update = payload.parse(body(changed("data.success", value=False)))
    assert (update.has_data, update.files) == (True, ())


@pytest.mark.parametrize("has_data", [True, False, None])
@pytest.mark.parametrize("data", [{"success": False}, {"success": False, "videos": []}])
def test_unsuccessful_completion_waits_for_no_files_whatever_it_says_of_its_data(
    has_data: bool | None, data: dict[str, Any]
) -> None:
    update = payload.parse(body(V1 | {"has_data": has_data, "data": data, "error": "quota"}))
    assert (update.has_data, update.files, update.error) == (True, (), "quota")


def test_refusal_of_a_long_body_is_short() -> None:
    with pytest.raises(InvalidPayloadError) as error:
        payload.parse(body(changed("data.videos", [{"x" * 5000: 1}] * 90)))
    assert len(error.value.details) == 20


def test_same_key_twice_in_one_payload_is_one_file() -> None:
    video = V1["data"]["videos"][0]
    assert len(payload.parse(body(changed("data.videos", [video, video]))).files) == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text('aé😀"\\ 8s-:TZ', max_size=8),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.sampled_from(["videos", "user_id", "x"]), children, max_size=3)
    ),
    max_leaves=8,
)

fields = ["job_id", "status", "content_type", "timestamp", "has_data", "data", "error", "message"]


@given(
    st.dictionaries(st.sampled_from(fields), json_values), st.sampled_from(["data", "data.metadata", "data.videos.0"])
)
def test_no_body_does_anything_but_parse_or_be_refused(changes: dict[str, Any], where: str) -> None:
    try:
        raw = body(V1 | changes)
        nested = body(changed(where, changes))
    except TypeError:
        return  # an integer that JSON here cannot hold
    for one in (raw, nested):
        try:
            payload.parse(one)
        except InvalidPayloadError as error:
            assert error.details


def test_what_our_own_code_stumbles_over_is_kept_as_invalid_and_names_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """A 500 would keep nothing of a paid video."""
    monkeypatch.setattr(payload, "_upgrade", lambda _document: 1 // 0)
    with pytest.raises(payload.InvalidPayloadError, match="cannot be read \\(ZeroDivisionError\\)") as caught:
        payload.parse(b'{"job_id": "j1", "status": "completed"}')
    assert caught.value.named is not None
    assert caught.value.named.job_id == "j1"


@pytest.mark.parametrize("many", [b"[%b{}]", b"[%b[]]", b"[%b0]", b'{%b"":0}', b"[%bNaN]"])
def test_more_values_than_allowed_are_refused_before_they_are_read(
    many: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = many[:-1].rpartition(b"%b")[2]
    raw = b'{"job_id":"j","status":"failed","content_type":"video","x":' + many % ((value + b",") * 1000) + b"}"
    assert payload.parse(raw, max_values=2100).job_id == "j"
    monkeypatch.setattr(lenient, "read", lambda read: orjson.loads(read) if len(read) < 9 else pytest.fail(read))
    with pytest.raises(InvalidPayloadError, match="the body has more than 900 values") as error:
        payload.parse(raw, max_values=900)
    assert error.value.named == ("j", "failed", None)


@pytest.mark.parametrize("text", ["a, b, " * 1000, '\\",[{' * 1000, "\\", '"', '\\"' * 999 + "\\"])
def test_commas_and_brackets_of_a_text_are_no_values(text: str) -> None:
    sent = {"job_id": "j", "status": "failed", "content_type": "video", "error": text, "x": [text]}
    assert payload.parse(body(sent), max_values=20).error == text


@given(
    st.recursive(
        st.none() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(max_size=3), inner, max_size=9),
    )
)
def test_count_of_values_is_never_less_than_they_are_and_at_most_twice_as_many(value: object) -> None:
    raw, count = orjson.dumps(value), _count(value)
    assert not lenient.has_more_values(raw, 2 * count)
    if count > 1:
        assert lenient.has_more_values(raw, count - 2)


def _count(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_count, inner))


@pytest.mark.parametrize(
    ("path", "most"), [("file_size", 2**63 - 1), ("dimensions.width", 2**31 - 1), ("dimensions.height", 2**31 - 1)]
)
def test_size_that_no_column_holds_is_refused_by_its_field(path: str, most: int) -> None:
    assert payload.parse(body(changed(f"data.videos.0.{path}", most)))
    assert refused(changed(f"data.videos.0.{path}", most + 1)) == [f"data.videos.0.{path}"]
