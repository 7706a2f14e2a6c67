"""Every YAML file that is written by hand keeps one style, and says no key twice."""

from tests.support.deployment import run_tool


def test_yaml_is_clean() -> None:
    run_tool("yamllint", "--strict", ".")
