"""Who may post: by the plain secret or by a signature; and what nobody may slip through with."""

import base64
import hmac
from collections.abc import Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from app.auth import signature
from tests.signing import (
    AT,
    BODY,
    ID,
    LONE,
    OTHER,
    PLAIN,
    SECRET,
    SIGNATURE,
    independent_signature,
    of,
    signed,
    verify,
)


def test_the_example_of_the_specification_is_accepted() -> None:
    assert verify(signed())
    assert signature.sign(ID, AT, BODY, SECRET) == SIGNATURE


@pytest.mark.parametrize("off", [-300, -299.5, 0, 0.25, 300])
def test_a_signature_of_the_last_or_next_five_minutes_is_accepted(off: float) -> None:
    assert verify(signed(), now=AT + off)


@pytest.mark.parametrize("off", [-1e12, -301, -300.01, 300.01, 301, 1e12, float("inf"), float("nan")])
def test_a_signature_older_or_newer_than_five_minutes_is_refused(off: float) -> None:
    assert not verify(signed(), now=AT + off)


def test_any_of_several_secrets_verifies_so_that_a_secret_can_be_changed_without_a_break() -> None:
    assert verify(signed(), secrets=(OTHER, PLAIN, SECRET))
    assert not verify(signed(), secrets=(OTHER, PLAIN))
    assert not verify(signed(), secrets=())


def test_any_of_several_signatures_is_enough() -> None:
    assert verify(signed(by=f"v1,AAAA v1a,{SIGNATURE[3:]} {SIGNATURE}"))
    assert verify(signed(by=f"{SIGNATURE}  v2,x , v1, nonsense"))


def test_only_so_many_signatures_are_tried() -> None:
    assert verify(signed(by="v1,x " * (signature.MAX_SIGNATURES - 1) + SIGNATURE))
    assert not verify(signed(by="v1,x " * signature.MAX_SIGNATURES + SIGNATURE))
    assert not verify(signed(by="v1,x " * 100_000 + SIGNATURE))


def test_a_key_may_be_written_without_padding() -> None:
    key = base64.b64encode(b"twenty-five bytes as key!").decode()
    assert key.endswith("==")
    by = signature.sign(ID, AT, BODY, "whsec_" + key)
    assert verify(signed(by=by), secrets=("whsec_" + key.rstrip("="),))


def test_a_body_that_is_no_text_is_verified_by_its_bytes() -> None:
    body = b'{"\xff\x00\xed\xa0\x80'
    assert verify(signed(by=independent_signature(ID.encode(), b"1614265330", body, SECRET)), body)


def test_an_id_that_is_no_utf8_is_verified_by_the_bytes_that_came() -> None:
    raw = b"msg_\xe9\xff"
    assert verify(signed(of(raw), by=independent_signature(raw, b"1614265330", BODY, SECRET)))


@pytest.mark.parametrize(
    "headers",
    [
        signed(webhook_id=""),
        signed(at=""),
        signed(by=""),
        {"webhook-id": ID, "webhook-timestamp": str(AT)},
        {"webhook-id": ID, "webhook-signature": SIGNATURE},
        {"webhook-timestamp": str(AT), "webhook-signature": SIGNATURE},
        {},
    ],
)
def test_a_signature_with_a_part_missing_is_refused(headers: Mapping[str, str]) -> None:
    assert not verify(headers)


@pytest.mark.parametrize(
    "by",
    [
        SIGNATURE[3:],
        "v1," + SIGNATURE[3:].rstrip("="),
        "v1," + SIGNATURE[3:-2] + "F=",  # decodes to the same bytes
        "v1," + SIGNATURE[3:].replace("+", "-").replace("/", "_"),
        "V1," + SIGNATURE[3:],
        "v2," + SIGNATURE[3:],
        "v1=" + SIGNATURE[3:],
        "v1, " + SIGNATURE[3:],
        "v1",
        "v1,",
        "v1,é",
        "v1,\udcff",
        "v1," + LONE,
        "v1,%%%",
        "\x00",
        "v1," + "A" * 1_000_000,
    ],
)
def test_a_malformed_signature_is_refused(by: str) -> None:
    assert not verify(signed(by=by))


