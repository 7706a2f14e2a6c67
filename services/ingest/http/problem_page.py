"""Generator of `docs/errors.md`: `python -m services.ingest.http.problem_page [--check]`.

With `--check` it writes nothing, and exits with 1 when the page differs from the types of problems.
"""

import sys
from pathlib import Path

from batchyard_contracts.schema.generated_file import keep_current
from services.ingest.http.problem_types import PREFIX, PROBLEM_TYPES, ProblemType

FILE = Path(__file__).parents[3] / "docs" / "errors.md"
_HEAD = f"""# Error codes

Each error of the HTTP API is a problem document (RFC 9457). Its `type` is the address of a page of the service,
`{PREFIX}/<code>`, with what stands below. By AMQP the reply is `command.rejected.v1` with the same code. A code is
stable for the same cause; `detail` is a sentence for people.

Where items or fields are at fault, `errors` lists them in their order, up to 100, and `error_count` counts all of
them. An entry has a `code` and a `detail`, and says where it is, as far as that is known: `pointer` is a JSON
Pointer into the body, in an uploaded file into the item; `line` is the number of the item, counted from 1, in a
file its line; `column` is the character of that line, in CSV the column; `parameter` is a parameter of the query.
Nothing of a rejected request was stored, unless `batch_id` names a batch that a long upload has begun.

A workload's question may fail with a code of its own; the `type` is then `about:blank`.
"""


def page() -> str:
    """Return the text of the page."""
    return "\n".join([_HEAD, *map(_section, PROBLEM_TYPES.values())])


def _section(problem: ProblemType) -> str:
    statuses = " or ".join(map(str, problem.status))
    return f"""## {problem.code}

Status {statuses}. {problem.cause}

> {problem.example}

{problem.action}
"""


def main(arguments: list[str]) -> int:
    """Run the command line and return the exit code."""
    return keep_current(FILE, page(), "services.ingest.http.problem_page", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
