"""Addresses of videos in S3: signed as botocore signs, for as long as they should be, and of nothing else."""

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from functools import cache, partial
from typing import Any, Self, cast
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

import botocore.auth
import botocore.session
import orjson
import pytest
from botocore.config import Config
from hypothesis import example, given
from hypothesis import strategies as st

from app import storage as module
from app.domain.event import EVENT_MAX, gallery_file
from app.domain.forms import StoredFile
from app.sigv4 import Credentials, Place, presigned, signed_headers
from app.storage import Storage, disposition

WHO = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
S = 1_000_000
AT = 1_700_000_000


def storage(who: Credentials | None = WHO, **settings: Any) -> Storage:
    given: dict[str, Any] = {
        "bucket": "videos",
        "endpoint": None,
        "region": "eu-west-3",
        "ttl": 3600.0,
        "event_max": EVENT_MAX,
    }
    return Storage(credentials=who, **(given | settings))


def file(key: str = "k/1.mp4", url: str | None = None, **fields: Any) -> StoredFile:
    made = gallery_file(["f1", "a.mp4", url, key, 1, "mp4", 8, "16:9", 1, 1], 0, key)
    return cast("StoredFile", made | fields)


def address(ours: Storage, of: StoredFile) -> str:
    """That is shown of it, as there must be one."""
    shown = ours.shown(of)["file_url"]
    assert shown is not None
    return shown


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """A clock that a test sets, in seconds."""
    time = {"now": float(AT)}
    monkeypatch.setattr(module, "now", lambda: int(time["now"] * S))
    return time


def test_signature_is_the_one_of_amazons_own_example() -> None:
    place = Place("https", "examplebucket.s3.amazonaws.com", "/test.txt", "us-east-1")
    made = presigned(WHO, place, at=int(datetime(2013, 5, 24, tzinfo=UTC).timestamp()) * S, seconds=86400)
    assert made.endswith("X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")


class Stopped(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return cls.fromtimestamp(AT - AT % 1800, tz)

    @classmethod
    def utcnow(cls) -> Self:
        return cls.fromtimestamp(AT - AT % 1800, UTC).replace(tzinfo=None)


@cache
def botocore_client(token: str | None, endpoint: str | None) -> Any:
    """Making one takes 0.1 s: it reads descriptions of all that Amazon has."""
    style = "path" if endpoint else "virtual"
    return botocore.session.Session().create_client(
        "s3", region_name="eu-west-3", aws_access_key_id=WHO.key_id, aws_secret_access_key=WHO.secret,
        aws_session_token=token, endpoint_url=endpoint,
        config=Config(signature_version="s3v4", s3={"addressing_style": style}),
    )  # fmt: skip


def by_botocore(
    monkeypatch: pytest.MonkeyPatch, key: str, filename: str | None, token: str | None, **settings: Any
) -> str:
    monkeypatch.setattr(botocore.auth, "get_current_datetime", Stopped.utcnow, raising=False)
    monkeypatch.setattr(botocore.auth.datetime, "datetime", Stopped, raising=False)
    client = botocore_client(token, settings.get("endpoint"))
    asked = {"Bucket": settings.get("bucket", "videos"), "Key": key}
    if filename:
        asked["ResponseContentDisposition"] = disposition(filename)
    return str(client.generate_presigned_url("get_object", Params=asked, ExpiresIn=3600))


KEYS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40).filter(
    lambda key: {".", ".."}.isdisjoint(key.split("/"))
)


