"""Where messages may be sent: rules of the operator, and the addresses that tenants choose.

A rule is HOST[:PORT] or NETWORK[:PORT]; IPv6 stands in brackets if a port follows. Without a port it allows the port
that the scheme has by default.

Rule 1: a host is allowed if a rule names it, or if the address that it has when a connection is made lies in an allowed
network. Rule 2: a name that a rule names may have any address, also a private one; but a link-local, multicast or
unspecified address must lie in an allowed network, because no name of a receiver has one by intention.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from winnow.retrieval.limits import WEBHOOK_URL_CHARACTERS_MAX

IpAddress: TypeAlias = IPv4Address | IPv6Address
IpNetwork: TypeAlias = IPv4Network | IPv6Network

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
PORT_MAX: Final = 65_535
_NAME: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*")
_PRINTABLE: Final = re.compile(r"[!-~]+")
_IN_BRACKETS: Final = re.compile(r"\[([^\[\]]+)\](?::([0-9]{1,5}))?")
_PLAIN: Final = re.compile(r"([^:\[\]]+)(?::([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRule:
    """A host or a network that the operator allows."""

    host: str | IpNetwork  # a name in lower case, or a network; a single address is a network of one
    port: int | None  # None: the scheme's own

    def allows_port(self, target: Target) -> bool:
        return target.port == (DEFAULT_PORTS[target.scheme] if self.port is None else self.port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if isinstance(self.host, IPv6Network) else str(self.host)
        return host if self.port is None else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a message goes, as the tenant's URL says it."""

    scheme: str
    host: str  # a name in lower case, or the text of an address without brackets
    port: int
    path: str  # with the query

    @property
    def address(self) -> IpAddress | None:
        """The address, if the URL has one in place of a name."""
        return _address(self.host)

    @property
    def authority(self) -> str:
        """HOST[:PORT], as the header `Host` has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """The operator's rules; none allow nothing."""

    rules: tuple[HostRule, ...] = ()

    def names(self, target: Target) -> bool:
        """Whether a rule names the target's host."""
        return any(rule.host == target.host and rule.allows_port(target) for rule in self.rules)

    def allows(self, target: Target, address: IpAddress) -> bool:
        """Whether a connection to this address may be made for the target."""
        address = _unmapped(address)
        in_network = any(
            not isinstance(rule.host, str) and address in rule.host and rule.allows_port(target) for rule in self.rules
        )
        is_odd = address.is_link_local or address.is_multicast or address.is_unspecified
        return in_network or (self.names(target) and not is_odd)


def parse_rules(raw: str) -> tuple[HostRule, ...]:
    """Parse rules separated by commas. Raises `ValueError` with a sentence."""
    return tuple(_rule(each.strip()) for each in raw.split(",") if each.strip())


def parse_target(url: str) -> Target:
    """Parse a tenant's URL. Raises `ValueError` with a sentence."""
    if len(url) > WEBHOOK_URL_CHARACTERS_MAX:
        raise ValueError(f"it has more than {WEBHOOK_URL_CHARACTERS_MAX} characters")
    if not _PRINTABLE.fullmatch(url) or "\\" in url:
        raise ValueError("it must be written in ASCII without spaces; a host of other letters in Punycode")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("it must be a URL") from None
    if parts.scheme not in DEFAULT_PORTS or not host:
        raise ValueError("it must look like https://HOST/PATH")
    if "@" in parts.netloc or parts.fragment:
        raise ValueError("it must not have a user or a fragment")
    host = host.rstrip(".")
    if _address(host) is None and not _NAME.fullmatch(host):
        raise ValueError("it must have the name or the address of a host")
    if port == 0:
        raise ValueError("0 is not a port")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(scheme=parts.scheme, host=host, port=port or DEFAULT_PORTS[parts.scheme], path=path)


def _rule(raw: str) -> HostRule:
    matched = _IN_BRACKETS.fullmatch(raw) or _PLAIN.fullmatch(raw)
    host, port = (raw, None) if matched is None else (matched[1], matched[2])  # without brackets: bare IPv6
    number = None if port is None else int(port)
    if number is not None and not 1 <= number <= PORT_MAX:
        raise ValueError(f"{raw}: a port is between 1 and {PORT_MAX}")
    try:
        return HostRule(host=ip_network(host), port=number)
    except ValueError as error:
        if "/" in host or "host bits" in str(error):
            raise ValueError(f"{raw}: {error}") from None
    name = host.lower().rstrip(".")
    if not _NAME.fullmatch(name) or name.replace(".", "").isdigit():
        raise ValueError(f"{raw!r} is neither HOST[:PORT] nor NETWORK[:PORT], such as hooks.example.org or 10.1.0.0/16")
    return HostRule(host=name, port=number)


def _address(host: str) -> IpAddress | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _unmapped(address: IpAddress) -> IpAddress:
    """An IPv4 address in IPv6's writing is that IPv4 address."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped
