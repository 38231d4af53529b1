"""openapi.json allows each body of a webhook that is taken."""

from functools import reduce
from operator import or_
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from app.domain import payload
from app.routes.webhooks import BODIES
from tests.payloads import V1, V2_VIDEO, V3_VIDEO, body, changed, with_video

DESCRIBED = jsonschema_rs.Draft202012Validator(TypeAdapter[Any](reduce(or_, BODIES)).json_schema())

DOCUMENTS = [V1, with_video(V2_VIDEO), with_video(V3_VIDEO), V1 | {"status": "failed"}, V1 | {"status": "generating"}]
FIELDS = ["timestamp", "has_data", "data", "data.videos", "data.videos.0", "data.success", "data.generated_at",
          "data.metadata", "error", "message"]  # fmt: skip
FIELDS += [f"data.videos.0.{name}" for name in ({**V1["data"]["videos"][0]} | V2_VIDEO | V3_VIDEO | {"duration": 8})]

plain = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3)
    | st.sampled_from(["true", "False", "8s", " 8.5 ", "2025-10-23T14:30:00Z", 0, 1, 2**31, 2**63])
)  # fmt: skip
values = st.recursive(plain, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2))


def is_taken(document: dict[str, Any]) -> bool:
    try:
        payload.parse(body(document))
    except payload.InvalidPayloadError:
        return False
    return True


@given(document=st.sampled_from(DOCUMENTS), fields=st.lists(st.tuples(st.sampled_from(FIELDS), values), max_size=4))
def test_no_body_is_taken_that_the_document_does_not_allow(
    document: dict[str, Any], fields: list[tuple[str, Any]]
) -> None:
    for path, value in fields:
        try:
            document = changed(path, value, document)
        except (LookupError, TypeError):  # the list or the object that it is in was changed before
            continue
    try:
        taken = is_taken(document)
    except TypeError:  # an integer that orjson does not write
        return
    if taken:
        assert list(DESCRIBED.iter_errors(document)) == []


@pytest.mark.parametrize("success", [False, 0, 0.0, "false", "FALSE"])
@pytest.mark.parametrize("videos", [[{"dimensions": {"width": {}}}], {}, "none", 7, [1], None])
def test_completion_that_brings_nothing_may_list_anything(success: object, videos: object) -> None:
    document = V1 | {"data": {"videos": videos, "success": success}}
    assert payload.parse(body(document)).files == ()
    assert DESCRIBED.is_valid(document)


@pytest.mark.parametrize("has_data", [False, 0, "False"])
@pytest.mark.parametrize("data", [None, {}, {"videos": []}, {"videos": {}}, {"videos": 0}, {"videos": "", "more": 1}])
def test_completion_whose_files_will_follow_may_have_no_list(has_data: object, data: object) -> None:
    document = V1 | {"has_data": has_data, "data": data}
    assert payload.parse(body(document)).files == ()
    assert DESCRIBED.is_valid(document)
