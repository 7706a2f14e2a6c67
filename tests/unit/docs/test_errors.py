"""Every error code of ingest is a type of problem with a page of its own, and each type a code that exists."""

import re

from services.ingest.http.problem_page import FILE, page
from services.ingest.http.problem_types import PROBLEM_TYPES
from tests.unit.docs.pages import ROOT, anchors

_CODE = re.compile(r"(?:Rejection\(|code=)\s*\"([a-z_]+)\"")
_NO_PROBLEM = {"arriving", "dispatcher_away", "in_flight", "not_dispatched", "not_held"}
"""Codes of reasons to wait, which are no errors."""
_OF_THE_FRAMEWORK = {"not_found", "method_not_allowed"}


def test_every_error_code_is_a_type_of_problem() -> None:
    sources = [path.read_text("utf-8") for path in (ROOT / "services" / "ingest").rglob("*.py")]
    used = {code for text in sources for code in _CODE.findall(text)} - _NO_PROBLEM
    assert used - PROBLEM_TYPES.keys() == set(), "add them to services/ingest/http/problems.toml"
    unknown = [code for code in PROBLEM_TYPES if not any(f'"{code}"' in text for text in sources)]
    assert set(unknown) - _OF_THE_FRAMEWORK == set()
    assert list(PROBLEM_TYPES) == sorted(PROBLEM_TYPES)


def test_the_page_of_error_codes_is_made_of_the_types_of_problems() -> None:
    assert FILE.read_text("utf-8") == page(), "run `python -m services.ingest.http.problem_page`"
    assert PROBLEM_TYPES.keys() <= anchors(FILE)
