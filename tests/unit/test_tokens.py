"""Who a token speaks for, and all that must not pass for one."""

import base64
import time

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from app.tokens import Identity, TokenError, Tokens

SECRET = "a secret of thirty-two characters"


def tokens(**settings) -> Tokens:
    keys = {"secret": SECRET, "jwks_url": None, "ticket_secret": SECRET}
    seconds = {"ticket_seconds": 60.0, "jwks_max_age": 3600.0, "jwks_cool_down": 30.0}
    return Tokens(**(keys | seconds | settings))


def token(secret=SECRET, algorithm="HS256", **claims) -> str:
    return jwt.encode({"sub": "u1", "exp": int(time.time()) + 60} | claims, secret, algorithm=algorithm)


async def test_token_names_user_organisation_and_role():
    exp = int(time.time()) + 60
    assert await tokens().verify(token(exp=exp, org_id="o1")) == Identity("u1", "o1", expires_at=exp)
    assert (await tokens().verify(token(role="admin"))).admin
    assert (await tokens(admins=("u1",)).verify(token())).admin
    assert not (await tokens(admins=("u2",)).verify(token(role="user"))).admin
    for nothing in ("", None):  # as some issuers name no organisation
        assert (await tokens().verify(token(org_id=nothing))).organization_id is None


async def test_token_for_later_is_refused_until_then_but_for_a_minute_that_clocks_may_differ():
    for early in (-3600, 0, 55):
        assert (await tokens().verify(token(nbf=int(time.time()) + early))).user_id == "u1"
    assert (await tokens().verify(token(iat=int(time.time()) + 3600))).user_id == "u1"


def without(*names) -> str:
    claims = {"sub": "u1", "exp": int(time.time()) + 60}
    return jwt.encode({k: v for k, v in claims.items() if k not in names}, SECRET, algorithm="HS256")


def unsigned() -> str:
    parts = [{"alg": "none", "typ": "JWT"}, {"sub": "u1", "exp": int(time.time()) + 60}]
    return ".".join(base64.urlsafe_b64encode(orjson.dumps(p)).rstrip(b"=").decode() for p in parts) + "."


def signed_with_rsa() -> str:
    return token(rsa.generate_private_key(public_exponent=65537, key_size=2048), "RS256")


@pytest.mark.parametrize(
    "bad",
    [
        lambda: token(exp=int(time.time()) - 1),
        lambda: token("another secret of 32 characters!!"),
        lambda: token(algorithm="HS512", secret=SECRET * 3),
        lambda: token(algorithm="HS384", secret=SECRET * 2),
        unsigned,
        signed_with_rsa,
        lambda: without("sub"),
        lambda: without("exp"),
        lambda: token(sub=""),
        lambda: token(sub="u" * 192),
        lambda: token(org_id=5),
        lambda: token(exp="soon"),
        lambda: token(nbf=int(time.time()) + 65),
        lambda: token(nbf="later"),
        lambda: tokens().ticket(Identity("u1"))[0],
        lambda: "",
        lambda: "é.é.é",
        lambda: token() + "=",
    ],
)
async def test_token_with_anything_wrong_is_refused(bad):
    with pytest.raises(TokenError):
        await tokens().verify(bad())


async def test_issuer_and_audience_are_checked_where_they_are_set():
    strict = tokens(issuer="https://issuer", audience="rushes")
    assert (await strict.verify(token(iss="https://issuer", aud=["rushes", "x"]))).user_id == "u1"
    for claims in ({}, {"iss": "https://issuer"}, {"aud": "rushes"}, {"iss": "https://other", "aud": "rushes"}):
        with pytest.raises(TokenError):
            await strict.verify(token(**claims))


@given(st.one_of(st.text(), st.binary().map(lambda b: b.decode("latin-1"))), st.integers(0, 250))
async def test_no_rubbish_passes_or_raises_anything_else(rubbish, at):
    good = token()
    for text in (rubbish, f"{good[:at]}{rubbish}{good[at:]}" if rubbish.strip() else rubbish):
        if text == good:
            continue
        with pytest.raises(TokenError):
            await tokens().verify(text)
        with pytest.raises(TokenError):
            tokens().verify_ticket(text)


def test_ticket_opens_streams_as_its_buyer_until_his_token_expires():
    until = time.time() + 3600
    who = Identity("u1", "o1", admin=True, expires_at=until)
    ticket, expires_at = tokens().ticket(who)
    assert tokens().verify_ticket(ticket) == who
    assert time.time() + 50 < expires_at <= time.time() + 60
    assert tokens().ticket(Identity("u1", expires_at=time.time() + 5))[1] <= time.time() + 5


def test_ticket_is_good_for_a_while_and_for_one_secret_only():
    ticket, _ = tokens(ticket_seconds=-1).ticket(Identity("u1"))
    for strange in (ticket, tokens(ticket_secret="other").ticket(Identity("u1"))[0], token()):
        with pytest.raises(TokenError):
            tokens().verify_ticket(strange)
