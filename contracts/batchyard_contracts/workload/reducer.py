"""What makes a summary of a batch: a reducer, which is shown every result once, in the order of the items.

    @squares.summary
    class Total:
        def __init__(self) -> None:
            self.sum = 0

        def add(self, result: Squared, item: ItemInfo) -> None:
            self.sum += result.n

        def done(self) -> SumOfSquares:
            return SumOfSquares(sum=self.sum)

One object is made for each summary. It is to keep little, however many results there are: totals, counts, the best ten.
It runs in a thread, and may be run twice on the same results, so it does nothing but compute.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, get_type_hints

from pydantic import BaseModel

ResultT_contra = TypeVar("ResultT_contra", bound=BaseModel, contravariant=True)
ResultT = TypeVar("ResultT", bound=BaseModel)


@dataclass(slots=True)  # not frozen: one is made for every result, and freezing would triple its cost
class ItemInfo:
    """Which item a result is of; to be read only."""

    ordinal: int
    custom_id: str | None = None
    cached: bool = False
    """Whether the result was known before, and the item did not run."""


class Reducer(Protocol[ResultT_contra]):
    """Takes one result after the other, only of items that succeeded. What it raises leaves the batch without a
    summary, and says why."""

    def add(self, result: ResultT_contra, item: ItemInfo, /) -> None:
        """Take a result."""

    def done(self) -> BaseModel:
        """What came of all of them. The annotation of this method names the model."""


@dataclass(frozen=True, slots=True)
class Summarizing(Generic[ResultT]):
    """How a workload's batches are summarized."""

    begin: Callable[[], Reducer[ResultT]]
    model: type[BaseModel]


def model_of(reducer: type[Any]) -> type[BaseModel]:
    """The model that a reducer ends with; raises `TypeError` when it does not say so."""
    for method in ("add", "done"):
        if not callable(getattr(reducer, method, None)):
            raise TypeError(f"{reducer.__name__} has no method {method!r}: a summary is a class with `add` and `done`.")
    try:
        model = get_type_hints(reducer.done).get("return")
    except NameError as error:
        raise TypeError(f"{reducer.__name__}.done: {error}. Define its model at the top of the module.") from error
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TypeError(f"{reducer.__name__}.done needs a pydantic model as its return annotation: -> Totals, say.")
    return model
