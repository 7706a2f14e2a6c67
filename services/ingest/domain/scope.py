"""The scopes of API keys: the verbs that a key may use."""

from collections.abc import Collection, Iterable
from typing import Annotated, Literal, get_args

from pydantic import Field

Scope = Literal[
    "batches:read",
    "batches:write",
    "results:read",
    "schedules:write",
    "webhooks:write",
    "keys:write",
    "operate",
    "payloads:read",
]
ALL_SCOPES: frozenset[Scope] = frozenset(get_args(Scope))
OPERATORS_ONLY: frozenset[Scope] = frozenset({"operate", "payloads:read"})
"""Scopes that reach beyond one owner: acting for all owners, and reading payloads and results of others."""
OWNER_SCOPES: frozenset[Scope] = ALL_SCOPES - OPERATORS_ONLY
"""Scopes for all that concerns one owner."""
DEFAULT_SCOPES: tuple[Scope, ...] = ("batches:read", "batches:write", "results:read")
"""Scopes of a new key unless others are named."""

Scopes = Annotated[tuple[Scope, ...], Field(min_length=1, max_length=len(ALL_SCOPES))]


def sorted_scopes(scopes: Iterable[str]) -> list[Scope]:
    """Return scopes in the order in which they are declared; names that this version does not know are left out."""
    wanted = frozenset(scopes)
    return [scope for scope in get_args(Scope) if scope in wanted]


def missing_scopes(wanted: Iterable[Scope], held: Collection[Scope]) -> list[Scope]:
    """Return the wanted scopes that are not held."""
    return [scope for scope in sorted_scopes(wanted) if scope not in held]
