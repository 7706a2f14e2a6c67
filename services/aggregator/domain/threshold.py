"""Decides whether so many items of a batch have failed that the rest should not be tried."""

from collections.abc import Mapping

from batchyard_contracts.v1.values import FailureThreshold

MIN_ITEMS_FOR_SHARE = 100
"""Ended items from which on a share is meaningful, unless all items have ended."""


def find_breach(
    threshold: FailureThreshold, failed: int, ended: int, codes: Mapping[str, int], *, all_ended: bool
) -> str | None:
    """Return a sentence about the bound that was exceeded, or None. `codes`: failed items by error code."""
    if threshold.count is not None and failed > threshold.count:
        return f"{failed} items have failed; the batch stops at more than {threshold.count}."
    if (
        threshold.share is not None
        and (ended >= MIN_ITEMS_FOR_SHARE or (all_ended and ended))
        and failed > threshold.share * ended
    ):
        return f"{failed} of {ended} items have failed; the batch stops at more than {threshold.share:.6g} of them."
    for code, limit in threshold.codes.items():
        if (number := codes.get(code, 0)) > limit:
            return f"{number} items have failed with {code}; the batch stops at more than {limit}."
    return None
