"""The rules: whatever the order, whatever the repetition, one row."""

from dataclasses import replace
from itertools import combinations, permutations
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import job as rules
from app.domain.job import Job, State, StatusUpdate, VideoFile
from app.texts import MESSAGES
from app.times import moment

NOW = 1_761_230_000_000_000
SECOND = 1_000_000


def file(key: str, url: str | None = "https://files/1", **changes: Any) -> VideoFile:
    made = VideoFile(
        s3_key=key, filename=key, url=url, path=key, size=1, format="mp4", duration_seconds=8,
        aspect_ratio="16:9", width=1920, height=1080, created_at=NOW,
    )  # fmt: skip
    return replace(made, **changes)


def update(status: str, at: int | None = 0, **changes: Any) -> StatusUpdate:
    timestamp = None if at is None else NOW + at * SECOND
    return StatusUpdate(job_id="job", status=status, version="v1", timestamp=timestamp, **changes)


def fresh() -> Job:
    return Job("PENDING", "pending", 0)


def stored(updates: list[tuple[StatusUpdate, int]]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The row, the files and their metadata that these (update, receipt) leave behind."""
    job = fresh()
    row: dict[str, Any] = {}
    files: dict[str, VideoFile] = {}
    metadata: dict[str, Any] = {}
    for one, received_at in updates:
        change = rules.apply(job, one, received_at, "fr")
        if change is not None:
            row |= change.columns
            files |= {f.s3_key: f for f in (*change.new_files, *change.refreshed_files, *change.completed_files)}
            metadata |= {f.s3_key: one.metadata for f in (*change.new_files, *change.refreshed_files)}
    assert job.files == files
    return row, files, metadata


# Few values each, so that ties, common files and contradictions are what is drawn most.
failures = st.builds(
    lambda at, error: update("failed", at, error=error),
    st.integers(0, 1),
    st.sampled_from(["quota", "réseau", "a" * 40]),
)
running = st.builds(
    update,
    st.sampled_from(["pending", "processing", "generating", "downloading", "completed"]),
    st.sampled_from([0, 1, None, 10_000]),
)
completions = st.builds(
    lambda at, files, model, seconds, metadata: update(
        "completed", at, has_data=True, files=tuple(files), model=model, processing_time=seconds, metadata=metadata
    ),
    st.integers(0, 2),
    st.lists(
        st.builds(
            lambda key, url, size, width: file(key, url, size=size, width=width),
            st.sampled_from(["a", "b"]),
            st.sampled_from(["u1", "u2", None]),
            st.sampled_from([0, 1, 2]),
            st.sampled_from([640, 1920]),
        ),
        max_size=2,
        unique_by=lambda f: f.s3_key,
    ),
    st.sampled_from(["veo-2", "veo-3", None]),
    st.sampled_from([1.5, None]),
    st.sampled_from([{"x": 1}, None]),
)
updates = failures | running | completions


@settings(max_examples=400)
@given(st.data())
def test_any_order_and_any_repetition_of_updates_ends_in_the_same_row(data: st.DataObject) -> None:
    received = data.draw(st.lists(updates, min_size=1, max_size=6))
    once = [(one, NOW + place) for place, one in enumerate(received)]
    again = data.draw(st.lists(st.sampled_from(once), max_size=6))
    shuffled = data.draw(st.permutations(once + again))
    assert stored(shuffled) == stored(once)


@given(st.lists(updates, min_size=1, max_size=6))
def test_once_a_video_is_there_no_update_takes_it_away(received: list[StatusUpdate]) -> None:
    brings = update("completed", 1, has_data=True, files=(file("paid-for"),))
    row, kept, _ = stored([(one, NOW) for one in [*received, brings, *received]])
    assert row["status"] == "COMPLETED"
    assert "paid-for" in kept


@pytest.mark.parametrize(
    ("status", "state", "progress", "message"),
    [
        ("pending", "PENDING", 0, "En attente de traitement"),
        ("processing", "PROCESSING", 25, "Traitement en cours"),
        ("generating", "PROCESSING", 50, "Génération de la vidéo en cours"),
        ("downloading", "PROCESSING", 75, "Téléchargement de la vidéo depuis Google"),
        ("failed", "FAILED", 0, "La génération a échoué"),
    ],
)
def test_each_status_stores_its_state_progress_and_message(
    status: str, state: str, progress: int, message: str
) -> None:
    row, _, _ = stored([(update(status), NOW)])
    assert (row["status"], row["progress"], row["message"]) == (state, progress, message)


def test_late_webhook_does_not_move_a_video_back() -> None:
    job = fresh()
    rules.apply(job, update("completed", 5, has_data=True, files=(file("a"),)), NOW, "fr")
    assert rules.apply(job, update("generating", 9), NOW, "fr") is None
    assert job.state == "COMPLETED"


def test_earlier_update_is_stale() -> None:
    job = fresh()
    rules.apply(job, update("downloading", 5), NOW, "fr")
    assert rules.apply(job, update("generating", 4), NOW, "fr") is None


def test_at_equal_times_the_later_stage_wins() -> None:
    job = fresh()
    rules.apply(job, update("processing", 1), NOW, "fr")
    assert rules.apply(job, update("generating", 1), NOW, "fr") is not None
    assert rules.apply(job, update("processing", 1), NOW, "fr") is None


def test_completion_without_data_says_that_files_are_awaited() -> None:
    row, _, _ = stored([(update("completed", 1), NOW)])
    assert row["message"] == "Génération terminée, en attente des fichiers"


def test_completion_stores_when_it_was_generated_and_the_usual_model_where_none_is_told() -> None:
    sent = update("completed", 1, has_data=True, files=(file("a"),), generated_at=NOW - 7 * SECOND)
    row, _, _ = stored([(sent, NOW)])
    assert (row["model"], row["modelVersion"]) == ("veo-2.0-generate-001", "2.0")
    assert row["completedAt"] == moment(NOW - 7 * SECOND)
    row, _, _ = stored([(replace(sent, generated_at=None, model="veo-3", model_version="3.1"), NOW)])
    assert (row["model"], row["modelVersion"]) == ("veo-3", "3.1")
    assert row["completedAt"] == moment(NOW + SECOND)


def test_stages_of_one_time_have_their_order() -> None:
    stages = [
        *(update(status, 1) for status in ("pending", "processing", "generating", "downloading", "completed")),
        update("failed", 1, error="quota"),
        update("completed", 1, has_data=True, files=(file("a"),)),
    ]
    for earlier, later in combinations(stages, 2):
        job = fresh()
        assert rules.apply(job, earlier, NOW, "fr") is not None
        assert rules.apply(job, later, NOW, "fr") is not None
        assert rules.apply(job, earlier, NOW, "fr") is None


def test_completion_with_no_file_ranks_as_a_failure() -> None:
    nothing = update("completed", 1, has_data=True)
    for other in (update("completed", 1), update("downloading", 1)):
        job = fresh()
        assert rules.apply(job, nothing, NOW, "fr") is not None
        assert rules.apply(job, other, NOW, "fr") is None
    keys = []
    for one in (nothing, update("failed", 1, error="quota")):
        job = fresh()
        rules.apply(job, one, NOW, "fr")
        assert job.position is not None
        keys.append(job.position[:3])
    assert keys[0] == keys[1]


def test_full_tie_is_stale() -> None:
    job = fresh()
    assert rules.apply(job, update("failed", 1, error="quota"), NOW, "fr") is not None
    assert rules.apply(job, update("failed", 1, error="quota"), NOW, "fr") is None


def test_new_try_after_a_failure_clears_the_error() -> None:
    row, _, _ = stored([(update("failed", 1, error="quota"), NOW), (update("generating", 2), NOW)])
    assert (row["status"], row["error"], row["completedAt"]) == ("PROCESSING", None, None)


def test_older_completion_only_adds_the_files_that_are_missing() -> None:
    newer = update("completed", 9, has_data=True, model="veo-3", files=(file("a", "new"),))
    older = update("completed", 1, has_data=True, model="veo-2", files=(file("a", "old"), file("b", "old")))
    row, kept, _ = stored([(newer, NOW), (older, NOW)])
    assert row["model"] == "veo-3"
    assert {key: f.url for key, f in kept.items()} == {"a": "new", "b": "old"}


def test_completion_without_data_waits_for_its_files() -> None:
    job = fresh()
    change = rules.apply(job, update("completed", 1), NOW, "fr")
    assert change is not None
    assert (change.columns["status"], change.columns["progress"]) == ("PROCESSING", 95)
    change = rules.apply(job, update("completed", 1, has_data=True, files=(file("a"),)), NOW, "fr")
    assert change is not None
    assert change.columns["status"] == "COMPLETED"


def test_completion_with_no_video_is_a_failure_that_says_so() -> None:
    row, _, _ = stored([(update("completed", 1, has_data=True), NOW)])
    assert (row["status"], row["error"]) == ("FAILED", "Aucune vidéo n'a été produite")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"error": "quota", "prompt_used": "sea"}, "quota"),
        ({"prompt_used": "sea"}, 'Échec de génération pour: "sea"'),
        ({}, "Erreur inconnue lors de la génération"),
    ],
)
def test_failure_stores_the_best_reason_there_is(changes: dict[str, str], error: str) -> None:
    assert stored([(update("failed", 1, **changes), NOW)])[0]["error"] == error


def test_prompt_with_braces_is_stored_as_it_is() -> None:
    assert stored([(update("failed", 1, prompt_used="{x} {0}"), NOW)])[0]["error"].endswith('"{x} {0}"')


def test_time_too_far_ahead_of_the_clock_is_replaced_by_the_receipt() -> None:
    assert rules.ordering_time(update("pending", 299), NOW) == NOW + 299 * SECOND
    assert rules.ordering_time(update("pending", 301), NOW) == NOW
    assert rules.ordering_time(update("pending", None), NOW) == NOW


def test_finished_row_of_another_program_is_not_moved_back() -> None:
    job = Job("COMPLETED", "completed", 100, position=rules.known_position("COMPLETED", NOW, has_files=True))
    assert rules.apply(job, update("generating", 60), NOW, "fr") is None


@pytest.mark.parametrize("state", ["PENDING", "PROCESSING", "GENERATING", "DOWNLOADING"])
def test_unfinished_row_of_another_program_takes_any_update(state: str) -> None:
    assert rules.known_position(state, NOW, has_files=False) is None


@pytest.mark.parametrize(
    ("state", "progress", "word"),
    [
        ("PROCESSING", 0, "processing"),
        ("PROCESSING", 49, "processing"),
        ("PROCESSING", 50, "generating"),
        ("PROCESSING", 74, "generating"),
        ("PROCESSING", 75, "downloading"),
        ("PROCESSING", 95, "downloading"),
        ("PENDING", 0, "pending"),
        ("GENERATING", 0, "generating"),
        ("DOWNLOADING", 50, "downloading"),
        ("COMPLETED", 100, "completed"),
        ("FAILED", 0, "failed"),
    ],
)
def test_row_of_another_program_is_told_in_the_senders_word(state: str, progress: int, word: str) -> None:
    assert rules.status_word(state, progress) == word


def test_every_message_exists_in_both_languages() -> None:
    assert MESSAGES["fr"].keys() == MESSAGES["en"].keys()


def test_file_keeps_the_fields_of_the_latest_completion_that_named_it() -> None:
    sent = [
        (update("completed", at, has_data=True, files=(file(key, url),)), NOW)
        for at, key, url in [(1, "a", "first"), (2, "a", "second"), (3, "b", "third")]
    ]
    for order in permutations(sent):
        _, kept, _ = stored(list(order))
        assert {key: f.url for key, f in kept.items()} == {"a": "second", "b": "third"}


@settings(max_examples=400)
@given(st.lists(completions.filter(lambda one: one.files), min_size=1, max_size=6), st.randoms())
def test_every_order_of_completions_ends_in_the_files_that_the_rule_names(
    received: list[StatusUpdate], chance: Random
) -> None:
    once = [(one, NOW) for one in received]
    shuffled = once * 2
    chance.shuffle(shuffled)
    _, kept, _ = stored(shuffled)
    for key, found in kept.items():
        named = [(one.timestamp or 0, f) for one in received for f in one.files if f.s3_key == key]
        latest = [f for at, f in named if at == max(at for at, _ in named)]
        assert (found.url is None) == all(f.url is None for f in latest)
        assert (found.size == 0) == all(f.size == 0 for f in latest)
        assert replace(found, url=None, size=0) in [replace(f, url=None, size=0) for f in latest]


def test_at_equal_times_an_address_and_a_size_beat_their_lack() -> None:
    sent = [
        (update("completed", 1, has_data=True, files=(file("a", url, size=size),)), NOW)
        for url, size in [(None, 0), ("u", 0), (None, 7)]
    ]
    for order in permutations(sent):
        _, kept, _ = stored(list(order))
        assert (kept["a"].url, kept["a"].size) == ("u", 7)


def test_at_equal_times_the_completion_that_says_more_tells_of_the_job() -> None:
    sent = [
        (update("completed", 1, has_data=True, files=(file("a"),), processing_time=seconds, model=model), NOW)
        for seconds, model in [(None, None), (120.5, "veo-3")]
    ]
    for order in permutations(sent):
        row, _, _ = stored(list(order))
        assert (row["processingTime"], row["model"]) == (120.5, "veo-3")


def test_completions_of_one_time_have_their_files_put_together() -> None:
    sent = [(update("completed", 1, has_data=True, files=(file(key),)), NOW) for key in "ab"]
    for order in permutations(sent):
        assert stored(list(order))[1].keys() == {"a", "b"}


def test_older_completion_that_adds_no_file_is_stale() -> None:
    job = fresh()
    rules.apply(job, update("completed", 9, has_data=True, files=(file("a", None),)), NOW, "fr")
    assert rules.apply(job, update("completed", 1, has_data=True, files=(file("a"),)), NOW, "fr") is None


@pytest.mark.parametrize(
    ("found", "ended", "state"),
    [
        ("COMPLETED", True, "COMPLETED"),
        ("completed", True, "COMPLETED"),
        ("ARCHIVED", True, "FAILED"),
        ("QUEUED", False, "PENDING"),
        ("", False, "PENDING"),
        (None, False, "PENDING"),
    ],
)
def test_state_that_only_the_site_knows_is_read_as_the_nearest(found: str | None, ended: bool, state: str) -> None:
    assert rules.state_of(found, ended=ended) == state


@pytest.mark.parametrize("state", ["COMPLETED", "PROCESSING"])
def test_files_of_another_program_have_their_place_in_the_order(state: State) -> None:
    def adopted() -> Job:
        known = rules.known_position(state, NOW + 7 * SECOND, has_files=True)
        base = rules.file_key(known.at, "", file("k1")) if known else rules.OLDEST
        return Job(state, "x", 0, position=known, has_any=True, files={"k1": file("k1")}, file_keys={"k1": base})

    sent = [update("completed", at, has_data=True, files=(file(key, f"u{at}"),)) for at, key in [(8, "k1"), (9, "k2")]]
    for order in permutations(sent):
        job = adopted()
        kept: dict[str, str | None] = {}
        for one in order:
            change = rules.apply(job, one, NOW, "fr")
            assert change is not None
            kept |= {f.s3_key: f.url for f in (*change.new_files, *change.refreshed_files)}
        assert kept == {"k1": "u8", "k2": "u9"}


def test_completion_with_no_file_does_not_fail_a_job_that_has_one() -> None:
    job = Job("PROCESSING", "generating", 50, has_any=True)
    assert rules.apply(job, update("completed", 9, has_data=True), NOW, "fr") is None


@pytest.mark.parametrize("sent", [update("generating"), update("completed"), update("failed", error="quota")])
def test_unfinished_job_that_has_a_file_is_still_moved_by_what_brings_none(sent: StatusUpdate) -> None:
    job = Job("PENDING", "pending", 0, has_any=True)
    assert rules.apply(job, sent, NOW, "fr") is not None
    assert job.status == sent.status


def test_failure_is_cut_to_what_its_column_holds() -> None:
    row, _, _ = stored([(update("failed", 1, error="é" * 100_000), NOW)])
    assert len(row["error"].encode()) < 65_536
