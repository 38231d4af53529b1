"""The versions of the payload, and what is not a webhook."""

import copy
import json
import time
from datetime import datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import lenient
from app.domain import payload
from app.domain.fields import SECONDS_MAX
from app.domain.named import COLUMN_MAX
from app.domain.payload import InvalidPayloadError
from app.times import microseconds, moment

V1: dict[str, Any] = {
    "job_id": "cm123abc456",
    "status": "completed",
    "content_type": "video",
    "timestamp": "2025-10-23T14:30:00Z",
    "has_data": True,
    "data": {
        "job_id": "cm123abc456",
        "videos": [
            {
                "filename": "sunset.mp4",
                "file_path": "/videos/sunset.mp4",
                "file_url": "https://files/sunset.mp4",
                "file_size": 15728640,
                "format": "mp4",
                "duration_seconds": 8,
                "aspect_ratio": "16:9",
                "dimensions": {"width": 1920, "height": 1080},
                "created_at": "2025-10-23T14:30:00Z",
            }
        ],
        "metadata": {"model_name": "veo-2.0-generate-001", "processing_time": 120.5, "prompt_used": "Un coucher"},
        "generated_at": "2025-10-23T14:30:00Z",
        "success": True,
    },
    "environment": "development",
}

V2_VIDEO = {
    "filename": "sunset.mp4",
    "s3_key": "k/sunset.mp4",
    "url": "https://files/2",
    "file_url": None,
    "file_size": 5,
    "format": "mp4",
    "duration_seconds": 8,
    "aspect_ratio": "16:9",
    "dimensions": {"width": 1920, "height": 1080},
}

V3_VIDEO = {"filename": "sunset.mp4", "s3_key": "k/sunset.mp4", "s3_url": "https://files/3", "size_bytes": 5}


def body(document: dict[str, Any]) -> bytes:
    return orjson.dumps(document)


def changed(path: str, value: object = ..., document: dict[str, Any] = V1) -> dict[str, Any]:
    """A copy with the field at a.b.0.c set, or taken out."""
    made = copy.deepcopy(document)
    *parents, last = [int(p) if p.isdigit() else p for p in path.split(".")]
    at: Any = made
    for part in parents:
        at = at[part]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return made


def with_video(video: dict[str, Any], **data: Any) -> dict[str, Any]:
    return V1 | {"data": {"videos": [video], "success": True} | data}


def webhook_of_a_step(**data: Any) -> dict[str, Any]:
    return {"job_id": "j", "status": "generating", "content_type": "video", "data": data}


def refused(document: dict[str, Any]) -> list[str]:
    with pytest.raises(InvalidPayloadError) as error:
        payload.parse(body(document))
    return [detail["field"] for detail in error.value.details]


def test_the_product_documents_payload_is_v1() -> None:
    update = payload.parse(body(V1))
    assert (update.version, update.files[0].s3_key) == ("v1", "/videos/sunset.mp4")
    assert update.files[0].url == "https://files/sunset.mp4"
    assert update.processing_time == 120.5


def test_s3_key_and_url_make_it_v2() -> None:
    update = payload.parse(body(with_video(V2_VIDEO)))
    assert (update.version, update.files[0].s3_key, update.files[0].url) == ("v2", "k/sunset.mp4", "https://files/2")


@pytest.mark.parametrize(
    ("document", "version"),
    [
        (webhook_of_a_step(), "v1"),
        (webhook_of_a_step(user_id="u1"), "v3"),
        (webhook_of_a_step() | {"message": "m"}, "v3"),
        (webhook_of_a_step() | {"error": "e"}, "v3"),
        *((webhook_of_a_step(videos=[{}, {name: 1}]), "v3") for name in ("size_bytes", "duration", "s3_url")),
        *((webhook_of_a_step(videos=[{}, {name: 1}]), "v2") for name in ("s3_key", "url")),
        (webhook_of_a_step(videos=[{"file_path": 1, "s3_kez": 1}]), "v1"),
        (webhook_of_a_step(videos=[{"s3_key": 1, "duration": 1}]), "v3"),
    ],
)  # fmt: skip
def test_version_is_found_by_each_of_its_fields(document: dict[str, Any], version: str) -> None:
    assert payload.parse(body(document)).version == version


