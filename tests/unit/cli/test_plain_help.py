"""Help and errors of the command line speak to its reader, in a terminal of any width."""

import pytest

from services.cli.exit_codes import Exit
from tests.unit.cli.conftest import Run


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("list", "--limit", "x"), "'x' is not a whole number."),
        (("list", "--limit", "0"), "0 is out of range: 1 to 1000."),
        (("submit", "noop", "--item", "{}", "--concurrency", "0"), "0 is out of range: at least 1."),
        (("list", "--url"), "Option '--url' requires an argument."),
        (("submit",), "Missing argument 'WORKLOAD'."),
        (("lst",), "Did you mean 'list'?"),
    ],
)
async def test_an_error_of_the_line_says_what_is_expected(argv: tuple[str, ...], words: str, run: Run) -> None:
    ended = await run(*argv)
    assert (ended.code, ended.out) == (Exit.USAGE, "")
    assert ended.err.splitlines()[-1].endswith(words)


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        ("submit", "submit [OPTIONS] WORKLOAD [FILE]"),
        ("priority", "priority [OPTIONS] BATCH {immediate|normal|low}"),
        ("rates", "rates [OPTIONS] [set|clear|close] [WORKLOAD]"),
    ],
)
@pytest.mark.parametrize("columns", ["40", "80", "200"])
async def test_the_usage_names_arguments_as_they_are_described(
    command: str, usage: str, columns: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    out = (await run(command, "--help")).out
    assert " ".join(out.partition("\n\n")[0].split()) == f"Usage: batchyard {usage}"
    assert "x<=" not in out
    assert "<=x" not in out


async def test_no_word_of_the_help_is_broken_in_a_narrow_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    words = []
    for columns in ("40", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        words.append((await run("change", "--help")).out.split())
    assert words[0] == words[1]
