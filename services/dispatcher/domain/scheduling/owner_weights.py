"""Shares of owners who compete for the workers of a workload."""

from collections.abc import Mapping

DEFAULT_WEIGHT = 1.0


class OwnerWeights:
    """Weights that operators have set; for other owners those of the settings, or `DEFAULT_WEIGHT`."""

    def __init__(self, settings: Mapping[str, float] | None = None) -> None:
        self._settings = settings or {}
        self._set: dict[str, float] = {}

    def weight(self, owner: str) -> float:
        """Return the weight of an owner."""
        return self._set.get(owner, self._settings.get(owner, DEFAULT_WEIGHT))

    def set(self, owner: str, weight: float | None) -> None:
        """Set the weight of an owner; None takes it back."""
        if weight is None:
            self._set.pop(owner, None)
        else:
            self._set[owner] = weight
