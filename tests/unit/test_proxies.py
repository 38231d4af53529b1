"""Whom a request is counted against, and when guessing a secret is stopped."""

import ipaddress
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.auth import proxies
from app.auth.proxies import FailureLimit, client_address, parse_networks

PROXIES = parse_networks("10.0.0.0/8, 2001:db8:aaaa::/48, 192.0.2.9")


def test_the_header_of_a_peer_that_is_no_proxy_is_not_believed() -> None:
    assert client_address("198.51.100.1", "203.0.113.5", PROXIES) == "198.51.100.1"
    assert client_address("10.0.0.1", "203.0.113.5", ()) == "10.0.0.1"


def test_a_proxy_without_the_header_is_the_client() -> None:
    assert client_address("10.0.0.1", None, PROXIES) == "10.0.0.1"
    assert client_address("10.0.0.1", "", PROXIES) == "10.0.0.1"


def test_behind_proxies_the_nearest_address_that_is_no_proxy_is_the_client() -> None:
    assert client_address("10.0.0.1", "203.0.113.5", PROXIES) == "203.0.113.5"
    assert client_address("10.0.0.1", "203.0.113.5, 192.0.2.9,10.1.1.1", PROXIES) == "203.0.113.5"
    assert client_address("2001:db8:aaaa::1", "2001:db8:bbbb::7, 10.1.1.1", PROXIES) == "2001:db8:bbbb::7"


def test_what_the_client_wrote_into_the_header_itself_is_not_reached() -> None:
    assert client_address("10.0.0.1", "1.1.1.1, 10.0.0.7, 203.0.113.5, 10.1.1.1", PROXIES) == "203.0.113.5"
    assert client_address("10.0.0.1", "nonsense, 203.0.113.5", PROXIES) == "203.0.113.5"


def test_where_all_are_proxies_the_farthest_is_the_client() -> None:
    assert client_address("10.0.0.1", "10.0.0.3, 10.0.0.2", PROXIES) == "10.0.0.3"


def test_no_more_than_thirty_entries_are_walked_however_long_the_header_is() -> None:
    chain = [f"10.0.{number // 200}.{number % 200}" for number in range(10_000)]
    assert client_address("10.0.0.1", ", ".join(["203.0.113.5", *chain[:29]]), PROXIES) == "203.0.113.5"
    assert client_address("10.0.0.1", ", ".join(["203.0.113.5", *chain[:30]]), PROXIES) == chain[0]
    assert client_address("10.0.0.1", ",".join(["203.0.113.5", *chain]), PROXIES) == chain[-30]


def test_a_long_header_costs_what_thirty_entries_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = []
    real = proxies._address

    def looked(text: str) -> IPv4Address | IPv6Address | None:
        looked_at.append(text)
        return real(text)

    monkeypatch.setattr(proxies, "_address", looked)
    client_address("10.0.0.1", "10.1.1.1," * 100_000 + "10.1.1.1", PROXIES)
    assert len(looked_at) == 31