def test_of_two_names_of_a_field_the_newer_counts() -> None:
    both = V3_VIDEO | {"duration": 8, "duration_seconds": 9, "file_size": 6, "file_path": "p", "file_url": "https://f"}
    file = payload.parse(body(with_video(both))).files[0]
    assert (file.duration_seconds, file.size, file.s3_key, file.url) == (8, 5, "k/sunset.mp4", "https://files/3")
    assert payload.parse(body(with_video(both | {"url": "https://u"}))).files[0].url == "https://u"
    assert payload.parse(body(with_video(V2_VIDEO | {"file_url": "https://f"}))).files[0].url == "https://files/2"


def test_error_is_told_before_the_message_and_the_message_without_one() -> None:
    sent = {"job_id": "j", "status": "failed", "content_type": "video", "message": "m"}
    assert payload.parse(body(sent)).error == "m"
    assert payload.parse(body(sent | {"error": ""})).error == "m"
    assert payload.parse(body(sent | {"error": "e"})).error == "e"


@pytest.mark.parametrize(("sent", "whole"), [(8, 8), (8.5, 9), ("8.0", 8), ("8s", 8), ("8.4s", 8), (0, 0)])
def test_v3_duration_is_read_in_all_its_forms(sent: float | str, whole: int) -> None:
    update = payload.parse(body(with_video(V3_VIDEO | {"duration": sent}, user_id="u1")))
    assert (update.version, update.files[0].duration_seconds, update.user_id) == ("v3", whole, "u1")


def test_v3_fills_in_what_may_be_missing() -> None:
    made = payload.parse(body(with_video(V3_VIDEO | {"duration": 8}))).files[0]
    assert (made.format, made.aspect_ratio, made.width, made.height) == ("mp4", "16:9", 1920, 1080)
    assert made.url == "https://files/3"


NULLS = dict.fromkeys(["format", "aspect_ratio", "dimensions", "created_at", "url", "s3_url", "file_url"])


@pytest.mark.parametrize(
    ("video", "version", "file"),
    [
        (V3_VIDEO | {"duration": 8} | NULLS, "v3", ("k/sunset.mp4", 5, 8, "mp4", "16:9", 1920, 1080)),
        (
            V1["data"]["videos"][0] | dict.fromkeys(["s3_key", "size_bytes", "duration"]),
            "v3", ("/videos/sunset.mp4", 15728640, 8, "mp4", "16:9", 1920, 1080),
        ),
        (
            V3_VIDEO | {"duration": 8, "file_path": None, "file_size": None, "duration_seconds": None},
            "v3", ("k/sunset.mp4", 5, 8, "mp4", "16:9", 1920, 1080),
        ),
        (
            V2_VIDEO | {"s3_key": None, "file_path": "p/sunset.mp4", "created_at": None},
            "v2", ("p/sunset.mp4", 5, 8, "mp4", "16:9", 1920, 1080),
        ),
        (
            V1["data"]["videos"][0] | {"file_url": None, "created_at": None},
            "v1", ("/videos/sunset.mp4", 15728640, 8, "mp4", "16:9", 1920, 1080),
        ),
    ],
)  # fmt: skip
def test_null_is_as_good_as_nothing_where_a_field_may_be_missing(
    video: dict[str, Any], version: str, file: tuple[int | str, ...]
) -> None:
    update = payload.parse(body(with_video(video, user_id=None) if version == "v3" else with_video(video)))
    made = update.files[0]
    assert update.version == version
    assert (
        made.s3_key, made.size, made.duration_seconds, made.format, made.aspect_ratio, made.width, made.height
    ) == file  # fmt: skip


