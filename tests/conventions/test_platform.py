"""The platform knows no workload by its name: a new one changes no code outside its own package."""

import re
from importlib.metadata import entry_points

from services.worker.loading.registry import GROUP
from tests.support.source import ROOT, modules

FOR_EXAMPLES = frozenset({"http", "noop"})
"""Workloads that stand for any workload in help texts and measurements."""
WORKLOADS = "services/worker/workloads/"


def test_no_code_of_the_platform_mentions_a_built_in_workload() -> None:
    built_in = {e.name for e in entry_points(group=GROUP) if e.value.startswith(WORKLOADS.replace("/", "."))}
    names = "|".join(sorted(built_in - FOR_EXAMPLES))
    mention = re.compile(
        rf"""["'`.\s](?:{names})["'`.]|(?:submit|ask|rates|import) (?:{names})\b|BATCHYARD_(?:{names.upper()})_"""
    )
    found = [
        f"{file}:{number} {line.strip()}"
        for file in modules()
        if str(file).startswith(("services/", "shared/", "contracts/")) and not str(file).startswith(WORKLOADS)
        for number, line in enumerate((ROOT / file).read_text("utf-8").splitlines(), 1)
        if mention.search(line)
    ]

    assert len(built_in) > len(FOR_EXAMPLES)
    assert found == []
