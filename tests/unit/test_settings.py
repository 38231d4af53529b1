"""Settings that would serve somebody who should not be served, or nobody at all, start no server."""

import re
from pathlib import Path

import pytest
from pydantic import ByteSize

from app.refusals import refuse_unsafe
from app.settings import Settings, SettingsError, load

_DOCUMENT = Path(__file__).parents[2] / "docs/reliability.md"
_ROWS = re.findall(
    r"^\| (`[A-Z].*`) \| (everywhere|production|within reach) \| (.+) \|$", _DOCUMENT.read_text(), re.MULTILINE
)
_GOOD_JWT, _GOOD_WEBHOOK = "a secret of thirty-two characters", "a secret that senders have"
_PLACES = {
    "everywhere": {},
    "within reach": {"HOST": "0.0.0.0", "AUTH_JWT_SECRET": _GOOD_JWT, "WEBHOOK_SECRET": _GOOD_WEBHOOK},
    "production": {
        "APP_ENV": "production", "AUTH_JWT_SECRET": _GOOD_JWT, "WEBHOOK_SECRET": _GOOD_WEBHOOK,
        "DATABASE_URL": "mysql://u:p@db/x", "HOST": "0.0.0.0",
    },
}  # fmt: skip


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings but the test's own."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def start(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    settings = load()
    refuse_unsafe(settings)
    return settings


