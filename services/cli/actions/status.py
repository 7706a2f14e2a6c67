"""Actions of `batchyard status` and `batchyard env`: the address of Batchyard, and its state."""

import os
from shlex import quote
from typing import Any
from urllib.parse import urlsplit

import msgspec
import typer

from services.cli.actions.session import address_of
from services.cli.client.address import home
from services.cli.client.api import Api
from services.cli.client.cluster_file import RunningCluster, read_cluster
from services.cli.errors import BadInput, CliError, NotReachable
from services.cli.rendering.output import note, say, write_json

_SERVERS = {
    "RabbitMQ": "BATCHYARD_AMQP_URL",
    "PostgreSQL": "BATCHYARD_DATABASE_URL",
    "Redis": "BATCHYARD_REDIS_URL",
}


def show_status(ctx: typer.Context, *, json: bool) -> None:
    """Print the state. Raises the error of what does not answer, after all else was printed."""
    address = address_of(ctx)
    local = read_cluster(home(os.environ))
    if local is not None and local.url != address.url:
        local = None
    found: dict[str, Any] = {"url": address.url, "local": local is not None}
    if local is not None:
        found["home"] = str(home(os.environ).absolute())
        found["servers"] = {name: _shown(local, variable) for name, variable in _SERVERS.items()}
    api, failure = Api(address), None
    try:
        found["workloads"] = [each["name"] for each in msgspec.json.decode(api.get("/workloads"))["workloads"]]
        found["workers"] = len(msgspec.json.decode(api.get("/workers"))["workers"])
    except CliError as error:
        failure = error
    found["working"] = failure is None and found["workers"] > 0
    write_json(found) if json else _print(found)
    if failure is not None:
        raise failure
    if not found["workers"]:
        note("No worker runs, so that no item does. Start Batchyard anew, or a worker: `batchyard workload run FILE`.")


def print_environment(account: str | None, *, json: bool) -> None:
    """Print the variables of the local cluster: those of a client, or of another account."""
    folder = home(os.environ)
    running = read_cluster(folder)
    if running is None:
        raise NotReachable(f"No local cluster runs in {folder}.", "Start one with `batchyard up --detach`.")
    if account is not None and account not in running.accounts:
        raise BadInput(f"There is no account {account!r}.", f"The accounts are {', '.join(sorted(running.accounts))}.")
    environment = running.environment if account is None else running.accounts[account]
    if json:
        write_json(dict(environment))
        return
    for name, value in environment.items():
        say(f"export {name}={quote(value)}")


def _print(found: dict[str, Any]) -> None:
    rows = [("address", found["url"] + (", the local cluster" if found["local"] else ""))]
    if found["local"]:
        rows += [*found["servers"].items(), ("logs", f"{found['home']}/log")]
        rows.append(("webhook key", f"{found['home']}/webhook-secret"))
    if "workloads" in found:
        rows.append(("workloads", ", ".join(found["workloads"]) or "none"))
    if "workers" in found:
        rows.append(("workers", str(found["workers"])))
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        say(f"{name:<{width}}  {text}")


def _shown(cluster: RunningCluster, variable: str) -> str:
    """Return the address of a server without user and password."""
    known = (cluster.environment, *cluster.accounts.values())
    parts = urlsplit(next((environment[variable] for environment in known if variable in environment), ""))
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
