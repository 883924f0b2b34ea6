"""Where an address lies, and how far a request may go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider_router.limits import ZONES
from provider_router.providers.zones import strictest, within, zone_of_address, zone_of_host


@pytest.mark.parametrize(
    ("address", "zone"),
    [
        ("127.0.0.1", "loopback"),
        ("127.9.9.9", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("192.168.0.22", "lan"),
        ("10.1.2.3", "lan"),
        ("172.16.0.1", "lan"),
        ("169.254.1.1", "lan"),
        ("100.64.0.1", "lan"),
        ("fd00::1", "lan"),
        ("fe80::1%eth0", "lan"),
        ("::ffff:192.168.0.22", "lan"),
        ("8.8.8.8", "internet"),
        ("2606:4700::1111", "internet"),
        ("::ffff:8.8.8.8", "internet"),
        ("172.32.0.1", "internet"),
        ("64:ff9b::808:808", "internet"),
        ("2002:808:808::1", "internet"),
    ],
)
def test_an_address_lies_in_its_zone(address: str, zone: str) -> None:
    assert zone_of_address(address) == zone
    assert zone_of_host(address) == zone


@pytest.mark.parametrize(
    ("host", "zone"),
    [
        ("localhost", "loopback"),
        ("LOCALHOST.", "loopback"),
        ("api.localhost", "loopback"),
        ("nas", "lan"),
        ("nas.local", "lan"),
        ("pc.home.arpa", "lan"),
        ("api.openai.com", "internet"),
        ("localhost.example.com", "internet"),
        ("notlocal", "lan"),
        ("evil.notlocalhost.com", "internet"),
    ],
)
def test_a_name_promises_a_zone(host: str, zone: str) -> None:
    assert zone_of_host(host) == zone


def test_a_name_is_no_address() -> None:
    with pytest.raises(ValueError):
        zone_of_address("nas.local")


@given(st.ip_addresses())
def test_every_address_has_a_zone(address: object) -> None:
    assert zone_of_address(str(address)) in ZONES


@given(st.lists(st.none() | st.sampled_from(ZONES)), st.sampled_from(ZONES))
def test_what_lies_within_the_strictest_need_lies_within_all(needs: list[str | None], zone: str) -> None:
    assert within(zone, strictest(*needs)) == all(within(zone, need) for need in needs)
