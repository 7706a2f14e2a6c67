"""The table of retry rules in the documentation is that of the manifests."""

from pathlib import Path

from services.worker.loading import registry

PAGE = Path(__file__).parents[3] / "docs" / "retries.md"


def test_the_table_says_what_the_manifests_say() -> None:
    rules = [
        f"| {name} | {code} | {rule.attempts} | {rule.base_s:g} | {rule.cap_s:g} |"
        for name, workload in sorted(registry.find().items())
        for code, rule in sorted(workload.manifest.retry.items())
    ]
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = lines.index("| workload | code | attempts | first, s | most, s |") + 2
    assert lines[start : start + len(rules)] == rules
    assert not lines[start + len(rules)].startswith("|")
