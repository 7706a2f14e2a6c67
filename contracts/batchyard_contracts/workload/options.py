"""Groups of a workload's options. A parameter at the wrong place raises a `TypeError` that names the right one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, TypeVar

from batchyard_contracts.v1.manifest import Adaptive, CircuitRule, Limit, RecordsExport, TextExport
from batchyard_contracts.v1.values import Rate, RetryRule

P = ParamSpec("P")
R = TypeVar("R")
GroupT = TypeVar("GroupT")

_PLACES = {
    "chunk_max": "chunking=Chunking(max=…)",
    "chunk_min": "chunking=Chunking(min=…)",
    "chunk_target_s": "chunking=Chunking(target_s=…)",
    "cache_ttl_s": "caching=Caching(ttl_s=…)",
}
"""Places of all parameters by name, and of the fields of the manifest whose parameter has another name."""


def explains_misplaced(owner: str, place: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a constructor, so that its error for an unknown parameter names the place of that parameter.

    `place` is how a parameter of this constructor is written, with `{name}` for its name.
    """

    def decorate(init: Callable[P, R]) -> Callable[P, R]:
        known = [name for name in signature(init).parameters if name != "self"]
        _PLACES.update({name: place.format(name=name) for name in known})

        @wraps(init)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            for name in kwargs:
                if name not in known:
                    advice = f"Write {_PLACES[name]}" if name in _PLACES else f"It has {', '.join(known)}"
                    raise TypeError(f"{owner} has no parameter {name!r}. {advice}.")
            return init(*args, **kwargs)

        return checked

    return decorate


def _option_group(parameter: str) -> Callable[[type[GroupT]], type[GroupT]]:
    """Decorate a group that is passed to a workload as `parameter`."""

    def decorate(group: type[GroupT]) -> type[GroupT]:
        place = f"{parameter}={group.__name__}({{name}}=…)"
        group.__init__ = explains_misplaced(group.__name__, place)(group.__init__)  # type: ignore[method-assign]
        return group

    return decorate


def _no_limit() -> None:
    return None


def _no_variant() -> str:
    return ""


@_option_group("chunking")
@dataclass(frozen=True, slots=True, kw_only=True)
class Chunking:
    """Sizes of the chunks in which items travel to a worker."""

    max: int = 100
    """Largest number of items of a chunk."""
    min: int = 1
    """Initial number of items of a chunk, below which slow items do not shrink it. It suits calls that hardly take
    longer for more items."""
    target_s: float = 1.0
    """Seconds that a chunk should take; its size follows the measured time of an item."""


@_option_group("limits")
@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits on how many items run at once, how often they start, how long they run, and how many a batch has."""

    concurrency: int = 10
    """Number of items, or of chunks for a chunk handler, that one worker runs at once."""
    item_timeout_s: float = 60.0
    """Seconds after which a run is interrupted."""
    max_items: Callable[[], int | None] = _no_limit
    """Function that returns the largest number of items of a batch; None: the platform's limit applies."""
    rate: Rate | None = None
    """Rate of each partition."""
    rates: Mapping[str, Rate] = field(default_factory=dict)
    """Rates of the partitions named here, in place of `rate`."""
    partition_concurrency: int | None = None
    """Number of items of one partition that run at once, over all workers."""
    adaptive: Adaptive | Callable[[], Adaptive | None] | None = None
    """Bounds within which the rate of each partition adapts, in place of `rate`; or a function that returns them, where
    they depend on the worker's settings."""
    additional: Sequence[Limit] = ()
    """Up to four limits by other partitions; an item is dispatched when all limits permit it."""


@_option_group("retry")
@dataclass(frozen=True, slots=True)
class Retry:
    """Rules for what runs again after an error."""

    rules: Mapping[str, RetryRule] = field(default_factory=dict)
    """Retry rules by error code; `default` applies to all others."""
    _: KW_ONLY
    circuit: CircuitRule | None = None
    """Rule of the circuit breaker; None: there is none."""
    repeatable: bool | Callable[[Any, Any], bool] = True
    """False: a run must not be repeated when its end is unknown. A function decides it by the item and its context."""


@_option_group("caching")
@dataclass(frozen=True, slots=True, kw_only=True)
class Caching:
    """Reuse of results for equal payloads."""

    ttl_s: int = 0
    """Seconds for which a result is reused; 0: never."""
    variant: Callable[[], str] = _no_variant
    """Function that returns the settings on which results depend, without secrets: results of another variant are not
    reused."""


@_option_group("exports")
@dataclass(frozen=True, slots=True)
class Exports:
    """Formats in which results can be fetched, beside JSON and CSV."""

    texts: Mapping[str, TextExport] = field(default_factory=dict)
    """Formats that take texts from each result, by name."""
    _: KW_ONLY
    records: RecordsExport | None = None
    """Formats `records` and `records-csv`, which list the records of results; None: there are none."""


def check_groups(*groups: Any) -> None:
    """Check that the groups are one of each kind, in the order of this module; raises `TypeError`."""
    for group, kind in zip(groups, (Chunking, Limits, Retry, Caching, Exports), strict=True):
        if not isinstance(group, kind):
            name = kind.__name__
            raise TypeError(f"`{name.lower()}` is a {type(group).__name__}. Write {name.lower()}={name}(…).")
