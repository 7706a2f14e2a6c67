"""Handles changes of owners' shares of the workers."""

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.flow import OwnerWeighted
from services.dispatcher.persistence.owner_store import OwnerStore
from services.dispatcher.state.state import DispatcherState


class OwnerWeightHandler:
    """Message handler that changes the table first and the memory afterwards."""

    def __init__(self, state: DispatcherState, store: OwnerStore) -> None:
        self._state, self._store = state, store

    async def load(self) -> None:
        """Load the weights, before any batch is added."""
        await self._store.load(self._state.owner_weights)

    async def on_owner_weighted(self, message: OwnerWeighted, _: Envelope) -> None:
        """Apply a change, unless a later one was applied before."""
        if await self._store.save(message.owner, message.weight, message.number):
            self._state.set_owner_weight(message.owner, message.weight)
