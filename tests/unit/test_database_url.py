"""What DATABASE_URL says: a demand for TLS that is dropped in silence sends passwords and prompts in the clear."""

import ssl
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.db.connection import connect
from app.db.errors import UnreachableError
from app.db.url import parameters

CA = quote(str(Path(__file__).with_name("ca.pem")))


def said(query: str) -> dict[str, Any]:
    return parameters(f"mysql://rushes:hush@db.example:3307/site?{query}")


@pytest.mark.parametrize(
    "query",
    [
        "ssl=true", "ssl=1", "SSL=True", "ssl=required", "ssl=on", "sslmode=require", "sslmode=verify-full",
        "ssl-mode=REQUIRED", "ssl_mode=VERIFY_IDENTITY", "sslMode=VERIFY_IDENTITY", "sslaccept=strict", "tls=true",
        'ssl={"rejectUnauthorized":true}', "ssl=%7B%22rejectUnauthorized%22%3Atrue%7D", "ssl={}",
        "useSSL=true&requireSSL=true&verifyServerCertificate=true", "ssl_verify_cert=true&ssl_verify_identity=true",
        f"sslcert={CA}", f"ssl_ca={CA}", f"ssl-ca={CA}", f"sslrootcert={CA}&sslmode=verify-full",
        f"sslaccept=strict&sslcert={CA}&connection_limit=5", "ssl=true&sslmode=require&charset=utf8mb4",
    ],
)  # fmt: skip
def test_who_asks_for_tls_gets_it_with_the_certificate_and_the_name_checked(query: str) -> None:
    context = said(query)["ssl"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize("query", ["sslmode=verify-ca", f"ssl-mode=VERIFY_CA&ssl-ca={CA}", "sslMode=VERIFY_CA"])
def test_who_asks_for_the_authority_alone_gets_no_check_of_the_name(query: str) -> None:
    context = said(query)["ssl"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, False)


@pytest.mark.parametrize(
    "query",
    ["", "ssl=false", "ssl=0", "sslmode=disable", "ssl-mode=DISABLED", "tls=false", "useSSL=false",
     "connection_limit=5&pool_timeout=2&charset=utf8mb4"],
)  # fmt: skip
def test_who_asks_for_none_gets_none(query: str) -> None:
    assert "ssl" not in said(query)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("ssl=maybe", "ssl with a meaning that is not understood"),
        ("ssl=Amazon%20RDS", "not understood"),
        ("ssl=true;charset=utf8", "not understood"),
        ("ssl", "ssl without a value"),
        ("ssl=", "ssl without a value"),
        ("sslmode=prefer", "whose server nobody checks"),
        ("sslmode=allow", "whose server nobody checks"),
        ("ssl-mode=PREFERRED", "ssl-mode for a connection whose server nobody checks"),
        ("tls=skip-verify", "whose server nobody checks"),
        ("tls=preferred", "whose server nobody checks"),
        ("tls=my-own-config", "not understood"),
        ("sslaccept=accept_invalid_certs", "whose server nobody checks"),
        ('ssl={"rejectUnauthorized":false}', "whose server nobody checks"),
        ('ssl={"rejectUnauthorized":"true"}', "whose server nobody checks"),
        ('ssl={"ca":"-----BEGIN"}', "more than rejectUnauthorized"),
        ("ssl={rejectUnauthorized:true}", "no JSON"),
        ("verifyServerCertificate=false&useSSL=true", "whose server nobody checks"),
        ("ssl_verify_identity=false", "whose server nobody checks"),
        ("sslidentity=/x.p12", "sslidentity with a meaning that is not understood"),
        ("ssl_cert=/client.pem", "ssl_cert with a meaning"),
        ("sslkey=/client.key", "sslkey with a meaning"),
        ("enableTLS=true", "enableTLS with a meaning"),
        ("&amp;ssl=true", "a parameter for TLS with a meaning"),
        ("ssl=true&ssl=false", "ssl twice"),
        ("sslmode=require&SSLMODE=require", "twice"),
        ("ssl=false&sslmode=require", "contradicts itself"),
        (f"ssl=false&sslcert={CA}", "contradicts itself"),
        ("sslmode=verify-ca&tls=false", "contradicts itself"),
        ("sslmode=verify-ca&ssl_mode=VERIFY_IDENTITY", "contradicts itself"),
        (f"sslcert={CA}&ssl_ca={CA}", "more than one CA's file"),
        ("sslcert=/nowhere.pem", "CA's file that cannot be read: no such file"),
        (f"sslcert={quote(__file__)}", "no certificate in PEM form"),
        ("socket=/a&unix_socket=/b", "more than one socket"),
        ("socket=a", "no absolute path"),
        ("x=1#&ssl=true", "# that is not percent-encoded"),
    ],
)  # fmt: skip
def test_what_is_less_than_checked_or_not_understood_is_refused_with_a_sentence(query: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as refused:
        said(query)
    told = str(refused.value)
    assert told.endswith((".", "…."))
    assert "\n" not in told
    assert not [secret for secret in ("hush", "nowhere.pem", "client", "BEGIN", "Amazon") if secret in told]


@pytest.mark.parametrize("name", ["socket", "unix_socket"])
def test_socket_is_found_under_both_of_its_names(name: str) -> None:
    assert said(f"{name}=%2Frun%2Fmy%20sql.sock")["unix_socket"] == "/run/my sql.sock"


async def test_socket_that_is_not_there_is_named() -> None:
    with pytest.raises(UnreachableError, match="/run/nobody/mysock"):
        await connect("mysql://u:hush@db.example/x?socket=/run/nobody/mysock", 5)


@given(st.text(min_size=1).filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text)))
def test_any_password_is_sent_as_it_was_meant(password: str) -> None:
    sent = parameters(f"mysql://u:{quote(password, safe='')}@h/x")["password"].encode("latin-1")
    assert sent.decode() == password


