"""Checks results against the schema of their workload; one that does not fit is kept beside the failure of its item."""

from collections.abc import Sequence
from typing import Any

import jsonschema_rs
import msgspec
from pydantic_core import from_json

from batchyard_contracts.v1.values import ItemError
from services.aggregator.domain.report import Report
from shared.messaging.fast_readers import RawOutcome

_MAX_REASON = 300
"""Largest number of characters of a reason, which may quote the whole result."""


class ResultSchemas:
    """The schemas of the present versions of a workload. A result fits if it fits one of them: a report does not name
    the version of its worker."""

    def __init__(self, schemas: Sequence[dict[str, Any]], *, has_source: bool = False) -> None:
        """Raises `ValueError` for a schema that is not usable."""
        self._has_source = has_source
        try:
            self._validators = [jsonschema_rs.validator_for(schema, retriever=_no_retrieval) for schema in schemas]
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
            raise ValueError(str(error)[:_MAX_REASON]) from error

    def check(self, report: Report) -> Report:
        """Return the report with the outcomes failed whose results do not fit; the result of a source is none."""
        outcomes = [
            one if one.status != "succeeded" or (self._has_source and one.ordinal == 0) else self._checked(one)
            for one in report.outcomes
        ]
        if all(one is before for one, before in zip(outcomes, report.outcomes, strict=True)):
            return report
        return msgspec.structs.replace(report, outcomes=outcomes)

    def _checked(self, outcome: RawOutcome) -> RawOutcome:
        if outcome.stored is not None:  # lost, or nobody can read it here: readers are told
            return outcome
        try:
            result = from_json(bytes(outcome.result) or b"null")
        except ValueError:  # nested too deeply: the ledger fails it for that
            return outcome
        if any(validator.is_valid(result) for validator in self._validators):
            return outcome
        first = next(self._validators[0].iter_errors(result))
        reason = f"{first.message} at /{'/'.join(map(str, first.instance_path))}"[:_MAX_REASON]
        error = ItemError(
            code="invalid_result", message=f"The result does not fit the workload's schema: {reason}. It is kept."
        )
        return msgspec.structs.replace(outcome, status="failed", error=msgspec.Raw(error.model_dump_json().encode()))


def _no_retrieval(uri: str) -> Any:
    raise ValueError(f"the schema refers to {uri[:200]}; external references are not allowed")
