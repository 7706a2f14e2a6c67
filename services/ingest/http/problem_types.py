"""Types of problems: what causes each, and what to do about it. The service serves a page for each of them."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection

PREFIX = "/problems"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46em; margin: 2em auto; padding: 0 1em }}</style>
</head>
<body>
{body}
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class ProblemType:
    """Type of a problem. `example` is a `detail` of it."""

    code: str
    status: tuple[int, ...]
    cause: str
    example: str
    action: str

    @property
    def address(self) -> str:
        """Path of its page at the service, which is its `type` in problem documents."""
        return f"{PREFIX}/{self.code}"

    @property
    def title(self) -> str:
        """Short name for people."""
        return title_of(self.code)


def title_of(code: str) -> str:
    """Return the title of a problem with this code."""
    return code.replace("_", " ").capitalize()


def _load() -> Mapping[str, ProblemType]:
    text = (files("services.ingest.http") / "problems.toml").read_text("utf-8")
    return {
        code: ProblemType(code, tuple(fields.pop("status")), **fields) for code, fields in tomllib.loads(text).items()
    }


PROBLEM_TYPES = _load()
"""All types of problems, by code."""


def type_of(code: str) -> str:
    """Return the `type` of a problem document; `about:blank` for a code that a workload chose."""
    known = PROBLEM_TYPES.get(code)
    return known.address if known else "about:blank"


def routes() -> APIRouter:
    """Return the pages."""
    router = APIRouter(include_in_schema=False, prefix=PREFIX)

    @router.get("")
    async def index() -> Response:
        entries = "\n".join(
            f'<li><a href="{each.address}"><code>{each.code}</code></a> {escape(each.cause)}</li>'
            for each in PROBLEM_TYPES.values()
        )
        return _page("Problems", f"<h1>Problems</h1>\n<ul>\n{entries}\n</ul>")

    @router.get("/{code}")
    async def show(code: str) -> Response:
        found = PROBLEM_TYPES.get(code)
        if found is None:
            raise IngestError(Rejection("not_found", f"There is no problem {code[:64]!r}: see {PREFIX}.", 404))
        return _page(found.title, _body(found))

    return router


def _body(problem: ProblemType) -> str:
    statuses = " or ".join(map(str, problem.status))
    return "\n".join(
        [
            f"<h1>{escape(problem.title)}</h1>",
            f"<p><code>{problem.code}</code>, HTTP status {statuses}</p>",
            f"<h2>Cause</h2>\n<p>{_text(problem.cause)}</p>",
            f"<h2>Example</h2>\n<blockquote>{escape(problem.example)}</blockquote>",
            f"<h2>What to do</h2>\n<p>{_text(problem.action)}</p>",
            f'<p><a href="{PREFIX}">All problems</a></p>',
        ]
    )


def _text(text: str) -> str:
    """Return text as HTML, with what stands in backticks as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))


def _page(title: str, body: str) -> Response:
    page = _PAGE.format(title=escape(title), body=body)
    return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})
