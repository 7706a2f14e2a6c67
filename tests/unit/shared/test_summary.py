"""Lines of a summary."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.json.summary import summary_lines

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda parts: st.lists(parts) | st.dictionaries(st.text(), parts),
)


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        ({"projects": 3, "late": True}, [("projects", "3"), ("late", "yes")]),
        ({"cost": {"at_least": 1234.5, "at_most": None}}, [("cost at least", "1,234.5"), ("cost at most", "none")]),
        ({"best": [{"job": "a", "by": ["x", "y"]}, {"job": "b"}]}, [("best", "job a, by x, y"), ("best", "job b")]),
        ({"n": list(range(8))}, [("n", "0, 1, 2, 3, 4, and 3 more")]),
        ({"jobs": [{}] * 7}, [("jobs", "none")] * 5 + [("jobs", "and 2 more")]),
        ({"of": "one\nline\x0bis enough"}, [("of", "one line is enough")]),
        (12345, [("", "12,345")]),
        ({"year": 2026, "share": 0.5}, [("year", "2026"), ("share", "0.5")]),
    ],
)
def test_lines_have_names_and_texts(value: Any, lines: list[tuple[str, str]]) -> None:
    assert summary_lines(value) == lines


@given(JSON)
def test_lines_are_bounded_for_every_value(value: Any) -> None:
    lines = summary_lines(value)
    assert len(lines) <= 31
    assert all(len(name) <= 80 and len(text) <= 160 and "\n" not in name + text for name, text in lines)
