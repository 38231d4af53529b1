"""Secrets in texts that others wrote are found by their forms, and by nothing looser."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.redaction import MARK, holds_secret, may_hold_secret, names_secret, without_secrets, without_secrets_within

KEY = "AIzaSyA1234567890abcdefghijklmnopqrstuvw"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1MSJ9.c2lnbmF0dXJl"
HEX = "fe5f80f77d5fa3beca038a248ff027d0445342fe2855ddc963176630326f1024"

# What backends pass on as str(error), and what is to be nowhere in it.
TOLD = [
    (f"HTTPSConnectionPool(host='h', port=443): Max retries exceeded with url: /v1/m?key={KEY} (Caused by …)", KEY),
    (f"403 for url: https://b.s3.amazonaws.com/k?X-Amz-Credential=AKIA%2F20251023&X-Amz-Signature={HEX}", HEX),
    ("403 for url https://b.s3.amazonaws.com/k.mp4?X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20251023&x=1",
     "AKIAIOSFODNN7EXAMPLE"),
    ("https://b.example/k.mp4?X-Amz-Security-Token=IQoJb3JpZ2luX2VjE&x=1", "IQoJb3JpZ2luX2VjE"),
    (f"https://storage.example/o?X-Goog-Signature={HEX}", HEX),
    ("https://b.example/k?sv=2022&sig=a%2Bb%2Fc%3D&x=1", "a%2Bb%2Fc"),
    ("401 Unauthorized: Authorization: Bearer ya29.a0AfH6SMBx-abcdefghijklmnop rejected", "a0AfH6SMBx"),
    ("{'Authorization': 'Basic dXNlcjpwYXNz'}", "dXNlcjpwYXNz"),
    ('{"Authorization": "Bearer letmein"}', "letmein"),
    ("sent Bearer abc123abc123", "abc123abc123"),
    ("Cannot connect to mysql://rushes:hunter22@db.internal:3306/site", "hunter22"),
    ("Cannot connect to mysql://rushes:hunt@er22@db.internal/site", "er22"),
    ("redis://:hunter22@127.0.0.1/0 is away", "hunter22"),
    ("mysql://rushes:hunt/er22@db.internal/site", "er22"),
    ("https://0123abcd@errors.example/7", "0123abcd"),
    ("Server=db;User Id=sa;Password=hunter22;Timeout=3", "hunter22"),
    ("could not connect: host=db password='hunter 22' user=me", "22"),
    ("DefaultEndpointsProtocol=https;AccountKey=abc/def+ghi==;Suffix=x", "abc/def"),
    (f"API key not valid: {KEY}", KEY),
    ("Incorrect API key provided: sk-proj-abcdefghijklmnop", "abcdefghijklmnop"),
    ("Invalid api key 0123abcd0123abcd", "0123abcd0123abcd"),
    ("api_key is 0123abcd", "0123abcd"),
    ("webhook secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw refused", "MfKQ9r8GKYq"),
    ("X-Webhook-Secret: a-long-enough-secret", "a-long-enough"),
    ("{'X-Webhook-Secret': 'short'}", "short"),
    ('{"api_key":"hun\\"ter22","a":1}', "ter22"),
    (r'said {\"client_secret\":\"hunter\",\"a\":1}', "hunter"),
    ("Set-Cookie: __session=abc; Path=/", "abc"),
    (f"token {JWT} has expired", "eyJ"),
    (f"for url: %2Fv1%3Fkey%3D{KEY}%26alt%3Djson", KEY),
    (r"for url: /v1?key\u003dhunter22\u0026alt=json", "hunter22"),
    ("git clone with ghp_abcdefghijklmnop1234 failed", "abcdefghijklmnop"),
    ("slack said xoxb-123-abc", "123-abc"),
    ("AWS key AKIAIOSFODNN7EXAMPLE is not known", "IOSFODNN7"),
    ("AWS key ASIAIOSFODNN7EXAMPLE is not known", "IOSFODNN7"),
    ("-----BEGIN PRIVATE KEY-----\nMIIEabc\n-----END PRIVATE KEY-----", "MIIEabc"),
    ("mot de passe : hunter22", "hunter22"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "secret"), TOLD, ids=[text[:40] for text, _ in TOLD])
def test_secret_is_taken_out_of_what_an_error_says(text: str, secret: str) -> None:
    assert secret in text
    assert secret not in without_secrets(text)
    assert holds_secret(text)


PLAIN = [
    "", "Boom", "Ça n'a pas marché", "your token has expired", "Bearer authentication is needed",
    "a basic plan is needed",    "The signature does not match", "max_tokens=8192",
    "Duplicate entry 'k' for key 'video_files.s3Key'",
    "https://host:8080/users/me@example.com", "https://files.example/a.mp4?page=2&keyword=sea", "turkey 2025",
    "write to me@example.com", "PUBLIC_ERROR_SEXUAL: code 13", "password: required", "The secret garden, oil on canvas",
    "429 RESOURCE_EXHAUSTED. You exceeded your current quota", "asian influences", "key: a film about the sea",
    "the token limit was exceeded", "Ask_a risk_taker for a desk-lamp",
]  # fmt: skip


@pytest.mark.parametrize("text", PLAIN)
def test_what_only_speaks_of_secrets_stays_as_it_is(text: str) -> None:
    assert without_secrets(text) == text


def test_what_is_around_a_secret_stays() -> None:
    text = f"403 for url: https://me:pw@h.example/v1?key={KEY}&alt=json, Bearer abc123abc, retry in 3 s"
    assert without_secrets(text) == "403 for url: https://…@h.example/v1?key=…&alt=json, Bearer …, retry in 3 s"
    assert without_secrets('{"password":"hunter22","code":13}') == '{"password":"…","code":13}'


PIECES = st.lists(
    st.sampled_from([text for text, _ in TOLD] + PLAIN + [" ", "\n", "é", "{", "key=", "://", "@", '"', "\\", MARK])
    | st.text(max_size=20)
)


@given(PIECES.map("".join))
def test_whatever_is_said_stays_the_same_the_second_time_and_no_form_goes_unseen(text: str) -> None:
    once = without_secrets(text)
    assert without_secrets(once) == once
    assert may_hold_secret(text.lower()) or not holds_secret(text)


@pytest.mark.parametrize("secret", [KEY, JWT, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "AKIAIOSFODNN7EXAMPLE"])
@given(before=st.text(), after=st.text())
def test_secret_that_begins_as_its_kind_does_is_found_between_any_words(secret: str, before: str, after: str) -> None:
    assert secret not in without_secrets(f"{before} {secret} {after}")


@pytest.mark.parametrize(
    "piece",
    ["://", "://a:", "key", "key=", 'key="', "token: ", "token", "secret is ", "bearer ", "authorization: a ", "eyJ",
     "eyJaaaaaaaa", 'password":"', "cookie:", "a1", "-----BEGIN PRIVATE KEY-----", "secret\\\\\\", "@"],
)  # fmt: skip
def test_long_text_takes_time_in_proportion_to_its_length(piece: str) -> None:
    def seconds(size: int) -> float:
        text = "token " + (piece * size)[:size]
        began = time.process_time()
        without_secrets(text)
        return time.process_time() - began

    seconds(1000)
    assert seconds(16_000) < 40 * max(seconds(2_000), 0.001)


def test_secrets_are_found_at_any_depth_and_by_their_names() -> None:
    found = without_secrets_within(
        {"a": [f"key={KEY}", 3, None, True], "b": {"client_secret": "sea", "token_count": 12, "tokens": "many"}}
    )
    assert found == {"a": ["key=…", 3, None, True], "b": {"client_secret": "…", "token_count": 12, "tokens": "many"}}


@pytest.mark.parametrize(
    "name", ["password", "apiKey", "api_key", "X-Api-Key", "access_token", "Authorization", "cookie", "signature"]
)
def test_name_tells_of_a_secret(name: str) -> None:
    assert names_secret(name)


@pytest.mark.parametrize("name", ["key", "s3_key", "prompt", "tokens", "keyframes", "author", "monkey"])
def test_name_tells_of_none(name: str) -> None:
    assert not names_secret(name)
