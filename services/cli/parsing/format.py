"""File formats of items. This module imports no parser, because every command line knows the names of the formats."""

from enum import StrEnum


class Format(StrEnum):
    """File formats of items."""

    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"


MEDIA_TYPES = {Format.JSON: "application/json", Format.NDJSON: "application/x-ndjson", Format.CSV: "text/csv"}
EXTENSIONS = {".json": Format.JSON, ".ndjson": Format.NDJSON, ".jsonl": Format.NDJSON, ".csv": Format.CSV}
