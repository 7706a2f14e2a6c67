"""Services of the oldest compatible commit and those of today read what the others write, with all their readers.

So both can run side by side while a version is replaced by the next one. Message types that the older ones lack do not
count: nobody sends them to one.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from batchyard_contracts.schema.asyncapi import CLIENT, SENDERS
from batchyard_contracts.schema.export import HOME
from batchyard_contracts.v1 import MESSAGES
from tests.support import message_exchange
from tests.support.mutations import bodies
from tests.support.older_tree import environment_of, older_tree

Bodies = dict[str, list[str]]
FROM_SERVICES = sorted(name for name in MESSAGES if SENDERS.get(name) != (CLIENT,))
_SEED, _COUNT = 20261130, 2000


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the oldest compatible commit."""
    return older_tree(tmp_path_factory.mktemp("older"))


def exchange_by(tree: Path, given: Bodies) -> dict[str, Any]:
    """Let the services of an older tree read bodies, and write them."""
    done = subprocess.run(
        [sys.executable, message_exchange.__file__],
        input=json.dumps(given),
        env=environment_of(tree),
        cwd=tree,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def examples(contracts: Path) -> Bodies:
    """Return the examples of a folder of contracts."""
    found: Bodies = {}
    for path in sorted(contracts.glob("examples/*/*.json")):
        found.setdefault(path.parent.name, []).append(path.read_text("utf-8"))
    return found


def written_today() -> Bodies:
    """Return messages as services of today write them: the examples, and what is valid among changed ones."""
    found: Bodies = {}
    for name, texts in examples(HOME).items():
        found[name] = [MESSAGES[name].decode(text.encode()).encode().decode() for text in texts]

    @seed(_SEED)
    @settings(
        max_examples=_COUNT,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(FROM_SERVICES).flatmap(lambda name: st.tuples(st.just(name), bodies(name))))
    def collect(message: tuple[str, bytes]) -> None:
        name, body = message
        try:
            written = MESSAGES[name].decode(body).encode()
            MESSAGES[name].decode(written)  # an item without a payload, which no service writes, has no such form
        except ValidationError:
            return
        found[name].append(written.decode())

    collect()
    return found


def test_older_services_read_what_is_written_today(older: Path) -> None:
    written = written_today()
    read = exchange_by(older, {name: written[name] for name in FROM_SERVICES})
    assert read["errors"] == []
    assert set(read["written"]) >= set(examples(older / "contracts")) & set(FROM_SERVICES)


def test_services_of_today_read_what_older_ones_write(older: Path) -> None:
    written = exchange_by(older, examples(older / "contracts"))
    assert written["errors"] == []
    read = message_exchange.exchange(written["written"])
    assert read["errors"] == []
    assert set(read["written"]) == set(written["written"])


def test_every_fast_reader_is_there_and_refuses_what_is_no_message() -> None:
    for name, places in message_exchange.FAST_READERS.items():
        assert len(message_exchange.readers(name)) == len(places) + 1
    assert len(message_exchange.exchange({"chunk.processed.v1": ["{}"], "unheard.of.v1": ["{}"]})["errors"]) == 1