@pytest.mark.parametrize(
    "at",
    ["-1614265330", "+1614265330", "1614265330.0", "1614265330.", "1.614265330e9", "1_614_265_330", "0x6037BAB2", "nan",
     "inf", " 1614265330", "1614265330\n", "١٦١٤٢٦٥٣٣٠", "9" * 5000, "\udc31", LONE, "2021-02-25T15:02:10Z"],
)  # fmt: skip
def test_a_time_in_other_than_digits_is_refused_even_when_it_was_signed(at: str) -> None:
    by = independent_signature(ID.encode(), at.encode("utf-8", "surrogatepass"), BODY, SECRET)
    assert not verify(signed(at=at, by=by))


def test_the_parts_of_a_signed_message_cannot_be_divided_otherwise() -> None:
    """The specification signs them joined by full stops, so an id must not have one."""
    by = independent_signature(b"msg", b"1614265331", b"1614265330.{}", SECRET)
    assert verify(signed("msg", AT + 1, by), b"1614265330.{}")
    assert not verify(signed("msg.1614265331", AT, by), b"{}")


def test_a_plain_secret_signs_nothing() -> None:
    by = "v1," + base64.b64encode(hmac.digest(PLAIN.encode(), f"{ID}.{AT}.".encode() + BODY, "sha256")).decode()
    assert not verify(signed(by=by), secrets=(PLAIN,))


def test_the_plain_header_is_accepted_with_any_of_the_secrets() -> None:
    headers = CIMultiDict({"x-webhook-secret": of(PLAIN.encode())})
    assert verify(headers, secrets=(OTHER, PLAIN), require_signature=False)
    assert verify({"X-Webhook-Secret": SECRET}, secrets=(SECRET,), require_signature=False)
    assert not verify(headers, secrets=(OTHER,), require_signature=False)
    assert not verify(headers, secrets=(), require_signature=False)


@pytest.mark.parametrize("given", ["", PLAIN[:-1], PLAIN + " ", PLAIN.upper(), LONE, "\udcff", "x" * 1_000_000])
def test_a_wrong_plain_header_is_refused(given: str) -> None:
    assert not verify({"X-Webhook-Secret": given}, secrets=(PLAIN, SECRET), require_signature=False)
    assert not verify({"X-Webhook-Secret": given}, secrets=("",), require_signature=False)


def test_where_signatures_are_required_the_plain_header_opens_nothing() -> None:
    assert not verify({"X-Webhook-Secret": SECRET}, require_signature=True)
    assert not verify(signed(by="v1,x", **{"X-Webhook-Secret": SECRET}), require_signature=True)


def test_of_a_plain_header_and_a_signature_one_being_right_is_enough() -> None:
    assert verify(signed(**{"X-Webhook-Secret": "wrong"}), require_signature=False)
    assert verify(signed(**{"X-Webhook-Secret": "wrong"}), require_signature=True)
    assert verify(signed(by="v1,x", **{"X-Webhook-Secret": SECRET}), require_signature=False)
    assert not verify(signed(by="v1,x", **{"X-Webhook-Secret": "wrong"}), require_signature=False)


@pytest.mark.parametrize(
    "wrong",
    ["whsec_", "whsec_==", "whsec_abc-_def", "whsec_abcde", "whsec_ab cd", "whsec_ab=d", "whsec_é", "whsec_" + LONE],
)
def test_a_secret_that_could_never_verify_is_found_at_start_and_not_told(wrong: str) -> None:
    with pytest.raises(ValueError, match="secret 2 of 3 starts with whsec_") as caught:
        signature.check_secrets((PLAIN, wrong, SECRET))
    said = str(caught.value)
    assert wrong == "whsec_" or wrong.removeprefix("whsec_").strip("=") == "" or wrong[6:] not in said
    assert caught.value.__cause__ is None
    assert not verify(signed(), secrets=(wrong,))
    with pytest.raises(ValueError):
        signature.sign(ID, AT, BODY, wrong)