@pytest.mark.parametrize(
    ("video", "field"),
    [
        (V3_VIDEO | {"duration": None}, "duration"),
        (V3_VIDEO | {"duration": 8, "s3_key": None, "file_path": None}, "s3_key"),
        (V3_VIDEO | {"duration": 8, "filename": None}, "filename"),
        (V2_VIDEO | {"format": None}, "format"),
        (V2_VIDEO | {"s3_key": None}, "s3_key"),
        (V1["data"]["videos"][0] | {"dimensions": None}, "dimensions"),
        (V1["data"]["videos"][0] | {"file_path": None}, "file_path"),
    ],
)
def test_null_where_a_field_is_required_is_refused_by_its_name(video: dict[str, Any], field: str) -> None:
    assert refused(with_video(video)) == [f"data.videos.0.{field}"]


def test_v3_failure_brings_its_own_error() -> None:
    update = payload.parse(body({"job_id": "j", "status": "failed", "content_type": "video", "error": "quota"}))
    assert (update.version, update.error) == ("v3", "quota")


@pytest.mark.parametrize(
    ("sent", "user_id"), [(None, None), ("", None), ("é" * 191, "é" * 191), (5, "5"), (2**63, "9223372036854775808")]
)
def test_owner_is_a_text_or_a_whole_number_or_nobody(sent: int | str | None, user_id: str | None) -> None:
    for document in (changed("data.user_id", sent), webhook_of_a_step(user_id=sent)):
        assert payload.parse(body(document)).user_id == user_id


def test_owner_of_an_unfinished_job_must_be_one_too() -> None:
    assert refused(webhook_of_a_step(user_id={"a": 1})) == ["data.user_id"]


CONFIG = {"aspect_ratio": "9:16", "duration_seconds": 5, "person_generation": "DONT_ALLOW"}


@pytest.mark.parametrize(
    ("data", "order"),
    [
        ({"prompt": "A calm sea"}, {"prompt": "A calm sea"}),
        ({"prompt": "A calm sea", "metadata": {"prompt_used": "La mer"}}, {"prompt": "La mer"}),
        ({"metadata": {"config_used": CONFIG}}, {"prompt": ""} | CONFIG),
        ({"metadata": {"config_used": CONFIG | {"aspect_ratio": None, "duration_seconds": "5"}}},
         {"prompt": "", "person_generation": "DONT_ALLOW"}),
        ({"metadata": {"config_used": dict.fromkeys(CONFIG, "x" * 192)}}, {"prompt": ""}),
        ({"metadata": {"config_used": dict.fromkeys(CONFIG, 2**31)}}, {"prompt": ""}),
        ({"metadata": {"config_used": dict.fromkeys(CONFIG, True)}}, {"prompt": ""}),
        ({"metadata": [1], "prompt": ""}, {"prompt": ""}),
        ({"metadata": {"config_used": "x"}, "prompt": None}, {"prompt": ""}),
    ],
)  # fmt: skip
def test_order_of_a_job_is_read_from_what_fits(data: dict[str, Any], order: dict[str, Any]) -> None:
    assert payload.order(body(webhook_of_a_step(**data))) == order


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


def test_time_without_a_zone_is_utc() -> None:
    naive = payload.parse(body(changed("timestamp", "2025-10-23T14:30:00.123456")))
    assert naive.timestamp == microseconds(datetime.fromisoformat("2025-10-23T14:30:00.123456+00:00"))
    shifted = payload.parse(body(changed("timestamp", "2025-10-23T16:30:00.123456+02:00")))
    assert shifted.timestamp == naive.timestamp


@pytest.mark.parametrize("path", ["timestamp", "data.generated_at", "data.videos.0.created_at"])
@pytest.mark.parametrize(
    "sent",
    [
        "2025-10-23T14:30:00+00:00Z", "2025-10-23 14:30:00", "2025-10-23t14:30:00z", "2025-10-23T14:29:60Z",
        "2025-10-23T14:30:00.000000000Z", " 2025-10-23T14:30:00Z\n", "2025-10-23T16:30:00+02:00Z",
        "2025-10-23T14:30Z", 1761229800, 1761229800.0, "1761229800", 1761229800000, "1761229800000",
    ],
)  # fmt: skip
def test_time_is_read_however_senders_write_it(path: str, sent: float | str) -> None:
    update = payload.parse(body(changed(path, sent)))
    assert (update.timestamp, update.generated_at, update.files[0].created_at) == (1761229800_000_000,) * 3