@given(
    KEYS, KEYS | st.just(""), st.sampled_from([None, "lent/token+="]), st.sampled_from([None, "http://127.0.0.1:9000"])
)
@example("a b+c%20/é~(1)!*'.mp4", "", None, None)
@example("//videos/..x./k/", 'L\'été "1".mp4', None, None)
def test_every_key_and_name_is_signed_as_botocore_signs_it(
    key: str, filename: str, token: str | None, endpoint: str | None
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        expected = urlsplit(by_botocore(patch, key, filename, token, endpoint=endpoint))
    ours = storage(Credentials(WHO.key_id, WHO.secret, token), endpoint=endpoint)
    made = urlsplit(str(ours.download(file(key, filename=filename))) if filename else address(ours, file(key)))
    assert (made.scheme, made.netloc, made.path) == (expected.scheme, expected.netloc, expected.path)
    assert sorted(parse_qsl(made.query)) == sorted(parse_qsl(expected.query))


def test_headers_of_a_deletion_are_signed_as_botocore_signs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials as Theirs

    monkeypatch.setattr(botocore.auth, "get_current_datetime", Stopped.utcnow, raising=False)
    monkeypatch.setattr(botocore.auth.datetime, "datetime", Stopped, raising=False)
    request = AWSRequest("DELETE", "https://videos.s3.eu-west-3.amazonaws.com/k/1.mp4")
    botocore.auth.S3SigV4Auth(Theirs(WHO.key_id, WHO.secret), "s3", "eu-west-3").add_auth(request)
    place = Place("https", "videos.s3.eu-west-3.amazonaws.com", "/k/1.mp4", "eu-west-3")
    made = signed_headers(WHO, place, "DELETE", at=(AT - AT % 1800) * S)
    assert made["Authorization"] == request.headers["Authorization"]


def test_address_is_good_for_half_its_life_at_least_and_the_same_in_every_process(clock: dict[str, float]) -> None:
    one, other = storage(), storage()
    first = address(one, file())
    for passed in (0, 100, 1799, 1801, 5000):
        clock["now"] = AT - AT % 1800 + passed
        made = dict(parse_qsl(urlsplit(address(one, file())).query))
        assert one.shown(file()) == other.shown(file())
        ends = datetime.strptime(made["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp() + 3600
        assert 1800 <= ends - clock["now"] <= 3600
    assert address(one, file()) != first


def test_signing_is_done_once_for_a_file_and_half(monkeypatch: pytest.MonkeyPatch, clock: dict[str, float]) -> None:
    signed = []

    def sign(*_: object, **fields: object) -> str:
        signed.append(fields)
        return "https://x"

    monkeypatch.setattr(module, "presigned", sign)
    ours = storage()
    for passed in (0, 0, 10, 1800, 1801):
        clock["now"] = AT - AT % 1800 + passed
        ours.shown(file())
    assert len(signed) == 2


def test_addresses_are_remembered_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 10_000)
    ours = storage()
    for number in range(100):
        ours.shown(file(f"k/{number}"))
    assert sum(map(len, ours._signed.values())) <= 10_000
    assert ours._bytes == sum(map(len, ours._signed.values()))


HOSTS = {
    "https://videos.s3.us-west-2.amazonaws.com/a%20b/c.mp4": ("us-west-2", "/a%20b/c.mp4"),
    "https://videos.s3.amazonaws.com/a%20b/c.mp4": ("eu-west-3", "/a%20b/c.mp4"),
    "https://s3.amazonaws.com/videos/a%20b/c.mp4": ("eu-west-3", "/a%20b/c.mp4"),
    "https://s3-us-west-2.amazonaws.com/videos/a%20b/c.mp4": ("us-west-2", "/a%20b/c.mp4"),
    "https://s3.dualstack.us-west-2.amazonaws.com/videos/a%20b/c.mp4": ("us-west-2", "/a%20b/c.mp4"),
    "https://videos.s3.dualstack.us-west-2.amazonaws.com/a%20b/c.mp4?x=1": ("us-west-2", "/a%20b/c.mp4"),
    "https://videos.s3-website-us-west-2.amazonaws.com/other": ("eu-west-3", "/k/1.mp4"),
    "https://others.s3.us-west-2.amazonaws.com/other": ("eu-west-3", "/k/1.mp4"),
    "https://videos.s3.amazonaws.com.evil.example/other": ("eu-west-3", "/k/1.mp4"),
    "https://[half/other": ("eu-west-3", "/k/1.mp4"),
    "file_path only": ("eu-west-3", "/k/1.mp4"),
}


@pytest.mark.parametrize(("url", "expected"), HOSTS.items())
def test_region_is_that_of_an_address_of_amazons_in_the_same_bucket_and_key_where_the_row_has_but_a_path(
    url: str, expected: tuple[str, str]
) -> None:
    region, path = expected
    host = f"videos.s3.{region}.amazonaws.com"
    for own, key in ((file(url=url), path), (file(url=url, file_path="/other/path.mp4"), "/k/1.mp4")):
        made = urlsplit(address(storage(), own))
        assert (made.netloc, made.path) == (host, key)


ODD = ["what?.mp4", "what?a=b.mp4", "a#1.mp4", "100%20sure.mp4", "my video.mp4", "l'été.mp4", "a+b.mp4", "%2e%2e/x.mp4",
       "a&b=c.mp4", "a b%.mp4", "a/b?c#d%3F", "/j1/what?.mp4", "%C3%A9?x=1"]  # fmt: skip


@pytest.mark.parametrize("endpoint", [None, "https://s3.example/base"])
@pytest.mark.parametrize("write", [str, quote, quote_plus, partial(quote, safe="")], ids=["raw", "url", "plus", "all"])
@given(KEYS | st.sampled_from(ODD), st.sampled_from(["", "?X-Amz-Date=1&X-Amz-Signature=2"]), st.booleans())
def test_object_is_that_of_the_rows_key_however_the_sender_wrote_its_address(
    endpoint: str | None, write: Callable[[str], str], key: str, query: str, has_path: bool
) -> None:
    start = "https://videos.s3.us-west-2.amazonaws.com" if endpoint is None else f"{endpoint}/videos"
    fields = {"file_path": "/some/where"} if has_path else {}
    query = "" if "?" in write(key) else query  # nobody presigns what he does not encode
    ours = storage(endpoint=endpoint)
    of = file(key, f"{start}/{write(key)}{query}", **fields)
    made = urlsplit(address(ours, of))
    assert made.hostname == ("videos.s3.us-west-2.amazonaws.com" if endpoint is None else "s3.example")
    assert unquote(made.path) == ("/" if endpoint is None else "/base/videos/") + key
    assert ours.lies_at(of) == ("videos", key)


@pytest.mark.parametrize("rest", ["what?.mp4", "what?a.mp4&b", "a#1.mp4?x=1", "?x=1", ""])
def test_address_whose_key_has_no_certain_end_names_no_other_object_than_the_row(rest: str) -> None:
    url = f"https://videos.s3.us-west-2.amazonaws.com/{rest}"
    assert storage().lies_at(file("/k/1.mp4", url)) == ("videos", "/k/1.mp4")


NO_BUCKETS = [
    "evil/", "evil.com/", "2130706433/", "evil\u3002com/", "a@evil", "evil:80/", "evil?", "evil#", "evil\\", "..",
    "a..b", "Evil", "e v", "-evil", "x" * 64, "é", "%65vil", "evil\n",
]  # fmt: skip


@pytest.mark.parametrize("endpoint", [None, "https://s3.example"])
@pytest.mark.parametrize("bucket", NO_BUCKETS)
async def test_name_that_no_bucket_can_have_signs_nothing(bucket: str, endpoint: str | None) -> None:
    ours = storage(endpoint=endpoint)
    of = file(s3_bucket=bucket, url="https://x/y")
    assert (ours.download(of), ours.lies_at(of), address(ours, of)) == (None, None, "https://x/y")
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(module, "ClientSession")
        await ours.remove(of)


@pytest.mark.parametrize(
    "bucket", [*(name for name in NO_BUCKETS if "/" not in name), "evil%2F", "a%40evil", "evil%E3%80%82com%2F"]
)
def test_address_of_a_sender_whose_bucket_can_be_none_leads_to_no_other_host(bucket: str) -> None:
    for ours in (storage(bucket=None), storage(bucket=None, endpoint="https://s3.example")):
        for start in ("https://s3.eu-west-3.amazonaws.com", "https://s3.amazonaws.com", "https://s3.example"):
            of = file(url=f"{start}/{bucket}/k")
            assert ours.shown(of)["file_url"] == of["file_url"]


@pytest.mark.parametrize("key", ["a/../b", "../other/k", "a/./b", "..", ".", "k/.", "/../k"])
async def test_key_that_a_browser_does_not_ask_for_as_it_is_is_not_signed(key: str) -> None:
    ours, of = storage(), file(key, file_path="/p", url="https://x/y")
    assert (ours.download(of), ours.lies_at(of), address(ours, of)) == (None, None, "https://x/y")
    assert ours.shown(file(key))["file_url"] is None
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(module, "ClientSession")
        await ours.remove(of)


async def test_object_that_an_address_alone_names_is_not_deleted() -> None:
    of = file("/k/1.mp4", "https://videos.s3.us-west-2.amazonaws.com/others.mp4")
    assert storage().lies_at(of) == ("videos", "others.mp4")
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(module, "ClientSession")
        await storage().remove(of)


def test_bucket_of_the_row_comes_before_the_one_of_the_settings_and_that_of_the_address_last() -> None:
    assert address(storage(), file(s3_bucket="own")).startswith("https://own.s3.eu-west-3.amazonaws.com/k/")
    url = "https://theirs.s3.us-west-2.amazonaws.com/x.mp4"
    assert address(storage(bucket=None), file(url=url)).startswith(f"{url}?")
    assert address(storage(bucket=None), file(url="https://x/y")) == "https://x/y"
    assert address(storage(bucket="a.b"), file()).startswith("https://s3.eu-west-3.amazonaws.com/a.b/k/1.mp4?")
    assert "amazonaws.com.cn/" in address(storage(region="cn-north-1"), file())


def test_compatible_service_is_reached_by_its_own_address_and_path() -> None:
    ours = storage(endpoint="http://127.0.0.1:9000/base/", region=None)
    assert address(ours, file()).startswith("http://127.0.0.1:9000/base/videos/k/1.mp4?")
    there = "http://127.0.0.1:9000/base/videos/own%20key"
    assert address(ours, file(url=there)).startswith(f"{there}?")


@pytest.mark.parametrize("fields", [{"s3_provider": "LOCAL"}, {"s3_provider": "GOOGLE_CLOUD"}, {"s3_key": ""}])
def test_what_lies_elsewhere_keeps_its_address(fields: dict[str, str]) -> None:
    assert address(storage(), file(url="https://x/y", **fields)) == "https://x/y"
    assert address(storage(who=None), file(url="https://x/y")) == "https://x/y"


def test_nothing_of_where_a_file_lies_is_told() -> None:
    for ours in (storage(), storage(who=None)):
        assert not [name for name in ours.shown(file(s3_bucket="own", s3_provider="AWS_S3")) if name.startswith("s3")]


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "data:text/html,x", "/local/path", "", None, "ftp://x", " javascript:alert(1)", "//x/y",
     "https://ok.example/x\r\nSet-Cookie: a=b", "https://ok.example/\0x", "https://ok.example/\x01", "https://", "http://\1",
     "http://[::1", "https:evil", "https:///evil.example", "https://ok.example/\x7f", "https://ok.example/a b",
     "https://ok.example:99999/", "https://ok.example:0/"],
)  # fmt: skip
def test_browser_is_sent_to_no_address_that_is_not_of_the_web(url: str | None) -> None:
    assert storage(who=None).download(file(url=url)) is None


