"""Which addresses are in the internet, and what a message may weigh."""

import ipaddress

import orjson
import pytest

from app import webpush
from app.db.notices import Notice
from app.upkeep.notify import message


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_push_service_in_the_internet_is_connected_to(address: str) -> None:
    assert webpush.is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "192.0.2.1", "198.18.0.1", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1",
        "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::",
        "2001:0:7f00:1::1", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1",
    ],
)  # fmt: skip
def test_no_form_of_an_address_leads_into_a_network_of_ours(address: str) -> None:
    assert not webpush.is_public(ipaddress.ip_address(address))


def test_new_key_is_one_and_nothing_else_is() -> None:
    assert len(webpush.public_key(webpush.new_key())) == 87
    for wrong in ("", "AAAA", "A" * 43, "_" * 43, "é" * 43, webpush.new_key()[:-1]):
        with pytest.raises(ValueError):
            webpush.public_key(wrong)


class _Job:
    def __init__(self, prompt: str) -> None:
        self.prompt = prompt


@pytest.mark.parametrize("prompt", ["", "a fox", "é" * 1000, "🦊" * 1000, '"' * 1000, "\x01" * 1000])
def test_message_fits_whatever_the_prompts_are_and_counts_what_does_not(prompt: str) -> None:
    ends = [(Notice(2**63, "j" * 191, "completed", 0), _Job(prompt)) for _ in range(8)]
    made = message(ends, 5, "fr")  # type: ignore[arg-type]  # nothing else of a job is looked at
    assert len(made) <= webpush.PAYLOAD_MAX
    told = orjson.loads(made)
    assert len(told["notices"]) + told["more"] == 13
    assert told["notices"]
    assert told["notices"][0]["body"]
