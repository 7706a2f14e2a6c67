"""Addresses that can never be called are known before they are looked up."""

import pytest

from batchyard_contracts.egress import parse_networks, why_unreachable


@pytest.mark.parametrize(
    ("url", "networks", "reason"),
    [
        ("https://example.org/", "", None),
        ("http://93.184.216.34/", "", None),
        ("http://2130706433/", "", None),
        ("http://inside.example:8080/", "10.0.0.0/8", None),
        ("http://127.0.0.1:9000/", "127.0.0.0/8", None),
        ("http://localhost:9000/", "127.0.0.0/8", None),
        ("http://localhost:9000/", "::1/128", None),
        ("http://[::ffff:10.0.0.1]:9000/", "10.0.0.0/8", None),
        ("http://127.0.0.1/", "", "not public"),
        ("http://api.localhost/", "", "not public"),
        ("http://10.2.0.1/", "10.1.0.0/16", "not public"),
        ("http://169.254.169.254/latest", "", "not public"),
        ("http://168.63.129.16/", "", "not public"),
        ("http://[fd00::1]/", "10.0.0.0/8", "not public"),
        ("http://93.184.216.34:81/", "", "80 and 443 only"),
        ("https://example.org:8443/", "", "neither 80 nor 443"),
        ("https://example.org:0/", "", "neither 80 nor 443"),
        ("https://example.org:99999/", "", "not valid"),
        ("http://[x/", "", "not valid"),
    ],
)
def test_an_address_that_can_never_be_called_has_a_reason(url: str, networks: str, reason: str | None) -> None:
    found = why_unreachable(url, parse_networks(networks), "A_SETTING")
    assert found == reason or (found is not None and reason is not None and reason in found)
    if found is not None and "not public" in found:
        assert "A_SETTING" in found