@pytest.mark.parametrize("place", sorted(_PLACES))
def test_places_of_the_table_start_without_its_settings(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    start(monkeypatch, _PLACES[place])


@pytest.mark.parametrize(("settings", "place", "said"), _ROWS, ids=[f"{place}: {row}" for row, place, _ in _ROWS])
def test_every_row_of_the_table_of_refused_settings_is_refused_with_its_sentence(
    monkeypatch: pytest.MonkeyPatch, settings: str, place: str, said: str
) -> None:
    changed = dict(pair.split("=", 1) for pair in re.findall("`([^`]+)`", settings))
    values = {name: value.strip('"') for name, value in changed.items()}
    with pytest.raises(SettingsError) as refused:
        start(monkeypatch, _PLACES[place] | values)
    sentence = str(refused.value)
    assert said in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    secrets = [value for name, value in values.items() if "SECRET" in name and len(value) > 5]
    assert not [secret for secret in (*secrets, "hush") if secret in sentence]


def test_table_of_refused_settings_is_read_whole() -> None:
    section = _DOCUMENT.read_text().partition("## Settings that are refused")[2].partition("\n## ")[0]
    assert len(_ROWS) == len(re.findall(r"^\|", section, re.MULTILINE)) - 2 > 60


@pytest.mark.parametrize(
    ("text", "size"),
    [("1MiB", 2**20), ("512 KiB", 512 * 1024), ("256mib", 256 * 2**20), ("4MB", 4_000_000), ("1 kb", 1000),
     ("1.5 MiB", 1_572_864), ("2097152", 2_097_152), (" 100 ", 100), ("1000B", 1000)],
)  # fmt: skip
def test_sizes_are_given_in_bytes_or_with_their_unit(monkeypatch: pytest.MonkeyPatch, text: str, size: int) -> None:
    assert start(monkeypatch, {"MAX_BODY_BYTES": text}).max_body_bytes == size
    sizes = [name for name, field in Settings.model_fields.items() if isinstance(field.default, ByteSize)]
    assert len(sizes) >= 11
    for name in sizes:
        monkeypatch.setenv(name.upper(), "2 KiB")
    found = load()
    assert {getattr(found, name) for name in sizes} == {2048}


@pytest.mark.parametrize(
    "values",
    [
        {"WEBHOOK_SECRET": "x"},
        {"WEBHOOK_SECRET": "short", "AUTH_JWT_SECRET": "short"},
        {"WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "HOST": "0.0.0.0", "AUTH_JWT_SECRET": _GOOD_JWT},
        {"AUTH_JWKS_URL": "https://issuer.example/jwks"},
        {"AUTH_JWKS_URL": "http://127.0.0.1:1/jwks"},
        {"AUTH_JWKS_URL": "http://[::1]:1/jwks"},
        {"HOST": "localhost"},
        {"HOST": "::1"},
        {"TRUSTED_PROXIES": "10.0.0.0/8, 127.0.0.1, ::1, fc00::/7, 172.16.0.0/12"},
        {"CORS_ORIGINS": "https://App.example:443/, http://localhost:3000, capacitor://localhost, http://[::1]:3"},
        {"AUTH_JWT_SECRET": _GOOD_JWT, "AUTH_ADMIN_CLAIM": "metadata.role=admin", "AUTH_JWT_ISSUER": "us"},
        {"PUBLIC_URL": "https://rushes.example/videos", "AUTH_JWT_SECRET": _GOOD_JWT},
        {"DATABASE_URL": "mysql://u:p@db/x?sslmode=require"},
        {"WEBHOOK_SECRET": "", "AUTH_JWT_ISSUER": "", "TRUSTED_PROXIES": "", "CORS_ORIGINS": "", "AUTH_COOKIE": ""},
    ],
)
def test_settings_that_are_well_are_not_refused(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    start(monkeypatch, values)


@pytest.mark.parametrize("named", ["AUTH_JWT_ISSUER", "AUTH_JWT_AUDIENCE"])
def test_production_takes_an_issuers_keys_with_what_tells_its_customers_apart(
    monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    production = _PLACES["production"] | {"AUTH_JWT_SECRET": "", "AUTH_JWKS_URL": "https://issuer.example/jwks"}
    settings = start(monkeypatch, production | {named: "https://us.issuer.example"})
    assert settings.admin_claim is None


def test_claim_that_makes_admins_is_ours_by_default_only_with_our_own_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    assert start(monkeypatch, {"AUTH_JWT_SECRET": _GOOD_JWT}).admin_claim == ("role", "admin")
    assert start(monkeypatch, {"AUTH_ADMIN_CLAIM": " a.b = x=y ".strip()}).admin_claim == ("a.b", "x=y")
    monkeypatch.delenv("AUTH_JWT_SECRET")
    monkeypatch.delenv("AUTH_ADMIN_CLAIM")
    assert start(monkeypatch, {"AUTH_JWKS_URL": "https://issuer.example/jwks"}).admin_claim is None


_NUMBERS = [name for name, field in Settings.model_fields.items() if field.annotation in (int, float)]


@pytest.mark.parametrize("name", _NUMBERS)
def test_number_that_means_nothing_is_refused_whatever_it_is_for(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for value in ("-1", "9" * 25, "9" * 5000, "nan", "inf", "1e400", "ten", "0x10", "1,000"):
        with pytest.raises(SettingsError, match=name.upper()):
            start(monkeypatch, {name.upper(): value})


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("https://Rushes.example:443/videos", "https://rushes.example"),
        ("http://rushes.example:8080", "http://rushes.example:8080"),
        ("", ""),
        ("rushes.example/videos", "rushes.example/videos"),
        ("https://[", "https://["),
    ],
)
def test_public_origin_is_written_as_browsers_write_it_and_what_is_no_address_stays(address: str, origin: str) -> None:
    assert Settings(public_url=address).public_origin == origin


def test_without_a_public_url_there_is_no_origin() -> None:
    assert Settings().public_origin == ""


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("::", "http://[::1]:8080"),
        ("localhost", "http://localhost:8080"),
        ("10.0.0.7", "http://10.0.0.7:8080"),
    ],
)
def test_server_that_listens_everywhere_is_asked_on_its_own_machine(host: str, address: str) -> None:
    assert Settings(host=host).local_url == address


def test_own_webhooks_are_signed_when_any_secret_signs() -> None:
    signing = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    assert Settings(webhook_secret=f"plain, {signing}").sending_secret == signing
    assert Settings(webhook_secret="plain, other").sending_secret == "plain"
    assert Settings().sending_secret is None