@pytest.mark.parametrize(
    ("sent", "year"), [(2_100_000_000, 2036), ("4102444800", 2100), (2_100_000_000_000, 2036), (31_536_000_000, 1971)]
)
def test_seconds_and_milliseconds_since_1970_are_told_apart(sent: int | str, year: int) -> None:
    timestamp = payload.parse(body(changed("timestamp", sent))).timestamp
    assert timestamp is not None
    assert moment(timestamp).year == year


@pytest.mark.parametrize("path", ["timestamp", "data.generated_at", "data.videos.0.created_at"])
@pytest.mark.parametrize("sent", ["", " ", None])
def test_empty_text_is_no_time(path: str, sent: str | None) -> None:
    update = payload.parse(body(changed(path, sent)))
    found = (update.timestamp, update.generated_at, update.files[0].created_at)
    assert sorted(map(bool, found)) == [False, True, True]


ODD = [None, True, [], ["x"], {"a": 1}, "x", "", "yesterday", -1, -0.003, 1e300, 2**63, "\u0000", "12:00"]


@pytest.mark.parametrize(
    "path",
    [
        "data.metadata", "data.generated_at", "data.videos.0.created_at", "error", "message", "data.prompt",
        *(f"data.metadata.{name}" for name in (
            "model_name", "model_version", "processing_time", "generation_time", "download_time", "prompt_used",
            "config_used", "anything",
        )),
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", ODD, ids=repr)
def test_paid_video_is_never_refused_for_what_only_describes_it(path: str, value: object) -> None:
    document = changed(path, value)
    update = payload.parse(body(document))
    assert update.files[0].s3_key == "/videos/sunset.mp4"
    for seconds in (update.processing_time, update.generation_time, update.download_time):
        assert seconds is None or 0 <= seconds <= 10_000_000
    assert update.model is None or isinstance(update.model, str)
    payload.order(body(document))
    key(document)


@pytest.mark.parametrize(
    ("name", "sent", "taken"),
    [
        ("model_version", 3, "3"), ("model_version", 3.1, "3.1"), ("model_name", True, None),
        ("processing_time", "120.5", 120.5), ("processing_time", "120.5s", 120.5), ("processing_time", -0.003, None),
        ("download_time", 0, 0.0), ("generation_time", "long", None), ("generation_time", 10_000_001, None),
    ],
)  # fmt: skip
def test_description_is_mended_where_it_can_be(name: str, sent: bool | float | str, taken: float | str | None) -> None:
    update = payload.parse(body(changed(f"data.metadata.{name}", sent)))
    field = {"model_name": "model"}.get(name, name)
    assert getattr(update, field) == taken


HALF = json.dumps("caf\u00e9 " + chr(0xD83D)).encode()


@pytest.mark.parametrize("odd", [b"NaN", b"-Infinity", b"1e400", HALF, b'"\xff"', b'"a\nb"', b"9" * 5000])
@pytest.mark.parametrize("name", ["processing_time", "prompt_used", "model_name", "seed"])
def test_paid_video_is_not_refused_for_what_json_does_not_have_in_its_description(name: str, odd: bytes) -> None:
    raw = body(changed(f"data.metadata.{name}", "ODD")).replace(b'"ODD"', odd)
    update = payload.parse(raw)
    assert update.files[0].s3_key == "/videos/sunset.mp4"
    orjson.dumps(update.metadata)
    payload.dedup_key(None, update, raw)
    order = payload.order(raw)
    order["prompt"].encode()
    if name == "prompt_used" and odd is HALF:
        assert order["prompt"] == "caf\u00e9 \ufffd"


def test_half_an_emoji_in_the_name_of_a_description_is_mended_too() -> None:
    raw = body(changed("data.metadata.ODD", 1)).replace(b'"ODD"', HALF)
    metadata = payload.parse(raw).metadata
    assert metadata is not None
    assert metadata["caf\u00e9 \ufffd"] == 1


def test_body_that_begins_with_a_byte_order_mark_is_read() -> None:
    assert payload.parse(b"\xef\xbb\xbf" + body(V1)).files


def test_name_of_the_model_is_cut_to_what_its_column_holds() -> None:
    update = payload.parse(body(changed("data.metadata", {"model_name": "m" * 500, "model_version": "9" * 500})))
    assert (update.model, update.model_version) == ("m" * 191, "9" * 191)


@pytest.mark.parametrize("name", ["file_path", "filename", "format"])
def test_name_or_key_that_is_no_text_is_refused_and_not_altered(name: str) -> None:
    raw = body(changed(f"data.videos.0.{name}", "ODD")).replace(b'"ODD"', HALF)
    with pytest.raises(InvalidPayloadError, match=name):
        payload.parse(raw)


@pytest.mark.parametrize("odd", [b"5", b"true", b"{}", b'["x"]', b'""', b"NaN", HALF])
@pytest.mark.parametrize(
    ("video", "name"),
    [
        (V1["data"]["videos"][0], "file_url"), (V1["data"]["videos"][0], "aspect_ratio"),
        (V2_VIDEO, "url"), (V2_VIDEO, "file_url"), (V2_VIDEO, "file_path"), (V2_VIDEO, "aspect_ratio"),
        *((V3_VIDEO | {"duration": 8}, name) for name in ("s3_url", "url", "file_url", "file_path", "aspect_ratio")),
    ],
)  # fmt: skip
def test_paid_video_is_taken_though_its_address_path_or_ratio_is_none(
    video: dict[str, Any], name: str, odd: bytes
) -> None:
    if name == "aspect_ratio" and odd == b"NaN" and "size_bytes" not in video:
        return  # that is null, so it is missing, and required
    raw = body(with_video(video | {name: "ODD"})).replace(b'"ODD"', odd)
    file = payload.parse(raw).files[0]
    sent = {"s3_url", "url", "file_url"} & video.keys() - {name}
    assert (file.url, file.aspect_ratio) == (next((video[n] for n in sent if video[n]), None), "16:9")
    assert file.path == file.s3_key


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


@pytest.mark.parametrize(
    ("video", "path"),
    [
        (V2_VIDEO | {"file_path": "/srv/sunset.mp4"}, "/srv/sunset.mp4"),
        (V3_VIDEO | {"duration": 8, "file_path": "/srv/sunset.mp4"}, "/srv/sunset.mp4"),
        (V2_VIDEO, "k/sunset.mp4"),
        (V2_VIDEO | {"file_path": ""}, "k/sunset.mp4"),
        (V2_VIDEO | {"file_path": 5}, "k/sunset.mp4"),
    ],
)
def test_path_of_a_file_is_the_senders_and_its_key_the_buckets(video: dict[str, Any], path: str) -> None:
    file = payload.parse(body(with_video(video))).files[0]
    assert (file.s3_key, file.path) == ("k/sunset.mp4", path)


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


def key(document: dict[str, Any], webhook_id: str | None = None) -> str:
    raw = body(document)
    return payload.dedup_key(webhook_id, payload.parse(raw), raw)


def test_same_webhook_is_told_by_its_id_first() -> None:
    assert key(V1, "msg_1") == key(changed("status", "failed"), "msg_1")
    assert key(V1, "msg_1") != key(V1, "msg_2")
    assert key(V1, "msg_1") != key(V1)


def test_without_an_id_what_the_webhook_says_tells() -> None:
    assert key(V1) == key(changed("environment", "production"))
    assert key(V1) == key(changed("timestamp", "2025-10-23T16:30:00+02:00"))
    assert key(V1) == key(dict(reversed(V1.items())))
    assert payload.dedup_key(None, payload.parse(body(V1)), b"") == key(V1)
    timeless = changed("timestamp")
    assert key(timeless) == key(changed("environment", "x", timeless))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("has_data", None),
        ("data.videos", []),
        ("data.videos.0.file_path", "/videos/b.mp4"),
        ("data.videos.0.file_url", None),
        ("data.videos.0.file_size", 5),
        ("data.videos.0.created_at", None),
        ("data.metadata.processing_time", 120.6),
        ("data.metadata.prompt_used", "Une aube"),
        ("data.generated_at", None),
        ("data.user_id", "u1"),
        ("error", "quota"),
        ("timestamp", "2025-10-23T14:30:00.001Z"),
        ("timestamp", None),
        ("job_id", "another"),
        ("status", "failed"),
    ],
)
def test_two_webhooks_of_one_second_that_say_different_things_are_two(path: str, value: object) -> None:
    other = changed(path, value) if path != "has_data" else V1 | {"has_data": False, "data": None}
    assert key(V1) != key(other)


