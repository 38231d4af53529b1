"""Who a token speaks for, and all that must not pass for one."""

import asyncio
import base64
import time
from collections.abc import Callable
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from app.auth.tokens import Identity, TokenError, Tokens

SECRET = "a secret of thirty-two characters"


def tokens(**settings: Any) -> Tokens:
    keys = {"secret": SECRET, "jwks_url": None, "jwks_max_age": 3600.0, "jwks_cool_down": 30.0}
    return Tokens(**(keys | {"admin_claim": ("role", "admin")} | settings))


def token(secret: str | rsa.RSAPrivateKey = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    return jwt.encode({"sub": "u1", "exp": int(time.time()) + 60} | claims, secret, algorithm=algorithm)


async def test_token_names_user_organisation_and_role() -> None:
    exp = int(time.time()) + 60
    assert await tokens().verify(token(exp=exp, org_id="o1")) == Identity("u1", "o1", expires_at=exp)
    assert (await tokens().verify(token(role="admin"))).admin
    assert (await tokens(admins=("u1",)).verify(token())).admin
    assert not (await tokens(admins=("u2",)).verify(token(role="user"))).admin
    for nothing in ("", None):  # as some issuers name no organisation
        assert (await tokens().verify(token(org_id=nothing))).organization_id is None


async def test_token_for_later_is_refused_until_then_but_for_a_minute_that_clocks_may_differ() -> None:
    for early in (-3600, 0, 55):
        assert (await tokens().verify(token(nbf=int(time.time()) + early))).user_id == "u1"
    assert (await tokens().verify(token(iat=int(time.time()) + 3600))).user_id == "u1"


def without(*names: str) -> str:
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
        lambda: token(exp=str(int(time.time()) + 60)),
        lambda: token(nbf="1"),
        lambda: token(nbf=True),
        lambda: token(nbf=float("-inf")),
        lambda: token(sub="u1 "),
        lambda: token(sub="\u00a0u1"),
        lambda: token(sub="u\ud83d1"),
        lambda: token(sub="u1\0"),
        lambda: token(sub=5),
        lambda: token(org_id="o1\t"),
        lambda: token(org_id="\udc00"),
        lambda: token(v=2, o={"id": "o1 "}),
        lambda: token(v=2, o={"id": 5}),
        lambda: token(org_id="o1", v=2, o={"id": "o2"}),
        lambda: token(nbf=float("nan")),
        lambda: "",
        lambda: "é.é.é",
        lambda: token() + "=",
    ],
)
async def test_token_with_anything_wrong_is_refused(bad: Callable[[], str]) -> None:
    with pytest.raises(TokenError):
        await tokens().verify(bad())


async def test_token_that_was_verified_is_known_again_and_refused_once_it_has_expired(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decode, decoded = jwt.decode, []

    def counted(given: str, *rest: Any, **how: Any) -> Any:
        decoded.append(given)
        return decode(given, *rest, **how)

    monkeypatch.setattr(jwt, "decode", counted)
    ours, short = tokens(), token(exp=int(time.time()) + 2)
    assert [(await ours.verify(short)).user_id for _ in range(3)] == ["u1"] * 3
    assert decoded == [short]

    async def until_refused() -> None:
        while True:
            await ours.verify(short)
            await asyncio.sleep(0.05)

    with pytest.raises(TokenError, match="expired"):
        await until_refused()
    assert decoded == [short, short]
    for changed in (short[:-1], short + "A", short.swapcase()):
        with pytest.raises(TokenError):
            await ours.verify(changed)


async def test_no_more_tokens_are_remembered_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.auth.tokens._VERIFIED_MAX", 3)
    ours = tokens()
    for number in range(10):
        assert (await ours.verify(token(sub=f"u{number}"))).user_id == f"u{number}"
        with pytest.raises(TokenError):
            await ours.verify(token("another secret of the same length!", sub=f"u{number}"))
    assert [known.identity.user_id for known in ours._verified.values()] == ["u7", "u8", "u9"]


async def test_issuer_and_audience_are_checked_where_they_are_set() -> None:
    strict = tokens(issuer="https://issuer", audience="rushes")
    assert (await strict.verify(token(iss="https://issuer", aud=["rushes", "x"]))).user_id == "u1"
    for claims in ({}, {"iss": "https://issuer"}, {"aud": "rushes"}, {"iss": "https://other", "aud": "rushes"}):
        with pytest.raises(TokenError):
            await strict.verify(token(**claims))


@given(st.one_of(st.text(), st.binary().map(lambda b: b.decode("latin-1"))), st.integers(0, 250))
async def test_no_rubbish_passes_or_raises_anything_else(rubbish: str, at: int) -> None:
    good = token()
    for text in (rubbish, f"{good[:at]}{rubbish}{good[at:]}" if rubbish.strip() else rubbish):
        if text == good:
            continue
        with pytest.raises(TokenError):
            await tokens().verify(text)


async def refusal(verifier: Tokens, text: str) -> str:
    with pytest.raises(TokenError) as refused:
        await verifier.verify(text)
    return str(refused.value)


async def test_whoever_looks_for_the_reason_of_a_refusal_finds_it_and_nothing_of_the_token() -> None:
    strict = tokens(issuer="https://issuer", audience="rushes", parties=("https://app.example",))
    good = {"iss": "https://issuer", "aud": "rushes", "azp": "https://app.example"}
    for change, reason in (
        ({"exp": int(time.time()) - 1}, "expired"),
        ({"iss": "https://other"}, "wrong issuer"),
        ({"aud": "other"}, "wrong audience"),
        ({"azp": "https://evil.example"}, "wrong authorized party"),
        ({"azp": None}, "wrong authorized party"),
        ({"azp": ["https://app.example"]}, "wrong authorized party"),
        ({"nbf": int(time.time()) + 600}, "not valid yet"),
        ({"sub": "u1 "}, "unusable sub or organization"),
        ({"sub": 5}, "unusable sub"),
        ({"iss": None}, "no iss"),
        ({"aud": None}, "no aud"),
        ({"org_id": "a", "o": {"id": "b"}}, "two organizations"),
    ):
        claims: dict[str, Any] = {name: value for name, value in (good | change).items() if value is not None}
        assert await refusal(strict, token(**claims)) == reason
    assert await refusal(tokens(), without("sub")) == "no sub"
    assert await refusal(strict, token("another secret of 32 characters!!", **good)) == "bad signature"
    assert await refusal(strict, token(SECRET * 3, "HS512", **good)) == "wrong algorithm"
    assert await refusal(strict, "rubbish") == "malformed"
    assert (await strict.verify(token(**good))).user_id == "u1"


async def test_organization_is_read_in_both_of_clerks_forms() -> None:
    for claims, organization in (
        ({"v": 2, "o": {"id": "org_1", "rol": "member", "slg": "acme"}}, "org_1"),
        ({"org_id": "org_1", "o": {"id": "org_1"}}, "org_1"),
        ({"org_id": "", "o": {"id": "org_1"}}, "org_1"),
        ({"org_id": "org_1", "o": {}}, "org_1"),
        ({"v": 2, "o": {"rol": "admin"}}, None),
        ({"v": 2, "o": {"id": ""}}, None),
        ({"v": 2}, None),
        ({"o": "something of another issuer"}, None),
    ):
        assert (await tokens().verify(token(**claims))).organization_id == organization


@pytest.mark.parametrize(
    ("claim", "claims"),
    [
        (("role", "admin"), {"role": "admin"}),
        (("roles", "admin"), {"roles": ["viewer", "admin"]}),
        (("metadata.role", "admin"), {"metadata": {"role": "admin"}}),
        (("https://app.example/roles", "admin"), {"https://app.example/roles": ["admin"]}),
        (("a.b.c", "x"), {"a.b": {"c": "x"}}),
        (("a.b.c", "x"), {"a": {"b.c": "x"}}),
        (("is_admin", "true"), {"is_admin": True}),
        (("o.rol", "admin"), {"v": 2, "o": {"id": "o1", "rol": "admin"}}),
    ],
)
async def test_admin_is_who_has_the_claim_that_is_named_and_nobody_else(
    claim: tuple[str, str], claims: dict[str, Any]
) -> None:
    assert (await tokens(admin_claim=claim).verify(token(**claims))).admin
    for other in (None, ("other", claim[1]), (claim[0], "other")):
        assert not (await tokens(admin_claim=other).verify(token(**claims))).admin


@pytest.mark.parametrize(
    "claims", [{"role": "Admin"}, {"role": "admin "}, {"role": {"admin": 1}}, {"role": [["admin"]]}, {"roles": "admin"},
               {"metadata": {"role": "admin"}}, {"role": None}, {"role": "administrator"}]
)  # fmt: skip
async def test_what_only_looks_like_the_claim_makes_no_admin(claims: dict[str, Any]) -> None:
    assert not (await tokens().verify(token(**claims))).admin


# In each of these, one side is before the other as texts are ordered, and behind it in another.
@pytest.mark.parametrize(
    ("who", "author", "organization", "sees"),
    [
        (Identity("bob"), "bob", None, True),
        (Identity("bob"), "ada", None, False),
        (Identity("bob"), "cyd", None, False),
        (Identity("bob", "mid"), "cyd", "mid", True),
        (Identity("bob", "mid"), "cyd", "low", False),
        (Identity("bob", "mid"), "cyd", "top", False),
        (Identity("bob", "mid"), "cyd", None, False),
        (Identity("bob", "mid"), "bob", "top", True),
        (Identity("bob", None), "cyd", None, False),
        (Identity("bob", None), "cyd", "mid", False),
        (Identity("root", admin=True), "cyd", "mid", True),
        (Identity("root", admin=True), "cyd", None, True),
    ],
)
def test_jobs_are_seen_by_their_author_his_organization_and_admins_alone(
    who: Identity, author: str, organization: str | None, sees: bool
) -> None:
    # As they come from a database: equal, and not the same object.
    apart = "".join(list(author)), organization and "".join(list(organization))
    assert who.may_see(*apart) is sees


def test_whose_token_it_is_cannot_be_changed_afterwards() -> None:
    with pytest.raises(AttributeError):
        Identity("bob").admin = True  # type: ignore[misc]  # mypy says so too


def test_true_and_false_are_claims_of_their_own_and_not_of_the_order_of_words() -> None:
    def admin(wanted: str, found: object) -> bool:
        return tokens(admin_claim=("is_admin", wanted))._is_admin({"is_admin": found})

    assert (admin("true", True), admin("false", False)) == (True, True)
    assert (admin("true", False), admin("false", True)) == (False, False)
    assert (admin("zzz", True), admin("", True)) == (False, False)


async def test_name_is_as_long_as_the_columns_that_hold_it_and_no_longer() -> None:
    assert (await tokens().verify(token(sub="u" * 191))).user_id == "u" * 191
    with pytest.raises(TokenError, match="unusable sub"):
        await tokens().verify(token(sub="u" * 192))
