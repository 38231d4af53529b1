"""What WebSocket clients send, in whatever pieces it comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.push.websocket import PING, PONG, ClientFrames, MessageTooLongError, NotWebSocketError
from tests.frames import CONTINUATION, TEXT, frame


def feed_in_pieces(data: bytes, cuts: list[int]) -> list[tuple[int, bytes]]:
    frames, found, start = ClientFrames(), [], 0
    for end in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        found += frames.feed(data[start:end])
        start = end
    return found


control = st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125))
message = st.lists(st.binary(max_size=300), min_size=1, max_size=4)


@given(
    st.lists(st.one_of(control, message), max_size=6),
    st.lists(st.integers(0, 10_000), max_size=12),
    st.binary(min_size=4, max_size=4),
)
def test_control_frames_are_heard_among_messages_however_the_bytes_are_split(
    what: list[list[bytes] | tuple[int, bytes]], cuts: list[int], mask: bytes
) -> None:
    data, expected = b"", []
    for item in what:
        if isinstance(item, tuple):
            data += frame(*item, mask=mask)
            expected.append(item)
            continue
        for place, part in enumerate(item):
            opcode = CONTINUATION if place else TEXT
            data += frame(opcode, part, fin=place == len(item) - 1, mask=mask)
            expected.append((opcode, b""))
    assert feed_in_pieces(data, cuts) == expected


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=8))
def test_any_bytes_are_frames_or_a_known_fault_however_they_are_split(data: bytes, cuts: list[int]) -> None:
    def outcome(pieces: list[int]) -> object:
        try:
            return feed_in_pieces(data, pieces)
        except (NotWebSocketError, MessageTooLongError) as error:
            return type(error)

    assert outcome(cuts) == outcome([])


@pytest.mark.parametrize(
    "data",
    [
        b"\x81\x05hello",  # not masked
        frame(0x3, b""),  # an opcode that means nothing
        b"\xc1" + frame(TEXT, b"")[1:],  # a reserved bit
        frame(PING, b"", fin=False),  # control frames are never in parts
        frame(PING, b"x" * 126),  # nor long
        frame(CONTINUATION, b""),  # of no message
        frame(TEXT, b"", fin=False) + frame(TEXT, b""),  # a message within a message
    ],
)
def test_what_breaks_the_protocol_is_a_fault(data: bytes) -> None:
    with pytest.raises(NotWebSocketError):
        ClientFrames().feed(data)


def test_message_is_refused_by_its_length_before_it_has_come() -> None:
    with pytest.raises(MessageTooLongError):
        ClientFrames().feed(frame(TEXT, b"x" * 5000)[:12])


def test_message_that_is_too_long_in_parts_is_refused() -> None:
    frames = ClientFrames()
    frames.feed(frame(TEXT, b"x" * 3000, fin=False))
    with pytest.raises(MessageTooLongError):
        frames.feed(frame(CONTINUATION, b"x" * 3000))
