"""Tells which calls can never run with the workers' settings, so that they are refused at submission."""

from batchyard_contracts.v1.manifest import Egress, Refusal
from services.worker.workloads.http.settings import HttpSettings


def egress() -> Egress:
    """Return the bounds of the addresses that calls may have."""
    networks = [str(network) for network in HttpSettings().allowed_networks]
    return Egress(pointer="/url", networks=networks, setting="BATCHYARD_HTTP_CALLS_ALLOWED_NETWORKS of the workers")


def refusals() -> list[Refusal]:
    """Return the calls that cannot run here: those with a credential, where the operator keeps none."""
    if HttpSettings().credentials:
        return []
    named = {"properties": {"credential": {"type": "string"}}, "required": ["credential"]}
    reason = (
        "`credential` names headers that the operator keeps, and there are none in BATCHYARD_HTTP_CALLS_CREDENTIALS of "
        "the workers."
    )
    return [Refusal(item_schema=named, reason=reason)]
