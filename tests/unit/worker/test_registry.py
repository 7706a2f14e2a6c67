"""The worker finds built-in workloads by their names."""

import pkgutil
from pathlib import Path

import pytest

from services.worker import workloads
from services.worker.loading import registry
from services.worker.loading.registry import find
from services.worker.loading.workload_file import load
from shared.runtime.errors import ConfigurationError


def test_the_built_in_workloads_are_found_by_their_names() -> None:
    assert {"noop", "tracklists"} <= set(find())
    assert set(find(["noop"])) == {"noop"}


def test_every_module_of_the_built_in_workloads_is_offered() -> None:
    modules = {module.name for module in pkgutil.iter_modules(workloads.__path__)}

    assert modules <= set(find())


def test_an_unknown_name_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(ConfigurationError, match=r"nope; found are .*noop"):
        find(["nope"])


def test_an_installation_without_entry_points_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda **_: ())

    with pytest.raises(ConfigurationError, match=r"batchyard\.workloads"):
        find()


def test_a_file_may_have_two_names_for_one_workload(tmp_path: Path) -> None:
    file = tmp_path / "two_names_for_one.py"
    file.write_text(
        "from pydantic import BaseModel\n"
        "from batchyard_contracts.workload import Workload\n"
        "class Item(BaseModel):\n    n: int\n"
        'first = second = Workload("two-names", version="1", item=Item, result=Item)\n'
        "@first.handler\nasync def run(item, context):\n    return item\n"
    )
    assert list(find(only_files=[str(file)])) == ["two-names"]
    assert len(load(str(file))) == 1