@pytest.mark.parametrize(
    ("url", "sent_to"),
    [
        ("HTTPS://OK.example/x?a=%20+b#c", "HTTPS://OK.example/x?a=%20+b#c"),
        ("https://user:pw@ok.example:8443/", "https://user:pw@ok.example:8443/"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x"),
        ("https://ok.example/é\u202e", "https://ok.example/%C3%A9%E2%80%AE"),
    ],
)
def test_browser_is_sent_to_the_stored_address_as_it_would_write_it(url: str, sent_to: str) -> None:
    assert storage(who=None).download(file(url=url)) == sent_to


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("a.mp4", "attachment; filename=\"a.mp4\"; filename*=UTF-8''a.mp4"),
        ('l\'é "1"\r\n', "attachment; filename=\"l'_ _1___\"; filename*=UTF-8''l%27%C3%A9%20%221%22%0D%0A"),
        ("../x\\y%.mp4", "attachment; filename=\".._x_y_.mp4\"; filename*=UTF-8''..%2Fx%5Cy%25.mp4"),
    ],
)  # fmt: skip
def test_name_under_which_a_file_is_saved_can_break_out_of_nothing(filename: str, expected: str) -> None:
    assert disposition(filename) == expected


@given(
    KEYS, st.sampled_from([None, "lent/token+=" * 80]),
    st.sampled_from([None, "http://127.0.0.1:9000", "https://s3.example/a/long/base"]),
    st.sampled_from(["videos", "a.b", "b" * 63]), st.sampled_from(["", "us-gov-west-1", "cn-northwest-1"]),
)  # fmt: skip
def test_no_address_is_longer_than_is_said_beside_its_key(
    key: str, token: str | None, endpoint: str | None, bucket: str, region: str
) -> None:
    ours = storage(Credentials(WHO.key_id, WHO.secret, token), endpoint=endpoint, bucket=bucket, region="eu-west-3")
    url = f"https://s3.{region}.amazonaws.com/{bucket}/{quote(key)}" if region else None
    made = address(ours, file(key, url))
    assert ours.longest - 400 < len(made) - len(quote(key, safe="/~")) <= ours.longest
    assert storage(None).longest == 0


