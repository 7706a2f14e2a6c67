"""Enters the keys and tokens of the settings into the table of keys, each once."""

from collections.abc import Collection, Mapping

import structlog
from pydantic import SecretStr

from batchyard_contracts.api_keys import id_of, is_api_key, new_key_id
from services.ingest.domain.api_key import digest_of_key, hint_of
from services.ingest.domain.scope import ALL_SCOPES, OPERATORS_ONLY, OWNER_SCOPES, Scope, sorted_scopes
from services.ingest.persistence.audit_log import record_in
from services.ingest.persistence.identity_store import IdentityStore

log = structlog.get_logger()
OPERATOR = "operator"
"""Owner of the operator's key in the settings."""


async def enter_keys_of_settings(
    store: IdentityStore, operator_key: SecretStr | None, tokens: Mapping[str, SecretStr], operators: Collection[str]
) -> None:
    """Enter keys that are not in the table yet. A key that was revoked there stays revoked."""
    found: list[tuple[str, str, str, frozenset[Scope]]] = []
    if operator_key is not None:
        found.append((OPERATOR, "BATCHYARD_OPERATOR_KEY", operator_key.get_secret_value(), ALL_SCOPES))
    for owner, token in tokens.items():
        scopes = OWNER_SCOPES | (OPERATORS_ONLY if owner in operators else frozenset())
        found.append((owner, "BATCHYARD_API_TOKENS", token.get_secret_value(), scopes))
    if tokens:
        log.warning(
            "BATCHYARD_API_TOKENS is out of date: its tokens were entered as API keys, which `batchyard keys` rotates "
            "and revokes. Remove the setting.",
            owners=sorted(tokens),
        )
    async with store.change() as change:
        for owner, name, text, scopes in found:
            key_id = id_of(text) if is_api_key(text) else new_key_id()
            key = await change.insert_key(
                key_id, owner, name, digest_of_key(text), hint_of(text), sorted_scopes(scopes), None, None
            )
            if key is not None:
                await record_in(change.connection, "key.create", owner, key.id, after={"name": name})
                log.info("API key entered from the settings", key_id=key.id, owner=owner, setting=name)
