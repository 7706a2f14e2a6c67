"""Headers by which a request depends on the state of a batch: `If-Match` and `If-None-Match`."""

from typing import Annotated, Any

from fastapi import Depends, Header

from services.ingest.domain.precondition import MAX_CONDITION, Precondition

ETAG: dict[str, Any] = {"ETag": {"description": "strong entity tag of the state", "schema": {"type": "string"}}}
IfNoneMatch = Annotated[
    str | None,
    Header(
        alias="If-None-Match",
        max_length=MAX_CONDITION,
        description="entity tags that the client has: if one is that of the state, the response is 304 without a body",
    ),
]


def _precondition(
    if_match: Annotated[
        str | None,
        Header(
            alias="If-Match",
            max_length=MAX_CONDITION,
            description="`ETag` of the state that the request relies on: if the batch was changed since, by a command "
            "or by being sealed, nothing is done and the response is 412. Progress is no change.",
        ),
    ] = None,
) -> Precondition:
    return Precondition.parse(if_match)


Condition = Annotated[Precondition, Depends(_precondition)]
"""Condition of a request that changes a batch."""