@pytest.mark.parametrize(
    "entry",
    [
        "unknown",
        "",
        " ",
        "_hidden",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "1.2.3.4:",
        "1.2.3.4:x",
        "1.2.3.4:123456",
        "[::1",
        "::1]",
        "[]:1",
        "[::1]x",
        "1.2.3.4/8",
        "١.2.3.4",
        "\udcff",
        chr(0xD800),
        "9" * 100_000,
    ],
)
def test_what_is_no_address_ends_the_walk_at_the_proxy_that_passed_it_on(entry: str) -> None:
    assert client_address("10.0.0.1", f"203.0.113.5, {entry}, 10.0.0.2", PROXIES) == "10.0.0.2"


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("1.2.3.4:5", "1.2.3.4"),
        ("[::1]:123", "::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("[::ffff:102:304]:80", "1.2.3.4"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_ports_zones_and_spellings_do_not_make_another_client(entry: str, address: str) -> None:
    assert client_address("10.0.0.1", entry, PROXIES) == address
    assert client_address(entry, None, PROXIES) == address


def test_a_proxy_is_known_by_its_mapped_address_and_port_too() -> None:
    assert client_address("::ffff:10.0.0.1", "203.0.113.5, [::ffff:10.0.0.2]:8080", PROXIES) == "203.0.113.5"


def test_a_peer_without_an_address_is_left_as_it_is() -> None:
    assert client_address("", "203.0.113.5", PROXIES) == ""
    assert client_address("unix:", "203.0.113.5", parse_networks("0.0.0.0/0, ::/0")) == "unix:"


def test_networks_are_read_with_and_without_prefix_and_mapped_ones_as_ipv4() -> None:
    assert parse_networks("") == parse_networks(" , ") == ()
    assert parse_networks(" 10.0.0.0/8,127.0.0.1 ,::1, ::ffff:10.0.0.0/104") == (
        ipaddress.ip_network("10.0.0.0/8"),
        ipaddress.ip_network("127.0.0.1/32"),
        ipaddress.ip_network("::1/128"),
        ipaddress.ip_network("10.0.0.0/8"),
    )


@pytest.mark.parametrize(
    "wrong", ["proxy.example", "10.0.0.5/8", "10.0.0.0/33", "10.0.0.0 127.0.0.1", "1.2.3.4:5", "é"]
)
def test_a_network_that_is_none_is_named_in_one_sentence(wrong: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_networks(f"127.0.0.1, {wrong}")
    assert str(caught.value) == f"{wrong!r} is no network like 10.0.0.0/8 or 2001:db8::/32, and no address"


@given(
    peer=st.one_of(st.ip_addresses().map(str), st.text(st.characters(codec=None), max_size=20)),
    entries=st.lists(st.one_of(st.ip_addresses().map(str), st.text(st.characters(codec=None), max_size=20))),
    client=st.ip_addresses(v=4).filter(lambda a: not any(a in n for n in PROXIES)).map(str),
)
def test_nothing_a_client_writes_changes_whom_it_is_counted_against(peer: str, entries: list[str], client: str) -> None:
    assert client_address("10.0.0.1", ",".join([*entries, client, "10.0.0.2"]), PROXIES) == client
    assert client_address(client, ",".join(entries), PROXIES) == client
    limit = FailureLimit(2)
    address = client_address(peer, ",".join(entries), PROXIES)
    assert limit.allow(address, 0) is None
    limit.record(address, 0)


def fail(limit: FailureLimit, address: str, times: int, now: float) -> None:
    for _ in range(times):
        assert limit.allow(address, now) is None
        limit.record(address, now)


def test_so_many_failures_a_minute_are_answered_and_the_next_has_to_wait() -> None:
    limit = FailureLimit(30)
    fail(limit, "192.0.2.1", 30, now=1000)
    assert limit.allow("192.0.2.1", 1000) == 60
    assert limit.allow("192.0.2.1", 1059.5) == 0.5
    assert limit.allow("192.0.2.1", 1060) is None


def test_asking_counts_nothing() -> None:
    limit = FailureLimit(1)
    assert [limit.allow("192.0.2.1", 0) for _ in range(100)] == [None] * 100


def test_no_minute_wherever_it_begins_has_more_failures_than_allowed() -> None:
    limit = FailureLimit(3)
    answered = []
    for now in range(0, 600, 7):
        if limit.allow("192.0.2.1", now) is None:
            limit.record("192.0.2.1", now)
            answered.append(now)
    assert max(sum(start <= now < start + 60 for now in answered) for start in range(600)) == 3
    assert len(answered) > 24


def test_who_waits_as_told_is_answered() -> None:
    limit = FailureLimit(2)
    now = 5.0
    for _ in range(50):
        wait = limit.allow("192.0.2.1", now)
        now += wait or 0
        assert limit.allow("192.0.2.1", now) is None
        limit.record("192.0.2.1", now)
        now += 1
    assert now > 25 * 60 - 60


def test_one_address_does_not_use_up_anothers_failures() -> None:
    limit = FailureLimit(1)
    fail(limit, "192.0.2.1", 1, now=0)
    assert limit.allow("192.0.2.1", 0) == 60
    assert limit.allow("192.0.2.2", 0) is None


def test_all_addresses_of_one_ipv6_network_count_together() -> None:
    limit = FailureLimit(2)
    fail(limit, "2001:db8:1:2::1", 1, now=0)
    fail(limit, "2001:db8:1:2:ffff:ffff:ffff:ffff", 1, now=0)
    assert limit.allow("2001:db8:1:2::3", 0) == 60
    assert limit.allow("2001:db8:1:3::1", 0) is None


def test_an_ipv4_address_written_as_ipv6_counts_as_itself() -> None:
    limit = FailureLimit(1)
    fail(limit, "::ffff:192.0.2.1", 1, now=0)
    assert limit.allow("192.0.2.1", 0) == 60
    assert limit.allow("::ffff:192.0.2.2", 0) is None


def test_what_has_no_address_is_counted_too() -> None:
    limit = FailureLimit(1)
    fail(limit, "", 1, now=0)
    assert limit.allow("", 1) == 59
    assert limit.allow("unix:", 1) is None


def test_when_room_runs_out_those_whose_last_failure_is_oldest_are_forgotten() -> None:
    limit = FailureLimit(2, max_addresses=100)
    fail(limit, "192.0.2.1", 1, now=0)
    for n in range(99):
        fail(limit, f"198.51.100.{n}", 2, now=1)
    fail(limit, "192.0.2.1", 1, now=2)
    for n in range(50):
        fail(limit, f"203.0.113.{n}", 1, now=3)
    assert limit.allow("192.0.2.1", 4) == 56
    assert limit.allow("198.51.100.49", 4) is None
    assert limit.allow("198.51.100.50", 4) == 57


def test_failures_from_ever_new_addresses_take_no_more_room() -> None:
    limit = FailureLimit(2, max_addresses=100)
    for n in range(10_000):
        limit.record(str(ipaddress.IPv4Address(n)), n / 1000)
        limit.record(str(ipaddress.IPv6Address(n << 64)), n / 1000)
    assert len(limit._failures) == 100


def test_a_thousand_failures_of_one_address_take_no_more_room_than_those_counted() -> None:
    limit = FailureLimit(3)
    for now in range(1000):
        limit.record("192.0.2.1", now)
    assert len(limit._failures["192.0.2.1"]) == 3


@pytest.mark.parametrize("limits", [(0, 1), (1, 0), (-1, 1)])
def test_a_limit_of_nothing_is_refused(limits: tuple[int, int]) -> None:
    with pytest.raises(ValueError):
        FailureLimit(*limits)


@pytest.mark.parametrize(
    ("peer", "own"),
    [
        ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("::ffff:127.0.0.1", True), ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False), ("::", False), ("0.0.0.0", False), ("fe80::1%lo", False), ("localhost", False),
        ("", False), ("/run/rushes.sock", False),
    ],
)  # fmt: skip
def test_address_is_of_this_machine_alone_only_if_it_is_loopback(peer: str, own: bool) -> None:
    assert proxies.is_own(peer) is own
