"""The row of a deleted batch stays while the store of large results is away."""

from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from services.aggregator.maintenance.tombstones import Tombstones
from shared.artefacts.results import ResultStore
from shared.artefacts.store import StorePlace
from shared.postgres.pool import Pool
from shared.runtime.transient import is_transient


class OldBatch:
    """Tables with one batch that was deleted long ago."""

    def __init__(self, batch_id: UUID) -> None:
        self._batch_id = batch_id
        self.executed: list[Any] = []

    async def fetch(self, statement: str, *_: object) -> list[dict[str, UUID]]:
        """Return the batch as a tombstone, and no stub."""
        return [{"batch_id": self._batch_id}] if "deleted_at <" in statement else []

    async def execute(self, _: str, keys: list[UUID]) -> None:
        """Note the keys."""
        self.executed.append(keys)


async def test_a_row_stays_while_the_store_is_away_and_that_is_an_outage(tmp_path: Path) -> None:
    folder, batch_id, deleted = tmp_path / "store", uuid4(), list[UUID]()
    store = ResultStore.open(StorePlace(str(folder)))
    assert store is not None
    await store.keep(batch_id, b'"late"')
    tables = OldBatch(batch_id)

    async def delete(key: UUID) -> None:
        deleted.append(key)

    tombstones = Tombstones(cast("Pool", tables), store, delete, 90)
    folder.rename(tmp_path / "away")
    with pytest.raises(Exception, match="Large results are there") as away:
        await tombstones.forget()
    assert is_transient(away.value)
    assert tables.executed == []
    (tmp_path / "away").rename(folder)
    await tombstones.forget()
    assert tables.executed == [[batch_id]]
    assert (list(folder.iterdir()), deleted) == ([], [])
