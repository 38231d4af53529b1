"""From where a request comes, and how often one may fail to say who it is. Pure."""

import re
from collections import OrderedDict, deque
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from app.values import Network

_MINUTE = 60.0

# Entries of X-Forwarded-For that are looked at. No chain of proxies is as long; what a client writes is before them.
_HOPS_MAX = 30

# 192.0.2.1, 192.0.2.1:80, [2001:db8::1], [2001:db8::1]:80 or 2001:db8::1
_ENTRY = re.compile(r"\[(?P<v6>[^\]]*)\](?::[0-9]{1,5})?|(?P<v4>[0-9.]+)(?::[0-9]{1,5})?|(?P<bare>[^\[\]]+)")


def parse_networks(text: str) -> tuple[Network, ...]:
    """Networks and single addresses, separated by commas. Raises ValueError, a sentence naming the wrong one."""
    return tuple(_network(part.strip()) for part in text.split(",") if part.strip())


def client_address(peer: str, forwarded_for: str | None, trusted: tuple[Network, ...]) -> str:
    """The address of who asks: `peer`, or what trusted proxies say of it.

    From the right, where the nearest proxy wrote, the first address of `X-Forwarded-For` that is no trusted proxy.
    What is no address ends the walk, and counts for the proxy that passed it on; 30 entries end it too. Several such
    headers must be joined by commas, in order: the first alone may be the sender's own invention.
    """
    address = _address(peer)
    if address is None:
        return peer
    for entry in reversed((forwarded_for or "").rsplit(",", _HOPS_MAX)[-_HOPS_MAX:]):
        if not any(address in network for network in trusted):
            break
        before = _address(entry.strip())
        if before is None:
            break
        address = before
    return str(address)


def forwarded_scheme(peer: str, forwarded_proto: str, trusted: tuple[Network, ...]) -> str | None:
    """`http` or `https`, as the nearest proxy says that the request came to it; None where no trusted one says so."""
    address = _address(peer)
    scheme = forwarded_proto.rpartition(",")[2].strip().lower()
    believed = address is not None and any(address in network for network in trusted)
    return scheme if believed and scheme in ("http", "https") else None


def is_exempt(peer: str, trusted: tuple[Network, ...]) -> bool:
    """Whether many clients may come from this address: it is this machine's, or a trusted proxy's."""
    address = _address(peer)
    return address is None or address.is_loopback or any(address in network for network in trusted)


def is_own(peer: str) -> bool:
    """Whether it is an address of this machine alone."""
    address = _address(peer)
    return address is not None and address.is_loopback


class FailureLimit:
    """How often each address failed to authenticate in the last minute; an IPv6 address counts with its /64.

    Asked only once a request has failed: who authenticates is never refused. Times are a monotonic clock's seconds.
    Of more than `max_addresses` those whose last failure is oldest are forgotten.
    """

    def __init__(self, per_minute: int, max_addresses: int = 10_000) -> None:
        if per_minute < 1 or max_addresses < 1:
            raise ValueError("a limit is at least 1")
        self._per_minute = per_minute
        self._max_addresses = max_addresses
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def allow(self, address: str, now: float) -> float | None:
        """None if this failure may be answered 401, else the seconds to wait, for 429."""
        times = self._failures.get(counted_as(address))
        if times is None or len(times) < self._per_minute:
            return None
        wait = times[0] + _MINUTE - now
        return wait if wait > 0 else None

    def record(self, address: str, now: float) -> None:
        """Counts a failure that is answered 401. One answered 429 is not counted, so that the wait holds."""
        counted = counted_as(address)
        self._failures.setdefault(counted, deque(maxlen=self._per_minute)).append(now)
        self._failures.move_to_end(counted)
        if len(self._failures) > self._max_addresses:
            self._failures.popitem(last=False)


def _network(text: str) -> Network:
    try:
        network = ip_network(text)
    except ValueError:
        raise ValueError(f"{text!r} is no network like 10.0.0.0/8 or 2001:db8::/32, and no address") from None
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    # A network whose own address is a mapped one has a prefix of 96 bits at least; the rest is IPv4's.
    return network if mapped is None else IPv4Network((mapped, network.prefixlen - 96))


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """The address without port and zone, an IPv4 address in IPv6 as IPv4."""
    entry = _ENTRY.fullmatch(text)
    if entry is None:
        return None
    try:
        address = ip_address(entry["v6"] or entry["v4"] or entry["bare"] or "")
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))


def counted_as(address: str) -> str:
    """Under which name an address is counted: of IPv6 its /64, which is one household's or machine's."""
    parsed = _address(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Address(int(parsed) >> 64 << 64))
    return address if parsed is None else str(parsed)
