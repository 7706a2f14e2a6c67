"""Errors of a store as those of an item."""

from collections.abc import Iterator
from contextlib import contextmanager

from batchyard_contracts.workload import Permanent, Transient
from shared.artefacts.store import StoreFailed, StoreRefused


@contextmanager
def errors_of_items() -> Iterator[None]:
    """Raise what became of the item whose clip could not be kept."""
    try:
        yield
    except StoreRefused as error:
        raise Permanent("store_refused", str(error), scope="provider") from error
    except StoreFailed as error:
        raise Transient("store_failed", str(error)) from error
