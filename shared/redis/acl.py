"""Users of Redis: each service may read and write the keys that it needs, and administer nothing.

Rights count for commands in scripts, too. They hold in every numbered database, since Redis knows none by database.
"""

import hashlib
from collections.abc import Mapping

from shared.redis import keys

KEYS: Mapping[str, tuple[str, ...]] = {
    "ingest": (keys.PROGRESS, keys.FINGERPRINTS, keys.LIMITS, keys.SHARED_RESULTS),
    "dispatcher": (keys.RATES,),
    "worker": (keys.RATES, keys.CACHED_RESULTS, keys.SHARED_RESULTS, keys.OF_WORKLOADS),
}
"""Starts of the keys of each service. Ingest deletes the shared results of an owner that is erased. The aggregator and
the notifier use no Redis."""
_COMMANDS = (
    *("+@connection", "+@read", "+@write", "-@admin", "-@dangerous", "-@scripting"),
    *("-scan", "-randomkey", "-dbsize"),  # they tell about keys of others
    *("+evalsha", "+script|load", "+time"),
)


def user_lines(passwords: Mapping[str, str]) -> list[str]:
    """Return a line for each service whose password is given, for an ACL file or the configuration of Redis."""
    return [
        " ".join(["user", name, "reset", "on", _digest(passwords[name]), *(f"~{key}*" for key in starts), *_COMMANDS])
        for name, starts in KEYS.items()
        if name in passwords
    ]


def acl_file(passwords: Mapping[str, str], administrator: str | None) -> str:
    """Return an ACL file with the users of the services. `administrator`: password of the user `default`, who may do
    everything; without one nobody can be it."""
    rules = ["off"] if administrator is None else ["on", _digest(administrator), "~*", "&*", "+@all"]
    return "\n".join([" ".join(["user", "default", "reset", *rules]), *user_lines(passwords)]) + "\n"


def _digest(password: str) -> str:
    return f"#{hashlib.sha256(password.encode()).hexdigest()}"
