"""Names say what they are: a class has a name of its own, and what changes something is called by a verb."""

import ast
import re
from collections import defaultdict

from tests.support.source import component, functions, modules

IRREGULAR = frozenset(
    [
        "begun",
        "bound",
        "brought",
        "broken",
        "built",
        "chosen",
        "done",
        "drawn",
        "fallen",
        "fed",
        "felt",
        "found",
        "given",
        "gone",
        "grown",
        "heard",
        "held",
        "hidden",
        "kept",
        "known",
        "laid",
        "led",
        "left",
        "lost",
        "made",
        "met",
        "paid",
        "seen",
        "sent",
        "shown",
        "sold",
        "spoken",
        "stood",
        "taken",
        "thrown",
        "told",
        "understood",
        "withdrawn",
        "won",
        "written",
    ]
)
"""Past participles that do not end in -ed and are no imperatives as well (as `run`, `set` and `put` are)."""
NO_PARTICIPLES = frozenset({"embed", "feed", "heed", "need", "proceed", "seed", "speed", "exceed", "shed"})
ALLOWED = frozenset[str]()
"""Functions that may be called by a participle although they return nothing, each with its reason."""


def test_no_class_name_is_used_twice_in_a_component() -> None:
    places = defaultdict(list)
    for file, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[component(file), node.name].append(str(file))

    assert {where: files for where, files in places.items() if len(files) > 1} == {}


def test_methods_that_change_something_are_named_by_a_verb() -> None:
    found = [
        f"{file}:{node.lineno} {node.name}"
        for file, node in functions()
        if returns_nothing(node) and participle(node.name) and node.name not in ALLOWED
    ]

    assert found == [], "Name them by what they do: `record_failure`, `mark_started`; a handler is `on_<message>`."


def returns_nothing(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return isinstance(node.returns, ast.Constant) and node.returns.value is None


def participle(name: str) -> bool:
    """Tell whether a name says what has happened instead of what to do. `on_batch_accepted` answers a message."""
    words = name.strip("_").split("_")
    if words[0] == "on" or name.startswith("__"):
        return False
    return words[0] in {"is", "has"} or (
        any(word in IRREGULAR or (word.endswith("ed") and word not in NO_PARTICIPLES) for word in (words[0], words[-1]))
        and not imperative(words)
    )


def imperative(words: list[str]) -> bool:
    """Tell whether a verb opens the name, so that a participle at its end belongs to what it acts on or records."""
    return len(words) > 1 and words[0] not in IRREGULAR and not words[0].endswith("ed")


def test_names_of_tests_say_what_is_expected() -> None:
    vague = re.compile(r"test_(?:what|who|whose|how|it|which|whether|where|that|those)_")
    found = [
        f"{file}:{node.lineno} {node.name}"
        for file, tree in modules(("tests",)).items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and vague.match(node.name)
    ]

    assert found == []