def test_usable_secrets_pass_at_start() -> None:
    signature.check_secrets(())
    signature.check_secrets((PLAIN, SECRET, SECRET + "==", "\udcff" + LONE))
    signature.check_secrets((PLAIN, SECRET), require_signature=True)


@pytest.mark.parametrize("key", [b"", b"x", bytes(range(23)), b"x" * 24, b"x" * 64])
def test_a_signing_key_that_could_be_guessed_is_found_at_start(key: bytes) -> None:
    with pytest.raises(ValueError, match="secret 1 of 2 starts with whsec_"):
        signature.check_secrets(("whsec_" + base64.b64encode(key).decode(), SECRET))


@pytest.mark.parametrize("length", [24, 25, 64])
def test_a_signing_key_of_the_least_length_or_more_passes_at_start(length: int) -> None:
    signature.check_secrets(("whsec_" + base64.b64encode(bytes(range(length))).decode(),))


def test_an_empty_secret_and_signatures_without_a_signing_secret_are_found_at_start() -> None:
    with pytest.raises(ValueError, match="secret 1 of 2 is empty"):
        signature.check_secrets(("", SECRET))
    with pytest.raises(ValueError, match="needs a secret that starts with whsec_"):
        signature.check_secrets((PLAIN,), require_signature=True)


@pytest.mark.parametrize(
    ("webhook_id", "at", "secret"), [("", AT, SECRET), ("a.b", AT, SECRET), (ID, -1, SECRET), (ID, AT, PLAIN)]
)
def test_what_no_receiver_would_accept_is_not_signed(webhook_id: str, at: int, secret: str) -> None:
    with pytest.raises(ValueError) as caught:
        signature.sign(webhook_id, at, BODY, secret)
    assert secret not in str(caught.value)


@given(
    webhook_id=st.binary(min_size=1).map(of).filter(lambda text: "." not in text),
    at=st.integers(0, 10**12 - 1),
    body=st.binary(),
    key=st.binary(min_size=1),
)
def test_what_is_signed_is_accepted_and_signed_as_the_specification_says(
    webhook_id: str, at: int, body: bytes, key: bytes
) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    by = signature.sign(webhook_id, at, body, secret)
    assert by == independent_signature(webhook_id.encode("utf-8", "surrogateescape"), str(at).encode(), body, secret)
    assert verify(signed(webhook_id, at, by), body, (secret,), at)
    assert not verify(signed(webhook_id, at, by), body + b"\0", (secret,), at)


anything = st.one_of(
    st.text(st.characters(codec=None), max_size=50),
    st.binary(max_size=50).map(of),
    st.sampled_from(["", "v1,", SIGNATURE, str(AT), "-1", "1e400", ",", " ", LONE]),
)


@given(
    headers=st.dictionaries(
        st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature", "X-Webhook-Secret"]), anything
    ),
    body=st.binary(max_size=50),
    secrets=st.lists(st.one_of(anything, anything.map("whsec_".__add__)), max_size=4).map(tuple),
    now=st.floats(),
)
@example(headers=signed(), body=b"", secrets=(SECRET, LONE), now=AT)
def test_any_headers_and_secrets_get_an_answer_and_no_exception(
    headers: Mapping[str, str], body: bytes, secrets: tuple[str, ...], now: float
) -> None:
    plain = headers.get("X-Webhook-Secret")
    accepted = verify(headers, body, secrets, now, require_signature=False)
    assert accepted == (plain is not None and plain != "" and plain in secrets)
    assert not verify(headers, body, secrets, now, require_signature=True)
