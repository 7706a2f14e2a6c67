"""The project's Python sources as syntax trees, by component: a service, or one of the shared packages."""

import ast
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("contracts/batchyard_contracts", "shared", "devstack", "services")


@cache
def modules(packages: Sequence[str] = PACKAGES) -> dict[Path, ast.Module]:
    """Each module's tree by its path from the project's root."""
    files = [file for package in packages for file in sorted((ROOT / package).rglob("*.py"))]
    return {file.relative_to(ROOT): ast.parse(file.read_text("utf-8")) for file in files}


def component(file: Path) -> str:
    """The service or package that a file belongs to."""
    return "/".join(file.parts[:2]) if file.parts[0] == "services" else file.parts[0]


def functions() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function and method with its file."""
    for file, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield file, node
