"""Requests whose headers or bodies were changed after they were signed: none is accepted."""

import base64
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.signing import (
    AT,
    BODY,
    OTHER,
    PLAIN,
    SECRET,
    SIGNATURE,
    independent_signature,
    of,
    verify,
    wire,
)

FUZZ = int(os.environ.get("RUSHES_FUZZ", "20000"))


@dataclass(frozen=True)
class Message:
    """What a request says of itself, and when it comes."""

    webhook_id: str
    timestamp: str
    signatures: str
    plain: str
    body: bytes
    now: float


NAMES = ("webhook_id", "timestamp", "signatures", "plain")

SECRETS = (SECRET, PLAIN, OTHER)


def genuine(rng: random.Random) -> Message:
    at = AT + rng.randrange(-10_000, 10_000)
    webhook_id = f"msg_{rng.randbytes(9).hex()}"
    body = rng.choice([b"", b"{}", BODY, b"%d.%b" % (at, BODY), '{"é": "日本"}'.encode(), rng.randbytes(40)])
    by = [independent_signature(webhook_id.encode(), b"%d" % at, body, rng.choice((SECRET, OTHER)))]
    by += rng.sample(["v1,AAAA", "v1a,AAAA", SIGNATURE], rng.randrange(3))
    rng.shuffle(by)
    return Message(webhook_id, str(at), " ".join(by), "", body, at + rng.uniform(-250, 250))


def flipped(rng: random.Random, raw: bytes) -> bytes:
    if not raw:
        return b"\x01"
    here, bit = rng.randrange(len(raw)), 1 << rng.randrange(8)
    return raw[:here] + bytes([raw[here] ^ bit]) + raw[here + 1 :]


def cut_repeated_or_turned(rng: random.Random, raw: bytes) -> bytes:
    here = rng.randrange(len(raw) + 1)
    there = rng.randint(here, min(len(raw), here + 12))
    piece = raw[here:there]
    return raw[:here] + rng.choice([b"", piece * 2, piece[::-1]]) + raw[there:]


def put_in(rng: random.Random, raw: bytes) -> bytes:
    here = rng.randrange(len(raw) + 1)
    new = rng.choice([b".", b",", b" ", b"=", b"\0", b"\r\n", b"v1,", b"-", b"0", b"\xff", rng.randbytes(5)])
    return raw[:here] + new + raw[here:]


def reordered(rng: random.Random, raw: bytes) -> bytes:
    parts = raw.split(b" ")
    rng.shuffle(parts)
    return b" ".join(parts)


def spelt_otherwise(rng: random.Random, raw: bytes) -> bytes:
    return rng.choice([raw.lower(), raw.swapcase(), raw.replace(b"+", b"-"), raw.rstrip(b"="), raw + b".0", b"-" + raw])


def replaced(rng: random.Random, raw: bytes) -> bytes:
    return rng.choice([b"", b"v1," * 2000, b"v1, " * 50 + raw, b"9" * 400, raw * 40, rng.randbytes(20)])


SPOILERS = (flipped, flipped, cut_repeated_or_turned, put_in, reordered, spelt_otherwise, replaced)


def spoilt(rng: random.Random, raw: bytes) -> bytes:
    return rng.choice(SPOILERS)(rng, raw)


def reencoded(rng: random.Random, text: str) -> str:
    """The text in another encoding, or such as no bytes can become."""
    here = rng.randrange(len(text) + 1)
    ways: list[Callable[[], str]] = [
        lambda: wire(text).decode("latin-1"),
        lambda: of(text.encode(rng.choice(["utf-16", "utf-16-le", "utf-32", "utf-7"]), "surrogatepass")),
        lambda: of(base64.b64encode(wire(text))),
        lambda: text[:here] + chr(rng.randrange(0xD800, 0xE000)) + text[here:],
        lambda: text[:here] + chr(rng.randrange(0x110000)) + text[here:],
        lambda: text.translate({n: 0xFF10 + n - 48 for n in range(48, 58)}),  # digits, but wide ones
    ]
    return rng.choice(ways)()


def divided_otherwise(rng: random.Random, message: Message) -> Message:
    """The same bytes are signed, but other ones of them are the id, the time and the body."""
    parts = b".".join((wire(message.webhook_id), wire(message.timestamp), message.body)).split(b".")
    first = rng.randrange(1, len(parts) - 1)
    return replace(
        message,
        webhook_id=of(b".".join(parts[:first])),
        timestamp=of(parts[first]),
        body=b".".join(parts[first + 1 :]),
    )


def renewed(message: Message, name: str, text: str) -> Message:
    """With another text in the header that `name` says."""
    changes: dict[str, Any] = {name: text}
    return replace(message, **changes)


def mutated(rng: random.Random, message: Message, other: Message) -> Message:
    name = rng.choice(NAMES)
    text: str = getattr(message, name)
    ways: list[Callable[[], Message]] = [
        lambda: renewed(message, name, of(spoilt(rng, wire(text)))),
        lambda: replace(message, body=spoilt(rng, message.body)),
        lambda: renewed(message, name, reencoded(rng, text)),
        lambda: renewed(message, name, getattr(other, rng.choice(NAMES))),
        lambda: replace(renewed(message, name, getattr(other, name)), body=other.body),
        lambda: divided_otherwise(rng, message),
        lambda: replace(message, plain=of(spoilt(rng, rng.choice(SECRETS).encode()))),
        lambda: replace(message, now=rng.choice([message.now + rng.uniform(-1000, 1000), 0.0, float("nan")])),
    ]
    return rng.choices(ways, weights=[8, 4, 2, 1, 1, 1, 1, 1])[0]()


@pytest.mark.timeout(3600)
def test_no_mutated_request_is_accepted_unless_all_that_was_signed_is_as_it_was() -> None:
    """RUSHES_FUZZ=1000000 makes it the long run."""
    rng = random.Random(20251023)
    accepted = plainly = 0
    other = genuine(rng)
    for _ in range(FUZZ):
        origin = message = genuine(rng)
        for _ in range(rng.choice((1, 1, 2, 3))):
            message = mutated(rng, message, other)
        headers = {
            "X-Webhook-Secret": message.plain,
            "webhook-id": message.webhook_id,
            "webhook-timestamp": message.timestamp,
            "webhook-signature": message.signatures,
        }
        if verify(headers, message.body, SECRETS, message.now, require_signature=True):
            accepted += 1
            told = (message.webhook_id, message.timestamp, message.body)
            known = [o for o in (origin, other) if told == (o.webhook_id, o.timestamp, o.body)]
            assert known, message
            assert any(set(message.signatures.split(" ")) & set(o.signatures.split(" ")) for o in known), message
            assert abs(message.now - int(message.timestamp)) <= 300, message
        elif verify(headers, message.body, SECRETS, message.now, require_signature=False):
            plainly += 1
            assert wire(message.plain) in {secret.encode() for secret in SECRETS}, message
        if rng.random() < 0.01:
            other = origin
    # A verifier that refuses everything would pass otherwise.
    assert FUZZ * 0.02 < accepted < FUZZ * 0.5
    assert 0 < plainly < FUZZ * 0.1
