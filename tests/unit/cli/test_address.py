"""The command looks for a cluster at an address that is given, or finds the one of its folder; it never guesses."""

import subprocess
import sys
from pathlib import Path

import pytest

from services.cli.client.address import Address, find_address, home
from services.cli.client.cluster_file import CLUSTER_FILE, RunningCluster, published, read_cluster
from services.cli.errors import BadInput, NotReachable

_PUBLISHING = """
import sys, time
from pathlib import Path
from services.cli.client.cluster_file import RunningCluster, published
with published(Path(sys.argv[1]), RunningCluster("http://127.0.0.1:4711")):
    print("published", flush=True)
    time.sleep(600)
"""


def test_the_order_is_option_variable_running_cluster(tmp_path: Path) -> None:
    with published(tmp_path, RunningCluster("http://127.0.0.1:4711")):
        assert find_address({}, tmp_path).url == "http://127.0.0.1:4711"
        environment = {"BATCHYARD_URL": "https://cluster.example/base/", "BATCHYARD_TOKEN": "t0ken"}
        assert find_address(environment, tmp_path) == Address("https://cluster.example/base", "t0ken")
        assert find_address(environment, tmp_path, "http://other:1").url == "http://other:1"


def test_without_an_address_and_a_cluster_nothing_is_guessed(tmp_path: Path) -> None:
    with pytest.raises(NotReachable, match="No address"):
        find_address({}, tmp_path)


def test_the_cluster_of_a_killed_process_does_not_count(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _PUBLISHING, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"published\n"
        assert find_address({}, tmp_path).url == "http://127.0.0.1:4711"
        process.kill()
        process.wait()
    assert (tmp_path / CLUSTER_FILE).is_file()
    assert read_cluster(tmp_path) is None
    with pytest.raises(NotReachable):
        find_address({}, tmp_path)
    with published(tmp_path, RunningCluster("http://127.0.0.1:1")):
        assert read_cluster(tmp_path) == RunningCluster("http://127.0.0.1:1")
    assert not (tmp_path / CLUSTER_FILE).exists()


def test_others_cannot_read_the_passwords_of_a_cluster(tmp_path: Path) -> None:
    with published(tmp_path, RunningCluster("http://127.0.0.1:1", {"BATCHYARD_AMQP_URL": "amqp://u:p@h/"})):
        assert (tmp_path / CLUSTER_FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("option", "token"),
    [
        (None, "t0ken"),
        ("https://cluster.example:443/", "t0ken"),
        ("https://cluster.example:8443", None),
        ("http://cluster.example", None),
        ("https://other.example", None),
    ],
)
def test_a_token_goes_to_its_address_alone(option: str | None, token: str | None, tmp_path: Path) -> None:
    environment = {"BATCHYARD_URL": "https://cluster.example/base", "BATCHYARD_TOKEN": "t0ken"}
    found = find_address(environment, tmp_path, option)
    assert found.token == token
    assert found.token_is_of == (None if token else "https://cluster.example/base")


def test_a_token_is_not_shown() -> None:
    assert "t0ken" not in repr(Address("http://x", "t0ken"))


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", "http://", "http://x:99999", "http://[x"])
def test_an_address_must_be_one_of_http(url: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not the address"):
        find_address({"BATCHYARD_URL": url}, tmp_path)


def test_the_home_is_named_or_in_the_checkout(tmp_path: Path) -> None:
    assert home({"BATCHYARD_HOME": str(tmp_path)}) == tmp_path
    assert home({}).name == ".batchyard"
