"""Decodes pages of results without a model for each: a result stays JSON until it is needed."""

from typing import ClassVar

import msgspec

from batchyard_contracts.v1.queries import ResultsPage
from shared.messaging.fast_readers import RawResultPage


class ResultPage(RawResultPage):
    """Decoder of `results.page.v1`."""

    type: ClassVar[str] = ResultsPage.type

    @classmethod
    def decode(cls, body: bytes) -> "ResultPage":
        """Decode a body; raises `msgspec.MsgspecError` when it is not a page."""
        return _decoder.decode(body)


_decoder = msgspec.json.Decoder(ResultPage)
