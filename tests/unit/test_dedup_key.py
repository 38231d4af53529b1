"""What makes two webhooks the same."""

import pytest

from app.domain import payload
from tests.payloads import V1, body, changed, key, with_video


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
