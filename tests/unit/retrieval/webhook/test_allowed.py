"""Only what the operator allows, however it is written."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.retrieval.webhook.allowed import AllowedHosts, parse_rules, parse_target

RULES = "hooks.example.org, other.example.org:8443, 10.1.0.0/16, 192.0.2.7:9000, [fd00::/8]:8443, ::1"


def allowed(rules: str = RULES) -> AllowedHosts:
    return AllowedHosts(parse_rules(rules))


@pytest.mark.parametrize(
    ("url", "address", "is_allowed"),
    [
        ("https://hooks.example.org/a", "198.51.100.4", True),
        ("https://HOOKS.example.org./a", "10.9.9.9", True),  # the operator named it: its address is its own affair
        ("http://hooks.example.org/a", "198.51.100.4", True),
        ("https://hooks.example.org:8443/a", "198.51.100.4", False),
        ("https://hooks.example.org.evil.example/a", "198.51.100.4", False),
        ("https://evil.hooks.example.org/a", "198.51.100.4", False),
        ("https://hooks.example.org/a", "169.254.169.254", False),
        ("https://hooks.example.org/a", "fe80::1", False),
        ("https://hooks.example.org/a", "0.0.0.0", False),  # noqa: S104  which would be this machine
        ("https://hooks.example.org/a", "::ffff:169.254.169.254", False),
        ("https://other.example.org:8443/a", "198.51.100.4", True),
        ("https://other.example.org/a", "198.51.100.4", False),
        ("https://10.1.2.3/a", "10.1.2.3", True),
        ("https://10.1.2.3:444/a", "10.1.2.3", False),
        ("https://10.2.0.1/a", "10.2.0.1", False),
        ("https://in.the.network.example/a", "10.1.255.255", True),
        ("https://in.the.network.example/a", "::ffff:10.1.0.1", True),
        ("https://in.the.network.example/a", "10.2.0.1", False),
        ("https://[::ffff:10.1.2.3]/a", "::ffff:10.1.2.3", True),
        ("http://192.0.2.7:9000/", "192.0.2.7", True),
        ("http://192.0.2.8:9000/", "192.0.2.8", False),
        ("http://127.0.0.1:9000/", "127.0.0.1", False),
        ("http://2130706433:9000/", "127.0.0.1", False),
        ("https://[fd12::1]:8443/", "fd12::1", True),
        ("https://[fd12::1]/", "fd12::1", False),
        ("http://[::1]/", "::1", True),
    ],
)
def test_a_connection_is_made_only_to_what_a_rule_allows(url: str, address: str, *, is_allowed: bool) -> None:
    assert allowed().allows(parse_target(url), ip_address(address)) == is_allowed


@given(
    address=st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)),
    port=st.integers(min_value=1, max_value=65_535),
    host=st.sampled_from(["a.example", "hooks.example.org", "127.0.0.1", "localhost"]),
)
def test_nothing_is_allowed_without_a_rule_for_it(address: IPv4Address | IPv6Address, port: int, host: str) -> None:
    """No rules: nothing. A network: only its own addresses. A name: only that name."""
    target = parse_target(f"https://{host}:{port}/")
    assert not AllowedHosts().allows(target, address)
    inner = getattr(address, "ipv4_mapped", None) or address
    in_network = inner.version == 4 and str(inner).startswith("10.1.")
    assert allowed(f"10.1.0.0/16:{port}").allows(target, address) == in_network
    if allowed(f"hooks.example.org:{port}").allows(target, address):
        assert host == "hooks.example.org"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://a.example/", "look like https"),
        ("//a.example/", "look like https"),
        ("https:///path", "look like https"),
        ("https://user@a.example/", "user or a fragment"),
        ("https://a.example@127.0.0.1/", "user or a fragment"),
        ("https://a.example/#x", "user or a fragment"),
        ("https://a.example:0/", "not a port"),
        ("https://a.example:99999/", "must be a URL"),
        ("https://a.example:8x/", "must be a URL"),
        ("https://[::1/", "must be a URL"),
        ("https://a b.example/", "without spaces"),
        ("https://a.example\\@127.0.0.1/", "without spaces"),
        ("https://ａ.example/", "Punycode"),
        ("https://a.example/\r\nX: y", "without spaces"),
        ("https://a..example/", "name or the address"),
        ("https://-a.example/", "name or the address"),
        ("https://./", "name or the address"),
        ("https://a%2eexample/", "name or the address"),
        ("https://a.example/" + "x" * 2_048, "more than"),
        ("", "without spaces"),
    ],
)
def test_an_address_that_two_parsers_could_read_differently_is_refused(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_target(url)


def test_a_target_keeps_path_and_query() -> None:
    target = parse_target("http://A.Example:8080/a/b?c=%20d&e")
    assert (target.scheme, target.host, target.port, target.path) == ("http", "a.example", 8080, "/a/b?c=%20d&e")
    assert (target.authority, parse_target("https://[::1]").authority) == ("a.example:8080", "[::1]")
    assert parse_target("https://a.example:443").path == "/"


@pytest.mark.parametrize(
    "raw",
    ["10.1.0.1/16", "10.1.0.0/99", "a.example:0", "a.example:65536", "a b", "https://a.example", "300.1.1.1", "*"],
)
def test_a_rule_that_says_something_else_than_it_seems_is_refused(raw: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_rules(raw)


def test_rules_are_shown_as_they_are_written() -> None:
    """An address alone is a network of one."""
    shown = [str(each) for each in parse_rules(RULES)]
    assert ", ".join(shown) == (
        "hooks.example.org, other.example.org:8443, 10.1.0.0/16, 192.0.2.7/32:9000, [fd00::/8]:8443, [::1/128]"
    )
    assert parse_rules(", ".join(shown)) == parse_rules(RULES)
    assert parse_rules("") == parse_rules(" , ") == ()