def test_how_prisma_judges_certificates_asks_for_none_where_nothing_leaves_the_machine() -> None:
    assert "ssl" not in said("socket=/run/s&sslaccept=strict&connection_limit=5")
    assert "ssl" in said("socket=/run/s&ssl=true")
    with pytest.raises(ValueError, match="nobody checks"):
        said("socket=/run/s&sslaccept=accept_invalid_certs")


_PART = st.text(alphabet="abcxyzABC_-0", max_size=8)


@given(_PART, st.sampled_from(["ssl", "tls", "SSL", "Tls"]), _PART, st.text(max_size=8))
def test_parameter_about_tls_that_is_not_known_never_goes_unnoticed(
    before: str, word: str, after: str, value: str
) -> None:
    assume(before or after)
    with pytest.raises(ValueError, match="DATABASE_URL"):
        said(f"{quote(before + word + after)}={quote(value, errors='replace')}")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("mysql://u:hush@h:0/x", "port that is not a number"),
        ("mysql://u:hush@h:70000/x", "port that is not a number"),
        ("mysql://u:hush@h:many/x", "port that is not a number"),
        ("mysql://u:hush@one,two/x", "host that can be none"),
        ("mysql://u:hush@h /x", "host that can be none"),
        ("mysql://u:hush@%2Frun%2Fmysqld.sock/x", r"socket is named by \?socket="),
        ("mysql://u:hush%ff@h/x", "must look like"),
        ("mysql://u%00:hush@h/x", "must look like"),
        ("mysql://u:hush@h/x%0A", "must look like"),
        ("mysql://u:hush@h/x/y", "must look like"),
        ("mysql:/h/x", "must look like"),
        ("mysql://u:hush@h", "must look like"),
        ("mysql://u:hush@h/", "must look like"),
        ("mysql+pymysql://u:hush@h/x", "must look like"),
        ("mysql://u:hush@[::1/x", "must look like"),
    ],
)
def test_address_at_which_nothing_can_be_is_refused_instead_of_being_waited_for(url: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as refused:
        parameters(url)
    assert "hush" not in str(refused.value)
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("Db.example", "db.example", 3306),
        ("my_db-1:1", "my_db-1", 1),
        ("[::1]:3307", "::1", 3307),
        ("", "localhost", 3306),
    ],
)
def test_address_is_read(address: str, host: str, port: int) -> None:
    found = parameters(f"mariadb://me%40home:p%2Fw@{address}/a%20site")
    assert (found["host"], found["port"], found["user"], found["db"]) == (host, port, "me@home", "a site")
