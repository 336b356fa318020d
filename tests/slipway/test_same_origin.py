"""Same-origin check: what a web page of another site makes a browser send is refused, and nothing else."""

from __future__ import annotations

import pytest

from slipway.same_origin import SameOriginCheck

ANYWHERE = "0.0.0.0"


def allows(host: str, origin: str = "", bound: str = "127.0.0.1", *hosts: str, origins: tuple[str, ...] = ()) -> bool:
    return SameOriginCheck(bound, hosts, origins).refusal(host.encode("latin-1"), origin.encode("latin-1")) is None


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost",
        "LocalHost:3000",
        "127.0.0.1:3000",
        "127.1.2.3",
        "[::1]:3000",
        "[::1]",
        "localhost:",
        "127.0.0.1",
    ],
)
@pytest.mark.parametrize("bound", ["127.0.0.1", "localhost", "::1", ANYWHERE])
def test_this_machine_is_reached_by_its_loopback_names(host: str, bound: str) -> None:
    assert allows(host, bound=bound)


REBOUND = [
    "evil.example",
    "evil.example:3000",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "evil.example:3000@localhost",
    "localhost@evil.example",
    "localhost, evil.example",
    "evil.example, localhost",
    "localhost:3000:3000",
    "localhost/evil.example",
    "localhost evil.example",
    "localhost#",
    "localhost\t",
    "[::1].evil.example",
    "[::1]evil",
    "[localhost]",
    "localhost:99999999999",
    "localhost:x",
    "loc\u00e4lhost",
    "localhost\u00ad",
    "2130706433.evil.example",
    "." * 600,
]


@pytest.mark.parametrize("host", REBOUND)
@pytest.mark.parametrize("bound", ["127.0.0.1", ANYWHERE])
def test_a_name_that_dns_rebinding_could_lead_here_is_refused(host: str, bound: str) -> None:
    assert not allows(host, bound=bound)


@pytest.mark.parametrize("host", ["192.168.0.7:3000", "10.0.0.1", "[fd00::1]:80", "serving:3000", "watch.slipway.svc"])
def test_a_server_for_a_network_is_reached_by_addresses_and_internal_names(host: str) -> None:
    assert allows(host, bound=ANYWHERE)
    assert not allows(host), "where only this machine is served, none of them leads here"


def test_configured_names_and_the_bound_address_are_allowed() -> None:
    assert allows("models.example.com:443", "", ANYWHERE, "Models.example.com")
    assert not allows("other.example.com", "", ANYWHERE, "models.example.com")
    assert allows("any.example.com", "", "127.0.0.1", "*")
    assert allows("192.168.0.7:3000", "", "192.168.0.7")


@pytest.mark.parametrize("host", ["localhost:3000", "127.0.0.1:3000", "[::1]:3000", "localhost"])
def test_a_page_of_this_server_may_use_it(host: str) -> None:
    assert allows(host, f"http://{host}")
    assert allows(host, f"https://{host}"), "behind a proxy that speaks TLS"


FOREIGN = [
    "https://evil.example",
    "null",
    "http://localhost",
    "http://localhost:8080",
    "http://127.0.0.1:3000",
    "http://localhost:3000.evil.example",
    "http://evil.example/http://localhost:3000",
    "http://localhost:3000, http://evil.example",
    "http://localhost:3000/",
    "file://",
    "chrome-extension://localhost:3000",
    "://localhost:3000",
    "localhost:3000",
    "http://http://localhost:3000",
    " ",
]


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_page_of_another_origin_may_not(origin: str) -> None:
    assert not allows("localhost:3000", origin)
    assert not allows("localhost:3000", origin, bound=ANYWHERE)
    assert not allows("", origin), "an absent Host is no origin's"


def test_a_page_of_a_listed_origin_may_but_its_name_leads_nowhere() -> None:
    listed = ("https://app.example.com",)
    assert allows("localhost:3000", "https://app.example.com", origins=listed)
    assert not allows("localhost:3000", "https://app.example.com.evil.example", origins=listed)
    assert not allows("app.example.com", "https://app.example.com", origins=listed)
    assert allows("localhost:3000", "https://any.example", origins=("*",))


def test_a_refusal_says_what_was_received_and_which_setting_allows_it() -> None:
    check = SameOriginCheck("127.0.0.1")
    assert "'evil.example'" in (found := check.refusal(b"evil.example", b"") or "") and "SLIPWAY_ALLOWED_HOSTS" in found
    assert "'https://evil.example'" in (found := check.refusal(b"localhost", b"https://evil.example") or "")
    assert "SLIPWAY_CORS_ORIGINS" in found


def test_many_different_hosts_use_bounded_memory() -> None:
    check = SameOriginCheck("127.0.0.1")
    for port in range(2000):
        check.refusal(b"localhost:%d" % port, b"")
    assert check._cached.cache_info().currsize <= 256
