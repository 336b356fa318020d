"""Without credentials the server binds to loopback only."""

from __future__ import annotations

import pytest

from bentos import auth
from slipway.errors import SettingsError
from slipway.settings import Settings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_credentials(host):
    auth.check_bind_address(Settings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "example.com", ""])
def test_any_other_address_is_refused_unless_allowed_explicitly(host):
    with pytest.raises(SettingsError, match="SLIPWAY_INSECURE=true"):
        auth.check_bind_address(Settings(host=host))
    auth.check_bind_address(Settings(host=host, insecure=True))


def test_a_container_is_refused_on_any_address():
    with pytest.raises(SettingsError, match=r"in a container \(SLIPWAY_CONTAINER=true\)"):
        auth.check_bind_address(Settings(container=True))


def test_the_bound_address_takes_precedence_over_the_setting():
    with pytest.raises(SettingsError, match="0\\.0\\.0\\.0"):
        auth.check_bind_address(Settings(host="127.0.0.1"), "0.0.0.0")
