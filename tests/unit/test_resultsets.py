"""What the server answers, whatever pieces it comes in."""

import pytest

from app.db.resultsets import ResultSets

WHOLE = 0xFFFFFF


def packets(*payloads: bytes) -> bytes:
    """As the protocol has them: one of 16 MiB or more in parts, of which the last is shorter."""
    parts = [payload[at : at + WHOLE] for payload in payloads for at in range(0, len(payload) + 1, WHOLE)]
    return b"".join(len(part).to_bytes(3, "little") + bytes([n & 255]) + part for n, part in enumerate(parts))


def text(value: bytes) -> bytes:
    return b"\xfe" + len(value).to_bytes(8, "little") + value


EOF, OK = b"\xfe\0\0\x02\0", b"\0\0\0\x02\0\0\0"


@pytest.mark.parametrize("size", [WHOLE - 10, WHOLE - 9, WHOLE, 2 * WHOLE - 9, 2 * WHOLE + 5])
@pytest.mark.parametrize("piece", [65_536, 64 * 1024 * 1024])
def test_row_of_16_mib_and_more_is_read_as_any_other(size: int, piece: int) -> None:
    rows = [text(b"a"), text(b"x" * size), text(b"b")]
    data = packets(b"\x01", b"a column", EOF, *rows, EOF)
    answers = ResultSets()
    complete = [answers.feed(data[at : at + piece]) for at in range(0, len(data), piece)]
    assert complete == [False] * (len(complete) - 1) + [True]
    found = [row[0] or "" for row in answers.results[0]]
    assert [len(one) for one in found] == [1, size, 1]
    assert [one[-1] for one in found] == ["a", "x", "b"]


def test_row_whose_parts_end_between_two_pieces_waits_for_the_rest() -> None:
    data = packets(b"\x01", b"a column", EOF, text(b"x" * (2 * WHOLE)), EOF)
    for cut in (WHOLE + 20, WHOLE + 31, WHOLE + 32, WHOLE + 40, 2 * WHOLE + 36):
        answers = ResultSets()
        assert not answers.feed(data[:cut])
        assert answers.feed(data[cut:])
        assert len(answers.results[0][0][0] or "") == 2 * WHOLE
