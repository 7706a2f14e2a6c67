"""One run of a workload's reducer over the results of a batch."""

from collections.abc import Iterable, Sequence
from threading import Event
from typing import Any

import msgspec
from pydantic import JsonValue, ValidationError
from pydantic_core import from_json, to_json

from batchyard_contracts.v1.values import SUMMARY_MAX_BYTES
from batchyard_contracts.validation_words import sentence
from batchyard_contracts.workload import ItemInfo, Workload
from services.worker.domain.outcome import writable
from shared.messaging.fast_readers import RawResult


class SummaryFailed(Exception):
    """The summary failed; the message tells the batch's owner why."""

    def __init__(self, reason: str) -> None:
        super().__init__(writable(reason))


class Reduction:
    """Runs a reducer; each of its errors becomes `SummaryFailed`. Not thread-safe."""

    def __init__(self, workload: Workload[Any, Any]) -> None:
        if workload.summary_definition is None:
            raise SummaryFailed(
                f"The workload {workload.name} has no summary on this worker: its version is another one."
            )
        self._workload = workload
        self._model = workload.summary_definition.model
        self._validate = workload.result.__pydantic_validator__.validate_json
        try:
            self._reducer = workload.summary_definition.create_reducer()
        except (Exception, SystemExit) as error:
            raise self._failure("at its beginning", error) from error

    def add_rows(self, rows: Iterable[RawResult], stop: Event) -> None:
        """Pass results to the reducer, until `stop` is set."""
        for row in rows:
            if stop.is_set():
                return
            try:
                result = self._validate(bytes(row.result))
            except ValidationError as error:
                fault = sentence(error.errors(include_url=False, include_input=False)[0], "the result")
                raise SummaryFailed(
                    f"The result of item {row.ordinal} does not fit the model of {self._workload.name}: "
                    f"{fault}. Run its items again by this version of the workload."
                ) from error
            try:
                self._reducer.add(result, ItemInfo(row.ordinal, row.custom_id, row.cached))
            except (Exception, SystemExit) as error:
                raise self._failure(f"at item {row.ordinal}", error) from error

    def finish(self) -> JsonValue:
        """Return the summary as JSON of limited size."""
        try:
            summary = self._reducer.finish()
            body: bytes = summary.__pydantic_serializer__.to_json(summary)
            value: JsonValue = from_json(body) if len(body) <= SUMMARY_MAX_BYTES else None
        except (Exception, SystemExit) as error:
            raise self._failure("at its end", error) from error
        if not isinstance(summary, self._model):
            raise SummaryFailed(f"The summary of {self._workload.name} is a {type(summary).__name__}, not its model.")
        if len(body) > SUMMARY_MAX_BYTES:
            raise SummaryFailed(
                f"The summary of {self._workload.name} has {len(body)} bytes of JSON; at most {SUMMARY_MAX_BYTES} are "
                "kept. Let it hold less: totals, the best few."
            )
        return value

    def _failure(self, where: str, error: BaseException) -> SummaryFailed:
        return SummaryFailed(f"The summary of {self._workload.name} failed {where}: {type(error).__name__}: {error}")


def summary_of(workload: Workload[Any, Any], results: Sequence[Any]) -> JsonValue:
    """Return the summary of results in JSON terms, as if they were those of a batch; raises `SummaryFailed`."""
    reduction = Reduction(workload)
    reduction.add_rows((RawResult(i, msgspec.Raw(to_json(result))) for i, result in enumerate(results)), Event())
    return reduction.finish()
