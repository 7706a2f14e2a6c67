"""Decoders of every message: an odd body is read, as what is valid JSON again, or refused by `ValidationError`."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from batchyard_contracts.message import MAX_MESSAGE_BYTES
from batchyard_contracts.v1 import MESSAGES
from batchyard_contracts.v1.flow import ChunkProcessed, ItemsPage
from services.aggregator.domain import report as ledger_report
from services.dispatcher.domain import report as dispatcher_report
from services.dispatcher.domain.page import Page
from tests.support.mutations import bodies

pytestmark = pytest.mark.fuzz
FAST: dict[str, list[Callable[[bytes], Any]]] = {
    ChunkProcessed.type: [
        ledger_report.Report.decode,
        lambda body: dispatcher_report.Report.decode(body).outcomes(),  # it reads outcomes where it needs them
    ],
    ItemsPage.type: [Page.decode],
}
types = st.sampled_from(sorted(MESSAGES)) | st.sampled_from(sorted(FAST))
messages = types.flatmap(lambda kind: st.tuples(st.just(kind), bodies(kind)))


def test_an_odd_body_is_read_or_refused(fuzz_seed: int) -> None:
    @seed(fuzz_seed)
    @settings(max_examples=1500, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(messages)
    def read(message: tuple[str, bytes]) -> None:
        message_type, body = message
        if len(body) > MAX_MESSAGE_BYTES:
            return
        found = decoded(MESSAGES[message_type].decode, body)
        if found is not None:
            orjson.loads(found.encode())  # without NaN, which other readers refuse
        for decode in FAST.get(message_type, []):
            assert decoded(decode, body) is not None or found is None

    read()


def decoded(decode: Callable[[bytes], Any], body: bytes) -> Any:
    """Read a body; None if it is refused."""
    try:
        return decode(body)
    except ValidationError:
        return None
