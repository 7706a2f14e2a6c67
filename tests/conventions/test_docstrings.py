"""Docstrings open with a subject or a verb: a sentence that a stranger understands by itself."""

import ast
import re

from tests.support.source import PACKAGES, modules

RIDDLE = re.compile(
    r"(?:What|Whether|Of|Those|These|The same|How|Which|Where|Who|Whom|Whose|All of|It|They|That|Says|Said)\b"
)


def test_no_docstring_opens_with_a_riddle() -> None:
    found = [
        f"{file}:{line} {text.splitlines()[0]}"
        for file, tree in modules((*PACKAGES, "tests", "benchmarks", "examples")).items()
        for line, text in docstrings(tree)
        if RIDDLE.match(text)
    ]

    assert found == []


def docstrings(tree: ast.Module) -> list[tuple[int, str]]:
    """Each string that stands alone as a statement, those below fields and constants too, with its line."""
    return [
        (node.lineno, node.value.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
