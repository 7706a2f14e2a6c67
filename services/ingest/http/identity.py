"""Wires the parts that know who the clients are: their keys, their sessions, and the checks of routes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from services.ingest.http.access import Access
from services.ingest.http.origin import PublicAddress
from services.ingest.identity.authenticator import Authenticator
from services.ingest.identity.key_expiry import KeyExpiry
from services.ingest.identity.key_manager import KeyManager
from services.ingest.identity.session_manager import SessionManager
from services.ingest.identity.settings_keys import enter_keys_of_settings
from services.ingest.identity.usage_recorder import UsageRecorder
from services.ingest.limits.limit_keeper import LimitKeeper
from services.ingest.limits.shared_use import SharedUse
from services.ingest.persistence.audit_log import AuditLog
from services.ingest.persistence.identity_store import IdentityStore
from services.ingest.persistence.limit_store import LimitStore
from services.ingest.settings import IngestSettings
from shared.postgres.pool import Pool
from shared.redis.client import RedisClient
from shared.runtime.background import BackgroundTask
from shared.runtime.errors import ConfigurationError
from shared.runtime.health import Health
from shared.runtime.loopback import is_loopback
from shared.runtime.transient import retry_transient

log = structlog.get_logger()
_OPEN_DOOR = (
    "No API key was ever made, so that everybody could use the HTTP API, and it listens on {}, beyond this machine. "
    "Set BATCHYARD_OPERATOR_KEY to a key that `batchyard keys generate` prints, or BATCHYARD_HTTP_HOST to 127.0.0.1."
)
_CLEAR_KEYS = (
    "The HTTP API listens on {}, beyond this machine, and API keys would travel unencrypted. Set "
    "BATCHYARD_HTTP_TLS_CERTIFICATE_FILE and BATCHYARD_HTTP_TLS_KEY_FILE; or BATCHYARD_PUBLIC_URL to its https:// "
    "address, if a proxy in front of it has the certificate; or BATCHYARD_ALLOW_CLEAR_PASSWORDS=true."
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Parts of the application that know who its clients are."""

    access: Access
    keys: KeyManager
    sessions: SessionManager

    @property
    def limits(self) -> LimitKeeper:
        """The limits of owners."""
        return self.access.limits


async def open_identity(
    pool: Pool, redis: RedisClient, settings: IngestSettings, health: Health, clock: Callable[[], datetime]
) -> tuple[Identity, Sequence[BackgroundTask]]:
    """Enter the keys of the settings, and return the parts with the background tasks that they need.

    Raises `ConfigurationError` when everybody could use the API from other machines.
    """
    store = IdentityStore(pool)
    await retry_transient(
        lambda: enter_keys_of_settings(store, settings.operator_key, settings.api_tokens, settings.operators),
        "PostgreSQL",
    )
    usage, limits = UsageRecorder(store), LimitKeeper(LimitStore(pool), settings.default_limits)
    await retry_transient(limits.refresh, "PostgreSQL")
    authenticator = Authenticator(store, usage, clock)
    await retry_transient(authenticator.refresh, "PostgreSQL")
    if not authenticator.keys_are_required and not is_loopback(settings.http_host):
        raise ConfigurationError(_OPEN_DOOR.format(settings.http_host))
    has_tls = settings.http_tls_certificate_file is not None
    address = PublicAddress.of(settings.http_host, settings.public_url, settings.allowed_hosts, has_tls=has_tls)
    if not address.is_encrypted and not is_loopback(settings.http_host):
        if not settings.allow_clear_passwords:
            raise ConfigurationError(_CLEAR_KEYS.format(settings.http_host))
        log.warning("API keys travel unencrypted", http_host=settings.http_host)
    identity = Identity(
        Access(authenticator, address, AuditLog(pool), limits),
        KeyManager(store, authenticator, settings.key_environment, clock),
        SessionManager(store, authenticator, clock),
    )
    refresh = BackgroundTask(
        health.pulse("authenticator"),
        authenticator.refresh,
        interval_s=Authenticator.INTERVAL_S,
        tolerates_outages=True,
    )
    write = BackgroundTask(
        health.pulse("key usage"),
        usage.write,
        interval_s=UsageRecorder.INTERVAL_S,
        wake=usage.wake,
        on_stop=usage.write_last,
        tolerates_outages=True,
    )
    read_limits = BackgroundTask(
        health.pulse("limits"), limits.refresh, interval_s=LimitKeeper.INTERVAL_S, tolerates_outages=True
    )
    shared_use = SharedUse(redis, limits)
    share_use = BackgroundTask(
        health.pulse("shared limits"),
        shared_use.exchange,
        interval_s=SharedUse.INTERVAL_S,
        on_stop=shared_use.leave,
        tolerates_outages=True,
    )
    announce_ends = BackgroundTask(
        health.pulse("key expiry"),
        KeyExpiry(store, clock).announce,
        interval_s=KeyExpiry.INTERVAL_S,
        tolerates_outages=True,
    )
    return identity, (refresh, write, read_limits, share_use, announce_ends)
