"""Summaries of batches: a reducer receives every result once, in the order of the items.

    @squares.summary
    class Total:
        def __init__(self) -> None:
            self.sum = 0

        def add(self, result: Squared, item: ItemInfo) -> None:
            self.sum += result.n

        def finish(self) -> SumOfSquares:
            return SumOfSquares(sum=self.sum)

Each summary has a reducer object of its own. It holds little, such as totals, counts or the best ten, however many
results there are. It runs in a thread, and may run twice on the same results, so that it has no side effects.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, get_type_hints

from pydantic import BaseModel

ResultT_contra = TypeVar("ResultT_contra", bound=BaseModel, contravariant=True)
ResultT = TypeVar("ResultT", bound=BaseModel)


@dataclass(slots=True)  # not frozen: one is made for every result, and freezing would triple its cost
class ItemInfo:
    """Item of a result. Reducers do not change it."""

    ordinal: int
    custom_id: str | None = None
    cached: bool = False
    """True: the result came from the cache, and the item did not run."""


class Reducer(Protocol[ResultT_contra]):
    """Reducer of a batch's results: it receives those of the succeeded items, one by one.

    If it raises an exception, the batch has no summary, and the exception's text as its `summary_error`.
    """

    def add(self, result: ResultT_contra, item: ItemInfo, /) -> None:
        """Add a result."""

    def finish(self) -> BaseModel:
        """Return the summary. The annotation of this method names its model."""


@dataclass(frozen=True, slots=True)
class SummaryDefinition(Generic[ResultT]):
    """Definition of a workload's summary: the class of its reducers, and the model of the summary."""

    create_reducer: Callable[[], Reducer[ResultT]]
    model: type[BaseModel]


def model_of(reducer: type[Any]) -> type[BaseModel]:
    """Model of a reducer's summary; raises `TypeError` if its annotation does not name one."""
    for method in ("add", "finish"):
        if not callable(getattr(reducer, method, None)):
            raise TypeError(f"{reducer.__name__} has no method {method!r}: a summary has `add` and `finish`.")
    try:
        model = get_type_hints(reducer.finish).get("return")
    except NameError as error:
        raise TypeError(f"{reducer.__name__}.finish: {error}. Define its model at the top of the module.") from error
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TypeError(f"{reducer.__name__}.finish needs a pydantic model as its return annotation: -> Totals, say.")

    return model