def test_event_goes_out_signed_and_no_larger_than_it_may_be() -> None:
    videos = [file(f"k/{'x' * 150}/{number}", id=str(number)) for number in range(100)]
    data = orjson.dumps({"job_id": "j", "videos": videos, "num_videos": 100})
    whole = orjson.loads(storage().outgoing(data))
    assert len(whole["videos"]) == 100
    assert "X-Amz-Signature" in whole["videos"][99]["file_url"]
    small = storage(event_max=20_000).outgoing(data)
    assert len(small) <= 20_000
    assert 5 < len(orjson.loads(small)["videos"]) < 100
    assert storage().outgoing(b'{"videos":[]}') == b'{"videos":[]}'


TEXTS = st.text(max_size=30) | st.sampled_from([',"s3_key":"', '\\",', "\\", '"'])


@given(TEXTS, TEXTS, TEXTS, TEXTS)
@example("\\", ',"s3_key":"a"', 'x\\"', '"')
def test_without_credentials_nothing_but_the_place_is_taken_out(
    name: str, key: str, bucket: str, provider: str
) -> None:
    stored = gallery_file(["f1", name, key, key, 1, "mp4", 8, name, 1, 1], 0, key, bucket, provider)
    data = orjson.dumps({"message": name, "videos": [stored, stored], "num_videos": 2})
    shown = {field: value for field, value in stored.items() if not field.startswith("s3_")}
    assert orjson.loads(storage(None).outgoing(data)) == {"message": name, "videos": [shown, shown], "num_videos": 2}


def test_secrets_are_not_in_what_is_printed() -> None:
    assert WHO.secret not in repr(Credentials(WHO.key_id, WHO.secret, "t")) + repr(storage())
