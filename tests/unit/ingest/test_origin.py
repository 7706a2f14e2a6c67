"""The server answers to its own names, and takes changes from its own pages alone."""

import pytest

from services.ingest.http.origin import PublicAddress

LOCAL = PublicAddress.of("127.0.0.1", None, (), has_tls=False)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LOCALHOST:1", "[::1]:8000", "localhost."])
def test_a_server_of_the_machine_answers_to_names_of_the_machine(host: str) -> None:
    assert LOCAL.is_known_host(host)


@pytest.mark.parametrize("host", [None, "", "evil.example", "evil.example:8000", "127.0.0.1.evil.example", "[::2]"])
def test_a_server_of_the_machine_answers_to_no_other_name(host: str | None) -> None:
    assert not LOCAL.is_known_host(host)


def test_names_of_the_settings_are_known() -> None:
    address = PublicAddress.of("127.0.0.1", "https://jobs.example", ["Other.example"], has_tls=False)
    assert all(address.is_known_host(host) for host in ("jobs.example", "other.example:8000", "localhost"))
    assert not address.is_known_host("evil.example")


def test_a_server_of_a_network_answers_to_every_name_unless_some_are_named() -> None:
    assert PublicAddress.of("0.0.0.0", None, (), has_tls=False).is_known_host("any.example")
    named = PublicAddress.of("0.0.0.0", None, ["one.example"], has_tls=False)
    assert named.is_known_host("one.example")
    assert not named.is_known_host("any.example")


@pytest.mark.parametrize(
    ("origin", "site", "foreign"),
    [
        (None, None, False),
        ("http://127.0.0.1:8000", "same-origin", False),
        ("http://127.0.0.1:8000", None, False),
        (None, "none", False),
        ("http://127.0.0.1:9000", None, True),
        ("https://evil.example", None, True),
        ("null", None, True),
        (None, "cross-site", True),
        (None, "same-site", True),
        ("http://127.0.0.1:8000", "cross-site", True),
        ("http://[", None, True),
    ],
)
def test_requests_of_a_foreign_page_are_recognised(origin: str | None, site: str | None, foreign: bool) -> None:
    assert LOCAL.is_foreign(origin, site, "127.0.0.1:8000") == foreign


def test_the_page_of_the_public_address_is_no_foreign_one() -> None:
    address = PublicAddress.of("0.0.0.0", "https://jobs.example", (), has_tls=False)
    assert not address.is_foreign("https://jobs.example", "same-origin", "ingest:8000")
    assert not address.is_foreign("https://jobs.example:443", None, "ingest:8000")
    assert address.is_foreign("http://jobs.example", None, "ingest:8000")
    assert address.is_foreign("https://jobs.example:8443", None, "ingest:8000")


@pytest.mark.parametrize(
    ("url", "has_tls", "name"),
    [
        (None, False, "batchyard"),
        ("http://jobs.example", False, "batchyard"),
        ("https://jobs.example", False, "__Host-batchyard"),
        (None, True, "__Host-batchyard"),
    ],
)
def test_a_cookie_is_bound_to_the_host_where_there_is_https(url: str | None, has_tls: bool, name: str) -> None:
    address = PublicAddress.of("0.0.0.0", url, (), has_tls=has_tls)
    assert (address.cookie_name, address.is_encrypted) == (name, name.startswith("__Host-"))
