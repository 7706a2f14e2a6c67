"""Action of `batchyard submit --dry-run`: prints what a submission would meet."""

import msgspec
import typer

from services.cli.client.check_documents import SubmissionCheck
from services.cli.client.wrong_rows import wrong_rows_text
from services.cli.errors import WrongRow
from services.cli.exit_codes import Exit
from services.cli.rendering.counted import counted
from services.cli.rendering.output import note, say, write_json

_MAX_DESTINATIONS = 5


def show_check(body: bytes, *, json: bool) -> None:
    """Print a check; ends the command with an exit code if the batch would be refused."""
    found = msgspec.json.decode(body, type=SubmissionCheck)
    if json:
        write_json(body)
    else:
        for line in check_lines(found):
            say(line)
    if not found.acceptable:
        raise typer.Exit(Exit.USAGE if found.error_count else Exit.REFUSED)
    if not json:
        note("Nothing was stored. Submit it without --dry-run.")


def check_lines(found: SubmissionCheck) -> list[str]:
    """Return a check in words."""
    invalid = f", {found.error_count:,} invalid" if found.error_count else ""
    lines = [f"{counted(found.valid, 'item')} valid{invalid}" + ("" if found.whole else "; the rest was not checked")]
    if found.duplicates:
        lines.append(f"{counted(found.duplicates, 'item')} repeat{'s' * (found.duplicates == 1)} an earlier one")
    if found.destinations:
        shown = [f"{one.partition} {one.items:,}" for one in found.destinations[:_MAX_DESTINATIONS]]
        more = ", …" if len(found.destinations) > _MAX_DESTINATIONS else ""
        lines.append(f"destinations: {', '.join(shown)}{more}")
    lines += [
        f"unknown field `{name}` in {counted(number, 'item')}: the workload ignores it"
        for name, number in found.unknown_fields.items()
    ]
    lines += [problem.detail for problem in found.problems]
    if found.errors:
        rows = [WrongRow(error.line, error.detail) for error in found.errors]
        lines.append(wrong_rows_text(rows, found.error_count, "line"))
    lines.append("It would be accepted." if found.acceptable else "It would be refused.")
    return lines
