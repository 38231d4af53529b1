"""Kinds of values that settings and tokens are made of, and what makes one unusable.

What checks a setting raises ValueError with the end of a sentence that begins with its name, and never tells the value.
"""

import ipaddress
import re
import socket
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BeforeValidator, ByteSize, Field
from yarl import URL

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SECRET_MIN = 16
"""Characters of a secret that strangers may try to guess."""

_SIZE = re.compile(r"\d{1,18}|\d{1,18}(\.\d{1,6})? ?([KMGT]i?)?B", re.ASCII | re.IGNORECASE)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_ORIGIN_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")
_UNTELLABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

# A proxy's own networks are smaller; whoever is believed may say that he is anybody.
_WIDEST_IPV4, _WIDEST_IPV6 = 8, 16
_PRIVATE_IPV6 = ipaddress.IPv6Network("fc00::/7")


def _size(value: Any) -> Any:
    if isinstance(value, bool) or (isinstance(value, str) and not _SIZE.fullmatch(value.strip())):
        raise ValueError("a size is a number of bytes, or has KiB, MiB or GiB (KB, MB and GB count in thousands)")
    return value.strip() if isinstance(value, str) else value


Size = Annotated[ByteSize, BeforeValidator(_size), Field(gt=0, le=2**40)]
"""Bytes, also as text with a unit: `1MiB`."""


def listed(text: str) -> tuple[str, ...]:
    """What stands between commas. Raises ValueError where nothing does: it was meant to say something."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found:
        raise ValueError("it names nothing; leave it out")
    return found


def origin(text: str) -> str:
    """As browsers write an origin: no default port or capital letters. Raises ValueError for what is none."""
    try:
        url = URL(text)
        usable = (
            url.absolute
            and _SCHEME.fullmatch(url.scheme) is not None
            and _ORIGIN_HOST.fullmatch(url.host or "") is not None
            and url.path in ("", "/")
            and not (url.raw_query_string or url.raw_fragment or url.raw_user or url.raw_password)
        )
        if usable and "?" not in text and "#" not in text:
            return str(url.origin())
    except ValueError:
        pass
    raise ValueError("an origin is a scheme and a host like https://app.example, without a path; not * and not null")


def is_page(text: str) -> bool:
    """Whether a page may lead there: an address, or a path of this site."""
    return is_web_address(text.replace("{url}", "")) or re.fullmatch(r"/(?![/\\])[^\s\x00-\x1f]*", text) is not None


def is_web_address(text: str) -> bool:
    """Whether it is an http:// or https:// address, with a host that can be one."""
    try:
        url = URL(text)
        return (
            url.scheme in ("http", "https")
            and _ORIGIN_HOST.fullmatch(url.raw_host or "") is not None
            and url.port != 0
            and not re.search(r"\s", text)
        )
    except ValueError:
        return False


def cookie_name(text: str) -> str:
    """RFC 6265, 4.1.1."""
    if not _TOKEN.fullmatch(text):
        raise ValueError("a cookie's name is letters, digits, - and _, without spaces")
    return text


def not_blank(text: str) -> str:
    if text != text.strip() or not text:
        raise ValueError("it has spaces at its ends, or nothing else; leave it out, or say what is meant")
    return text


def narrow(networks: tuple[Network, ...]) -> tuple[Network, ...]:
    """Raises ValueError for a network so wide that strangers are in it."""
    for network in networks:
        if isinstance(network, ipaddress.IPv4Network):
            usable = network.prefixlen >= _WIDEST_IPV4
        else:
            usable = network.prefixlen >= _WIDEST_IPV6 or network.subnet_of(_PRIVATE_IPV6)
        if not usable:
            raise ValueError(f"whoever is in /{network.prefixlen} could say that he is anybody; name the proxies alone")
    return networks


def can_be_bound(host: str) -> bool:
    """Whether it is an address, or a name that has one. Asks the resolver for a name."""
    try:
        return bool(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE))
    except (OSError, UnicodeError):
        return False


@lru_cache(maxsize=64)  # where nobody signs in it is asked of the Host of each request
def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_safe_to_fetch(url: str) -> bool:
    """Whether nobody on the way can change what is fetched there: by TLS, or on this machine."""
    parsed = URL(url)
    return parsed.scheme == "https" or is_loopback(parsed.host or "")


def is_exact_name(text: str) -> bool:
    """Whether no database takes it for another: no spaces at its ends, nothing that is no character."""
    return text == text.strip() and _UNTELLABLE.search(text) is None


def why_weak(secret: str) -> str | None:
    """What makes a secret easy to guess, as the end of a sentence."""
    if not secret.strip():
        return "is blank"
    if len(secret.strip()) < SECRET_MIN:
        return f"is too short to be safe; it needs {SECRET_MIN} characters or more"
    if len(set(secret.strip())) == 1:
        return "is one character again and again, which is no secret"
    return None


_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,63}"


def reference(text: str) -> tuple[str, str, str]:
    """`table.column:value` as its parts. Raises ValueError."""
    found = re.fullmatch(rf"({_NAME})\.({_NAME}):({_NAME})", text.strip())
    if found is None:
        raise ValueError("it must look like users.clerkId:id, of letters, digits and underscores")
    return found[1], found[2], found[3]


def condition(text: str) -> tuple[str, str, str]:
    """`table.column=value` as its parts. Raises ValueError."""
    found = re.fullmatch(rf"({_NAME})\.({_NAME})=([^\s'\"`\\]{{1,191}})", text.strip())
    if found is None:
        raise ValueError("it must look like users.role=ADMIN, of letters, digits and underscores")
    return found[1], found[2], found[3]


def is_push_subject(text: str) -> bool:
    """Whether a push service can write there, or look there (RFC 8292, 2.1): an address of mail, or an origin."""
    return (
        re.fullmatch(r"mailto:[^\s@:/]+@[a-z0-9-]+(\.[a-z0-9-]+)*|https://[a-z0-9-]+(\.[a-z0-9-]+)+", text) is not None
    )


def is_bucket(name: str) -> bool:
    """By S3's rules; those of what speaks like it are no wider."""
    return re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", name) is not None and ".." not in name


def is_region(name: str) -> bool:
    return re.fullmatch(r"[a-z0-9-]{1,32}", name) is not None
