"""What the simulated backend says and makes, without a server."""

import json
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import payload
from app.domain.failure import KINDS, Side, recognise
from app.simulator import bodies, films
from app.simulator.bodies import Order
from app.simulator.reasons import REASONS
from app.simulator.words import WORDS, Script, WordError, read

ROOT = Path(__file__).parents[2]
ORDER = Order(job_id="j1", user_id="u1", prompt="the sea", aspect_ratio="9:16", number_of_videos=2, duration_seconds=5)
BEGAN = 1_761_228_000_000_000


@pytest.mark.parametrize("name", REASONS)
def test_reason_is_recognised_as_the_kind_and_side_it_is_named_for(name: str) -> None:
    kind, _, side = name.partition("/")
    found = recognise(REASONS[name].text)
    usual = {"quota": "rate"}.get(kind)
    assert (found.kind, found.side) == (kind, side or usual)


def test_backend_can_fail_by_every_kind_and_side_there_is() -> None:
    found = [recognise(reason.text) for reason in REASONS.values()]
    assert {failure.kind for failure in found} == set(KINDS)
    assert {failure.side for failure in found} - {None} == set(get_args(Side))


def body_of(script: Script, **fields: object) -> bytes:
    data = bodies.completion(ORDER.model_copy(update=fields), script, BEGAN, BEGAN + 60_000_000, "/simulated")
    return json.dumps(bodies.update(ORDER, "completed", BEGAN, data=data)).encode()


def test_the_same_videos_are_told_in_each_version_of_the_payload() -> None:
    told = {version: payload.parse(body_of(read(f"[{version}]"))) for version in ("v1", "v2", "v3")}
    assert {version: update.version for version, update in told.items()} == {"v1": "v1", "v2": "v2", "v3": "v3"}
    files = {
        (file.s3_key, file.url, file.size, file.duration_seconds, file.aspect_ratio, file.width, file.height)
        for update in told.values()
        for file in update.files
    }
    assert len(files) == 2
    assert {file[3:] for file in files} == {(5, "9:16", 720, 1280)}
    assert told["v3"].user_id == "u1"


def test_completion_that_lacks_videos_says_how_many_and_why() -> None:
    partial = payload.parse(body_of(read("[partial]"))).partial
    assert partial is not None
    assert (partial.requested, partial.generated, partial.failure.kind) == (2, 1, "safety")
    assert payload.parse(body_of(read("[empty]"))).files == ()
    assert payload.parse(body_of(read("[partial:3]"))).files == ()


def test_words_of_a_prompt_that_ask_for_nothing_are_left_alone() -> None:
    assert read("[wide shot] the sea [late afternoon] [stalled]") == Script()
    assert read("A FAILed attempt") == Script(fail="")
    assert read("[fail:quota/day][twice] [v3]") == Script(fail="quota/day", twice=True, version="v3")
    assert read("[v3] the sea [v2]") == Script(version="v2")
    assert read("[late] [partial: 2 ]") == Script(late=10.0, missing=2)


@pytest.mark.parametrize(
    "word",
    ["[fail:weather]", "[refuse:5]", "[late:soon]", "[late:-1]", "[late:nan]", "[partial:9]", "[stall:5]", "[v2:1]"],
)
def test_word_with_a_value_that_it_cannot_have_is_refused_by_its_name(word: str) -> None:
    with pytest.raises(WordError) as told:
        read(f"the sea {word}")
    assert word in str(told.value)


def test_document_says_of_each_word_and_kind_what_the_program_says() -> None:
    text = (ROOT / "docs/generator.md").read_text()
    for word, does in WORDS.items():
        assert f"| `{word}` | {does} |" in text
    assert all(f"`{name}`" in text for name in REASONS)


FILM = films.film("1:1", 3, 8)
WHOLE = b"".join(FILM.part(0, FILM.size))


@given(st.integers(0, FILM.size), st.integers(0, FILM.size))
def test_part_of_a_film_is_what_stands_there_in_the_whole(start: int, stop: int) -> None:
    assert b"".join(FILM.part(start, stop)) == WHOLE[start:stop]


def test_films_have_names_and_what_has_no_name_is_none() -> None:
    assert len(WHOLE) == FILM.size
    for ratio in films.FORMATS:
        assert films.named(films.name_of(ratio, 600, 8)) is films.film(ratio, 600, 8)
    for name in (
        "16x9-0s-1.mp4",
        "16x9-601s-1.mp4",
        "16x9-8s-0.mp4",
        "16x9-8s-9.mp4",
        "4x3-8s-1.mp4",
        "x",
        "16x9-8s-1",
    ):
        assert films.named(name) is None
