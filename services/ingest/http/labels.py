"""Labels and metadata as query parameters: labels as `key=value` each, metadata as one JSON object."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import StringConstraints, TypeAdapter, ValidationError

from batchyard_contracts.v1.commands import Labels
from batchyard_contracts.v1.values import Metadata
from batchyard_contracts.validation_words import sentence
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection

NO_CONTROLS = r"^[^\x00-\x1f\x7f]*$"
"""Pattern of one line of text."""
LineParam = Annotated[str, StringConstraints(max_length=319, pattern=NO_CONTROLS)]
"""One line: a key of 63 characters, `=`, and a value of 255."""
_LABELS: TypeAdapter[dict[str, str]] = TypeAdapter(Labels)

_METADATA: TypeAdapter[dict[str, Any]] = TypeAdapter(Metadata)


def metadata_of(text: str | None) -> dict[str, Any]:
    """Return the metadata that a parameter has as JSON; raises `IngestError` (422)."""
    try:
        return _METADATA.validate_json(text) if text else {}
    except ValidationError as error:
        detail = f"metadata: {sentence(error.errors()[0], 'The metadata')}."
        raise IngestError(Rejection("invalid_request", detail)) from error


def labels_of(texts: Sequence[str]) -> dict[str, str]:
    """Return the labels; raises `IngestError` (422)."""
    if invalid := [text for text in texts if "=" not in text]:
        raise IngestError(
            Rejection("invalid_request", f"The label {invalid[0]!r} has no value. Write it as key=value.")
        )
    pairs = {key: value for key, _, value in (text.partition("=") for text in texts)}
    try:
        return _LABELS.validate_python(pairs)
    except ValidationError as error:
        raise IngestError(
            Rejection("invalid_request", f"label: {sentence(error.errors()[0], 'The labels')}.")
        ) from error