def test_order_of_files_and_the_version_of_the_payload_make_no_other_webhook() -> None:
    video = V1["data"]["videos"][0]
    other = video | {"file_path": "/videos/b.mp4"}
    assert key(with_video(video) | {"data": {"videos": [video, other]}}) == key(
        with_video(video) | {"data": {"videos": [other, video]}}
    )
    assert key(V1) == key(V1 | {"error": None})


def test_answer_of_the_backend_is_never_the_same_as_what_it_sent() -> None:
    update = payload.parse(body(V1))
    assert payload.dedup_key(None, update, b"", asked=True) != payload.dedup_key(None, update, b"")


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


def test_duration_with_much_white_space_costs_no_more_than_its_length() -> None:
    sent = with_video(V3_VIDEO | {"duration": "8" + " " * 30_000 + "x"})
    began = time.perf_counter()
    assert refused(sent) == ["data.videos.0.duration"]
    assert time.perf_counter() - began < 1  # seconds; it took eight, and with the longest body hours


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


def test_ratio_that_is_too_long_is_cut_since_it_only_describes() -> None:
    assert payload.parse(body(changed("data.videos.0.aspect_ratio", "1" * 300))).files[0].aspect_ratio == "1" * 191


def test_key_that_tells_webhooks_apart_has_32_hex_digits_whatever_it_is_made_of() -> None:
    sent = body(V1)
    update = payload.parse(sent)
    keys = {
        payload.dedup_key("id", update, sent),
        payload.dedup_key(None, update, sent),
        payload.dedup_key(None, update, sent, asked=True),
        payload.dedup_key(None, None, sent),
    }
    assert len(keys) == 4
    assert {len(bytes.fromhex(key)) for key in keys} == {16}
    assert {len(key) for key in keys} == {32}


@pytest.mark.parametrize(
    ("files", "each", "kept"),
    [(1, 4 * 2**20, True), (4, 2**20, True), (1, 4 * 2**20 + 1, False), (4, 2**20 + 1, False)],
)
def test_metadata_is_kept_until_its_copies_are_more_than_a_packet_may_hold(files: int, each: int, kept: bool) -> None:
    metadata = {"note": "x" * (each - len(orjson.dumps({"note": ""})))}
    videos = [V2_VIDEO | {"s3_key": f"k/{n}"} for n in range(files)]
    update = payload.parse(body(V1 | {"data": {"videos": videos, "metadata": metadata}}))
    assert update.metadata == (metadata if kept else None)
    assert len(update.files) == files


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ({"aspect_ratio": "x", "person_generation": "y" * COLUMN_MAX, "duration_seconds": 1}, True),
        ({"duration_seconds": SECONDS_MAX}, True),
        ({"aspect_ratio": "", "person_generation": "y" * (COLUMN_MAX + 1), "duration_seconds": 0}, False),
        ({"aspect_ratio": 9, "person_generation": None, "duration_seconds": True}, False),
        ({"duration_seconds": SECONDS_MAX + 1, "other": "x"}, False),
        ({"duration_seconds": -1}, False),
    ],
)
def test_of_what_was_ordered_a_job_has_what_its_columns_hold(told: dict[str, Any], kept: bool) -> None:
    metadata = {"prompt_used": "sea", "config_used": told}
    assert payload.order(body({"data": {"metadata": metadata}})) == {"prompt": "sea"} | (told if kept else {})
