"""The worker finds built-in workloads by their names."""

import pytest

from services.worker.loading.registry import find
from shared.runtime.errors import ConfigurationError


def test_the_built_in_workloads_are_found_by_their_names() -> None:
    assert {"noop", "tracklists"} <= set(find())
    assert set(find(["noop"])) == {"noop"}


def test_an_unknown_name_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(ConfigurationError, match=r"nope; found are .*noop"):
        find(["nope"])
