"""What only describes a video is read however it is written, and never the reason to refuse it."""

from datetime import datetime
from typing import Any

import orjson
import pytest

from app.domain import payload
from app.domain.fields import SECONDS_MAX
from app.domain.named import COLUMN_MAX
from app.times import microseconds, moment
from tests.payloads import HALF, V1, V2_VIDEO, V3_VIDEO, body, changed, key, webhook_of_a_step, with_video

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


def test_name_of_the_model_is_cut_to_what_its_column_holds() -> None:
    update = payload.parse(body(changed("data.metadata", {"model_name": "m" * 500, "model_version": "9" * 500})))
    assert (update.model, update.model_version) == ("m" * 191, "9" * 191)


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


def test_ratio_that_is_too_long_is_cut_since_it_only_describes() -> None:
    assert payload.parse(body(changed("data.videos.0.aspect_ratio", "1" * 300))).files[0].aspect_ratio == "1" * 191


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
