"""Nobody gets in who should not: by key, or from this machine where there is none."""

from __future__ import annotations

import pytest

from api.access import Access, is_loopback, refuse_open_door
from retrieval.errors import KeyRefused, NotPermitted, SettingInvalid


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "LOCALHOST", "::1", "[::1]"])
def test_loopback_is_recognised(host: str) -> None:
    """Names and addresses that can only mean this machine."""
    assert is_loopback(host)
    refuse_open_door(host, has_key=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "localhost.example.org", "127.0.0.1.nip.io", ""])  # noqa: S104
def test_other_addresses_need_a_key(host: str) -> None:
    """Without a key the service would be open to everybody who can reach it."""
    with pytest.raises(SettingInvalid, match="WINNOW_API_KEY"):
        refuse_open_door(host, has_key=False)
    refuse_open_door(host, has_key=True)


@pytest.mark.parametrize("header", [None, "", "secret", "Bearer", "Bearer wrong", "Basic secret", "Bearer secret2"])
def test_a_wrong_key_is_refused(header: str | None) -> None:
    """The key must be whole, and sent the way that is documented."""
    with pytest.raises(KeyRefused):
        Access.by_key("secret").tenant_of(authorization=header, host="localhost")


@pytest.mark.parametrize("header", ["Bearer secret", "bearer secret", "Bearer  secret "])
def test_the_right_key_opens(header: str) -> None:
    """From anywhere."""
    assert Access.by_key("secret").tenant_of(authorization=header, host="search.example.org") == "default"


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "::1", None])
def test_without_a_key_this_machine_may_ask(host: str | None) -> None:
    """By any of its names, with or without a port."""
    assert Access.by_key(None).tenant_of(authorization=None, host=host) == "default"


def test_without_a_key_a_foreign_name_is_turned_away() -> None:
    """A web page whose name was pointed at 127.0.0.1 would otherwise read everything (DNS rebinding)."""
    with pytest.raises(NotPermitted):
        Access.by_key(None).tenant_of(authorization=None, host="evil.example.org:8000")
