"""Headers are kept with a webhook, to be looked at by admins; secrets among them are not, whatever they are called."""

import time

import orjson
import pytest

from app.domain import headers
from app.domain.headers import kept, kept_json

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1MSJ9.c2lnbmF0dXJl"
OURS = ("hushhushplainsecret", "x")


@pytest.mark.parametrize(
    "name",
    [
        "X-Webhook-Secret", "webhook-signature", "Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie",
        "X-Api-Key", "Api-Key", "ApiKey", "X-APIKEY", "X_API_KEY", "Ocp-Apim-Subscription-Key", "X-Functions-Key",
        "X-Goog-Api-Key", "X-Access-Key-Id", "X-Auth", "X-Auth-Token", "X-Authentication", "X-Authorisation",
        "X-Amz-Security-Token", "X-Amzn-Oidc-Data", "X-Amzn-Oidc-Accesstoken", "X-Hub-Signature-256",
        "Stripe-Signature", "X-Slack-Signature", "X-Password", "X-Passwd", "X-Pwd", "X-Credential", "X-Credentials",
        "X-Session-Id", "X-Sid", "Cf-Access-Jwt-Assertion", "X-Jwt", "X-Vault-Token", "X-Gitlab-Token", "X-CSRFToken",
        "X-Xsrf", "Client-Secret", "X-Hmac-Sha256", "X-Sig", "X-Ms-Client-Principal", "X-Otp", "X-Ticket",
        "X-Forwarded-Access-Token", "X-Goog-Iap-Jwt-Assertion", "Bearer", "X-Private", "Ssl-Client-Cert", "SECRET",
        "X-Api-Keys", "X-Keys", "X-AccessKeyId", "X-KeyString", "X-Pw", "X-Sess", "X-Tok", "Sec-WebSocket-Protocol",
    ],
)  # fmt: skip
def test_header_whose_name_tells_of_a_secret_is_not_kept(name: str) -> None:
    assert kept([(name, "anything")], OURS) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("webhook-id", "msg_1"), ("webhook-timestamp", "1761206400"), ("User-Agent", "rushes/1"), ("Host", "h:8080"),
        ("Content-Type", "application/json"), ("Content-Length", "12"), ("Accept", "*/*"), ("Accept-Encoding", "gzip"),
        ("Idempotency-Key", "k1"), ("X-Request-Id", "3f2a"), ("traceparent", "00-4bf9-00f0-01"), ("X-Author", "bob"),
        ("X-Forwarded-For", "203.0.113.9"), ("X-Retry-Count", "2"), ("X-Keyboard", "qwerty"), ("Date", "Sat"),
        ("X-Forwarded-Proto", "https"), ("X-Signal", "1"), ("X-Machine", "m1"), ("Origin", "https://a.example"),
        ("Referer", "https://a.example/?page=2&keyword=sea"), ("tracestate", "rojo=00f067aa0ba902b7"),
        ("X-Note", "a token, a secret, a password"), ("X-Monkeys", "3"), ("X-Skill", "1"),
    ],
)  # fmt: skip
def test_harmless_header_is_kept_as_it_came(name: str, value: str) -> None:
    assert kept([(name, value)], OURS) == {name.lower(): value}


@pytest.mark.parametrize(
    "value",
    [
        OURS[0], f"  {OURS[0]} ", f"Token {OURS[0]}", f"a={OURS[0]};", "x", "Bearer abc", "basic dTpw", JWT, f"v={JWT}",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "https://user:pass@files.example/", "Digest username=u",
        "https://a.example/?a=b&token=t", "/jobs?api_key=k", "/jobs?X-Amz-Signature=5f", "Server=h;Password=p",
        "pwd = p", "user=u client_secret=s", "AccountKey=a2V5", "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "github_pat_11AAB",
        "glpat-abcdefgh", "sk_live_abcdefgh", "xoxb-1-2-abc", "AKIAIOSFODNN7EXAMPLE", "AIzaSyA1234567890abcdefghijk",
    ],
)  # fmt: skip
def test_secret_is_not_kept_under_a_harmless_name_either(value: str) -> None:
    assert kept([("X-Note", value), ("User-Agent", value)], OURS) == {}


def test_other_headers_stay_beside_one_that_is_left_out() -> None:
    assert kept([("X-Api-Key", "a"), ("X-Note", "b")], OURS) == {"x-note": "b"}


@pytest.mark.parametrize("value", ["@://" + ":" * 8000, "@://" + "a:" * 4000, "eyJ" * 2700, "key" + " " * 8000 + "@"])
def test_headers_made_to_be_slow_are_looked_through_in_a_moment(value: str) -> None:
    began = time.process_time()
    found = kept([(f"x-{n}", value) for n in range(100)], OURS)
    assert time.process_time() - began < 0.5
    assert len(found) <= 2
    assert kept([("a", "b" * 17_000), ("c", "d")], OURS) == {"c": "d"}


@pytest.mark.parametrize("value", ["://" + ":" * 8000 + " @", "-eyJaaaaaaaa" * 680, "x" * 8000 + "@", " " * 8000 + "@"])
def test_long_header_costs_no_more_than_its_length(value: str) -> None:
    began = time.perf_counter()
    kept(((f"x-{number}", value) for number in range(128)), [])
    assert time.perf_counter() - began < 1  # seconds; it took a minute


def raw(*pairs: tuple[str, str]) -> tuple[tuple[bytes, bytes], ...]:
    how = ("utf-8", "surrogateescape")
    return tuple((name.encode(*how), value.encode(*how)) for name, value in pairs)


def test_headers_that_came_before_are_kept_as_they_were_the_first_time() -> None:
    given = raw(("Host", "here"), ("X-Webhook-Secret", "a"), ("X-Note", "é\udcff"), ("x-note", "b"))
    first = kept_json(given, OURS)
    assert orjson.loads(first) == {"host": "here", "x-note": "b"}
    assert kept_json(given, OURS) is first
    assert orjson.loads(kept_json(raw(("X-Note", "é\udcff")), OURS)) == {"x-note": "é?"}


def test_headers_are_looked_through_again_for_another_secret() -> None:
    given = raw(("X-Note", "between"))
    assert kept_json(given, ()) == b'{"x-note":"between"}'
    assert kept_json(given, ("between",)) == b"{}"


def test_what_is_known_of_headers_is_bounded_in_number_and_in_bytes() -> None:
    for n in range(3 * headers._KNOWN_MAX):
        kept_json(raw(("X-Note", f"{n}")), OURS)
    assert len(headers._known) <= headers._KNOWN_MAX
    before = dict(headers._known)
    assert kept_json(raw(("X-Note", "n" * headers._KNOWN_BYTES)), OURS)
    assert headers._known == before
