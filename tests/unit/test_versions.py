"""The versions of the payload: what tells them apart, and what each has of a video."""

import time
from typing import Any

import pytest

from app.domain import payload
from tests.payloads import V1, V2_VIDEO, V3_VIDEO, body, refused, webhook_of_a_step, with_video


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


def test_duration_with_much_white_space_costs_no_more_than_its_length() -> None:
    sent = with_video(V3_VIDEO | {"duration": "8" + " " * 30_000 + "x"})
    began = time.perf_counter()
    assert refused(sent) == ["data.videos.0.duration"]
    assert time.perf_counter() - began < 1  # seconds; it took eight, and with the longest body hours
