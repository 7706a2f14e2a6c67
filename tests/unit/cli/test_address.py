"""The places where the command looks for a cluster, in their order."""

from pathlib import Path

import pytest

from services.cli.client.address import ADDRESS_FILE, DEFAULT_URL, Address, find_address, home
from services.cli.errors import BadInput


def test_the_order_is_option_variable_file_default(tmp_path: Path) -> None:
    assert find_address({}, tmp_path) == Address(DEFAULT_URL)
    (tmp_path / ADDRESS_FILE).write_text("http://127.0.0.1:4711\n")
    assert find_address({}, tmp_path).url == "http://127.0.0.1:4711"
    environment = {"BATCHYARD_URL": "https://cluster.example/base/", "BATCHYARD_TOKEN": "t0ken"}
    assert find_address(environment, tmp_path) == Address("https://cluster.example/base", "t0ken")
    assert find_address(environment, tmp_path, "http://other:1").url == "http://other:1"


def test_a_token_is_not_shown() -> None:
    assert "t0ken" not in repr(Address("http://x", "t0ken"))


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", "http://"])
def test_an_address_must_be_one_of_http(url: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not the address"):
        find_address({"BATCHYARD_URL": url}, tmp_path)


def test_the_home_is_named_or_in_the_checkout(tmp_path: Path) -> None:
    assert home({"BATCHYARD_HOME": str(tmp_path)}) == tmp_path
    assert home({}).name == ".batchyard"
