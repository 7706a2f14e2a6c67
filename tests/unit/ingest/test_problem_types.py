"""Types of problems: the service answers the address of each with its cause, an example, and what to do."""

from collections.abc import AsyncIterator
from html import unescape
from typing import Any

import httpx
import pytest

from services.ingest.domain.rejection import Rejection
from services.ingest.http.openapi_file import described_app
from services.ingest.http.problem_types import PREFIX, PROBLEM_TYPES, ProblemType
from services.ingest.http.problems import problem_response


@pytest.fixture(scope="module")
def application() -> Any:
    """The application, which takes longer to build than to answer."""
    return described_app()


@pytest.fixture
async def http(application: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://test") as client:
        yield client


@pytest.mark.parametrize("problem", PROBLEM_TYPES.values(), ids=PROBLEM_TYPES)
async def test_the_type_of_a_problem_is_the_address_of_its_page(problem: ProblemType, http: httpx.AsyncClient) -> None:
    document = httpx.Response(200, content=bytes(problem_response(Rejection(problem.code, "No."), None).body)).json()
    answer = await http.get(document["type"])
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    text = unescape(answer.text)
    assert all(words in text for words in (problem.title, problem.example, problem.cause.split("`")[0]))
    assert problem.action.split("`")[0] in text
    assert "<script" not in answer.text


@pytest.mark.parametrize("problem", PROBLEM_TYPES.values(), ids=PROBLEM_TYPES)
def test_a_page_is_written_out(problem: ProblemType) -> None:
    assert all(text.endswith((".", "`", "?", "]")) for text in (problem.cause, problem.action))
    assert problem.status
    assert all(400 <= status < 600 for status in problem.status)


async def test_the_index_leads_to_every_page(http: httpx.AsyncClient) -> None:
    text = (await http.get(PREFIX)).text
    assert [code for code in PROBLEM_TYPES if f'href="{PREFIX}/{code}"' not in text] == []


async def test_an_unknown_code_has_no_page(http: httpx.AsyncClient) -> None:
    answer = await http.get(f"{PREFIX}/no_such_code")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_the_code_of_a_workload_has_no_type() -> None:
    body = bytes(problem_response(Rejection("too_far_away", "No."), None).body)
    assert httpx.Response(200, content=body).json()["type"] == "about:blank"
