"""Folded stacks."""

from pathlib import Path

from benchmarks.stacks import charge

_PROJECT = Path("/src/project")
_LIBRARY = "/src/project/.venv/lib/python3.11/site-packages"


_ENTRY = f"run (/src/project/shared/runtime/process.py:61);run ({_LIBRARY}/uvloop/__init__.py:96)"


def test_a_library_is_charged_to_the_line_of_ours_that_called_it() -> None:
    save = "save (/src/project/services/b.py:7)"
    folded = [
        f"<module> (/src/project/services/a.py:1);{save};copy ({_LIBRARY}/asyncpg/x.py:3) 5",
        f"{save};other ({_LIBRARY}/asyncpg/y.py:9) 2",
    ]
    assert charge(folded, _PROJECT) == {"services/b.py:7 save": 7}


def test_calls_of_the_event_loop_are_charged_to_their_library_and_waiting_to_none() -> None:
    folded = [
        f"{_ENTRY};read ({_LIBRARY}/aiormq/connection.py:3);unmarshal ({_LIBRARY}/pamqp/frame.py:8) 4",
        f"{_ENTRY};wait (/usr/lib/python3.11/asyncio/tasks.py:1) 1",
    ]
    assert charge(folded, _PROJECT) == {"(aiormq/connection.py read)": 4}


def test_the_innermost_line_of_ours_counts_though_another_calls_it() -> None:
    folded = ["outer (/src/project/services/a.py:1);inner (/src/project/shared/b.py:2) 3", ""]
    assert charge(folded, _PROJECT) == {"shared/b.py:2 inner": 3}


def test_the_lines_of_a_function_count_together_under_the_dearest() -> None:
    folded = ["run (/src/project/services/a.py:5) 2", "run (/src/project/services/a.py:9) 7", "go (services/a.py:1) 1"]
    assert charge(folded, _PROJECT) == {"services/a.py:9 run": 9, "services/a.py:1 go": 1}
