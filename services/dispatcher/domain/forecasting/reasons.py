"""Reasons for which the end of a batch is not known yet."""

from batchyard_contracts.v1.values import WaitReason

MIN_OUTCOMES = 20
"""Items of a workload that have to run before ends are forecast."""
TOO_FEW_OUTCOMES = WaitReason(
    code="too_few_outcomes", detail=f"The end is not known before {MIN_OUTCOMES} items of the workload have run."
)
TOO_MANY_BATCHES = WaitReason(
    code="too_many_batches", detail="The end is not known while so many batches of the workload run before it."
)
TOO_MANY_DESTINATIONS = WaitReason(
    code="too_many_destinations", detail="The end is not known while so many items wait for so many destinations."
)
NO_END = WaitReason(code="no_end_in_sight", detail="At present something holds the batch back for an unknown time.")
"""Reason if the simulation does not end."""
