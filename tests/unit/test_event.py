"""What goes out as an event: never more than an event may be."""

import json
import tracemalloc
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.estimate import UNKNOWN
from app.domain.event import EVENT_MAX, event_data, gallery_file, stored_file, whole
from app.domain.forms import StoredFile

texts = st.builds(
    lambda piece, times: piece * times, st.sampled_from(["a", '"', "é", "😀", "\x01", "\\"]), st.integers(0, 70_000)
)


def data(**fields: Any) -> bytes:
    told: dict[str, Any] = {
        "job_id": "j" * 191, "status": "completed", "state": "COMPLETED", "progress": 100, "message": None,
        "occurred_at": 0, "error": None, "estimate": UNKNOWN,
    }  # fmt: skip
    return event_data(**(told | fields))


def file(number: int, url: str) -> StoredFile:
    return gallery_file([f"f{number}", "a.mp4", url, url, 1, "mp4", 8, "16:9", 1, 1], 0, f"k{number}")


@given(texts, texts, st.lists(texts, max_size=8), st.integers(1, 20))
def test_event_is_never_larger_than_it_may_be_and_says_how_many_files_there_are(
    message: str, error: str, urls: list[str], times: int
) -> None:
    files = [file(number, url) for number, url in enumerate(urls * times)]
    encoded = data(message=message, error=error, videos=files)
    told = orjson.loads(encoded)
    assert len(encoded) <= EVENT_MAX
    assert told["num_videos"] == len(files)
    assert told["videos"] == files[: len(told["videos"])]
    assert error.startswith(told["error"])
    assert len(orjson.dumps(error)) > 64 * 1024 or told["error"] == error


def test_event_has_a_hundred_files_where_they_fit() -> None:
    told = orjson.loads(data(videos=[file(number, "https://x/" + "y" * 500) for number in range(150)]))
    assert (len(told["videos"]), told["num_videos"]) == (100, 150)


def test_event_that_is_no_completion_does_not_count_files() -> None:
    assert orjson.loads(data(state="PENDING"))["videos"] == []
    assert "num_videos" not in orjson.loads(data(state="PENDING"))


@pytest.mark.parametrize("videos", [None, [{"id": "f", "file_url": "https://files.example/1"}]])
def test_event_is_kept_in_as_much_memory_as_it_has_bytes(videos: list[dict[str, str]] | None) -> None:
    tracemalloc.start()
    try:
        made = [data(videos=videos) for _ in range(100)]
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 100 * (len(made[0]) + 100) + 10_000


values = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.decimals() | st.text() | st.binary()
    | st.sampled_from([10**25, -(10**25), 1e300, -1e300, "9" * 5000, "1e300", "٣", Decimal("1e25"), 2**63, 2**64])
)  # fmt: skip


@given(values)
def test_number_of_any_row_is_one_that_json_takes(value: object) -> None:
    assert 0 <= whole(value) < 2**63
    made = stored_file(["f", "a.mp4", "", "", value, "mp4", value, "16:9", value, value], 0, "k", "", "")
    assert json.loads(orjson.dumps(made))["file_size"] == whole(value)
