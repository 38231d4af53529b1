"""What the database says, judged: only what blames the values is final."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymysql.err import InterfaceError, OperationalError

from app.db import errors
from app.db.errors import (
    BusyError,
    DatabaseAwayError,
    DatabaseError,
    DuplicateKeyError,
    MissingRowError,
    NotCommittedError,
    PacketTooLargeError,
    PassingError,
    RetryableError,
    ValuesRefusedError,
    judged,
)


def said(number: int, state: str | None, sentence: str = "as it is") -> Exception:
    return judged(OperationalError(number, sentence, sqlstate=state))


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (1020, "HY000"), (1030, "HY000"), (1105, "HY000"), (1114, "HY000"), (1180, "HY000"), (1205, "HY000"),
        (1206, "HY000"), (1213, "40001"), (1226, "42000"), (1317, "70100"), (1412, "HY000"), (1665, "HY000"),
        (1969, "70100"), (3024, "HY000"), (3101, "HY000"), (3572, "HY000"), (1142, "42000"), (1146, "42S02"),
        (1054, "42S22"), (1064, "42000"), (1118, "42000"), (4444, "HY000"), (4444, None),
    ],
)  # fmt: skip
def test_what_may_pass_is_tried_again(number: int, state: str | None) -> None:
    error = said(number, state)
    assert type(error) is RetryableError
    assert error.number == number


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (1040, "08004"), (1040, None), (1047, "08S01"), (1053, "08S01"), (1152, "08S01"), (1153, "08S01"),
        (1161, "08S01"), (1203, "42000"), (1290, "HY000"), (1792, "25006"), (1836, "HY000"), (1927, "70100"),
        (2006, None), (2013, None), (2014, None), (4031, "HY000"), (9001, "HY000"), (0, "08000"),
    ],
)  # fmt: skip
def test_a_server_that_cannot_be_used_is_away(number: int, state: str | None) -> None:
    assert type(said(number, state)) is DatabaseAwayError


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (1048, "23000"), (1264, "22003"), (1265, "01000"), (1292, "22007"), (1364, "HY000"), (1366, "HY000"),
        (1366, "22007"), (1369, "44000"), (1406, "22001"), (1526, "HY000"), (1644, "45000"), (3140, "22032"),
        (3819, "HY000"), (4025, "23000"), (1690, "22003"),
    ],
)  # fmt: skip
def test_what_blames_the_values_is_final(number: int, state: str) -> None:
    assert type(said(number, state)) is ValuesRefusedError


def test_a_key_that_is_taken_is_told_by_its_name_and_not_by_the_senders_text() -> None:
    found = said(1062, "23000", "Duplicate entry 'x PRIMARY' for key 'video_files.video_files_s3Key_key'")
    assert isinstance(found, DuplicateKeyError)
    assert found.is_of("_s3Key_key")
    assert not found.is_of("PRIMARY")


def test_a_row_that_is_missing_is_told_apart() -> None:
    assert isinstance(said(1452, "23000"), MissingRowError)


def test_an_error_without_number_or_words_is_judged_too() -> None:
    assert isinstance(judged(InterfaceError()), DatabaseAwayError)
    assert isinstance(judged(OperationalError("alone")), RetryableError)


@given(st.integers(0, 65_535), st.from_regex(r"[0-9A-Z]{5}", fullmatch=True))
def test_whatever_else_a_server_may_say_refuses_no_webhook(number: int, state: str) -> None:
    found = said(number, state)
    assert isinstance(found, DatabaseError)
    blames = state[:2] in {"22", "23", "44", "45"} or number in {1265, 1364, 1366, 1526, 3819}
    assert isinstance(found, ValuesRefusedError) == blames


def test_whatever_does_not_blame_the_values_may_go_another_time() -> None:
    kinds: list[type[Exception]] = [DatabaseError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    final = [kind for kind in kinds if not issubclass(kind, PassingError)]
    assert set(final) == {DatabaseError, ValuesRefusedError, DuplicateKeyError, MissingRowError}


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    drawn: dict[str, str] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"( {4}[│ ]*)(?:[├└]── )?(\w+Error)\b", line):
            depth = (len(found[1]) + (4 if "──" in line else 0)) // 4 - 1
            above[depth:] = [found[2]]
            drawn[found[2]] = above[depth - 1] if depth else "Exception"
    real = {name: kind.__base__.__name__ for name, kind in vars(errors).items() if _is_ours(kind)}
    assert drawn == real


def _is_ours(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Exception) and kind.__module__ == errors.__name__


@pytest.mark.parametrize(
    ("error", "own"),
    [
        (RetryableError("disk full", 1114), True),
        (RetryableError("deadlock", 1213), False),
        (PacketTooLargeError("too much"), True),
        (NotCommittedError("it broke off"), True),
        (DatabaseAwayError("gone"), False),
        (BusyError("too many"), False),
    ],
)
def test_what_may_be_for_one_webhook_alone_is_told_from_what_is_for_all(error: PassingError, own: bool) -> None:
    assert error.may_be_own is own
