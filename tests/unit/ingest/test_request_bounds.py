"""Every part of the body of an HTTP request has a bound."""

import pytest

from batchyard_contracts.message import Command
from services.ingest.http import models
from tests.support.bounds import unbounded_parts

BODIES = [
    one
    for one in vars(models).values()
    if isinstance(one, type) and issubclass(one, Command) and one.__module__ == models.__name__
]


@pytest.mark.parametrize("body", BODIES)
def test_every_part_of_a_request_has_a_bound(body: type[Command]) -> None:
    assert unbounded_parts(body.model_json_schema(), body.__name__) == []
