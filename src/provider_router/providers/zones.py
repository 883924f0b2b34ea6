"""Where an address lies: on this machine, in the private network, or out in the internet."""

from __future__ import annotations

import ipaddress

from provider_router.limits import ZONES

OUT_OF_ZONE = "out_of_zone"
"""The code of the error that a request ends with whose connection leads out of its zone."""

_LOCAL_SUFFIXES = (".local", ".lan", ".home", ".internal", ".home.arpa")
_SHARED = ipaddress.ip_network("100.64.0.0/10")  # RFC 6598: carriers' and overlay networks' private range


def zone_of_address(address: str) -> str:
    """`127.0.0.1` → `loopback`, `192.168.0.22` → `lan`, anything public → `internet`.

    Raises:
        ValueError: for text that is no IP address.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    if ip.is_loopback:
        return "loopback"
    if ip.is_link_local or ip in _SHARED or (ip.is_private and not ip.is_unspecified):
        return "lan"
    return "internet"


def zone_of_host(host: str) -> str:
    """The zone that a host's name or address promises. What it is in truth shows when connecting."""
    try:
        return zone_of_address(host)
    except ValueError:
        name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return "loopback"
    if "." not in name or name.endswith(_LOCAL_SUFFIXES):
        return "lan"
    return "internet"


def within(zone: str, need: str | None) -> bool:
    """Whether a zone is as strict as the need, or stricter."""
    return need is None or ZONES.index(zone) <= ZONES.index(need)


def strictest(*needs: str | None) -> str | None:
    """The strictest of several needs; None where nobody needs anything."""
    named = [ZONES.index(need) for need in needs if need is not None]
    return ZONES[min(named)] if named else None
