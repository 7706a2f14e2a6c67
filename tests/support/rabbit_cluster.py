"""Three real RabbitMQ nodes that form one cluster, each of which can be killed and started again."""

import asyncio
import json
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from signal import SIGKILL

from devstack import StackError, free_ports
from devstack.launch import Launch
from devstack.passwords import ADMINISTRATOR, PASSWORDS_FILE
from devstack.private import PrivateServer, process_mark
from devstack.programs import ProgramFinder
from devstack.rabbitmq import RabbitMQ
from devstack.recipe import Ports
from devstack.state import StackState
from tests.support.patience import until
from tests.support.servers import do_without

NODES = 3
_REDUNDANT = "case rabbit_quorum_queue:list_with_minimum_quorum() of [] -> ok; Critical -> length(Critical) end"
"""Is `ok` once every quorum queue can lose one more node."""


class ClusterNode(RabbitMQ):
    """Node that shares the port mapper and the cookie of its cluster, and joins the first node when it first starts."""

    def __init__(self, home: Path, program: Path, mark: str, epmd: int, cookie: str, first: str | None) -> None:
        super().__init__(home, program, mark)
        self._epmd, self._cookie, self._first = epmd, cookie, first

    @property
    def node(self) -> str:
        """Name of the node."""
        return self._node

    async def prepare(self, ports: Ports) -> Launch:
        """Write the configuration of a member of a cluster."""
        cookie = self._folder / ".erlang.cookie"
        if not cookie.exists():
            self._folder.mkdir(mode=0o700, exist_ok=True)
            cookie.write_text(self._cookie, encoding="ascii")
            cookie.chmod(0o400)
        launch = await super().prepare(ports)
        if self._first is not None:
            with (self._folder / "rabbitmq.conf").open("a", encoding="utf-8") as configuration:
                configuration.write(
                    "cluster_formation.peer_discovery_backend = classic_config\n"
                    f"cluster_formation.classic_config.nodes.1 = {self._first}\n"
                    f"cluster_formation.classic_config.nodes.2 = {self._node}\n"
                )
        return launch

    def _environment(self, ports: Ports) -> dict[str, str]:
        return super()._environment({**ports, "epmd": self._epmd})


class RabbitCluster:
    """Running nodes; `url` names all of their hosts."""

    def __init__(self, nodes: list[PrivateServer], url: str) -> None:
        self._nodes = nodes
        self.url = url

    async def kill(self, number: int) -> None:
        """End a node without warning."""
        await self._nodes[number].kill(SIGKILL)

    async def restart(self, number: int) -> None:
        """Start a node that was killed; return when every queue can lose a node again."""
        node = self._nodes[number]
        await node.start()
        await until(lambda: _is_redundant(node), pause_s=0.2)


@asynccontextmanager
async def rabbit_cluster(folder: Path) -> AsyncIterator[RabbitCluster]:
    """Start three nodes, one after the other, and stop them at the end."""
    program, epmd = ProgramFinder().find("rabbitmq"), shutil.which("epmd")
    if program is None or epmd is None:
        do_without("RabbitMQ's own programs are not on this machine.")
    (epmd_port,) = free_ports(1)
    mapper = await asyncio.create_subprocess_exec(epmd, "-address", "127.0.0.1", "-port", str(epmd_port))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(mapper.wait)
        stack.callback(mapper.kill)
        nodes: list[PrivateServer] = []
        hosts: list[str] = []
        first: str | None = None
        password = secrets.token_hex()  # the nodes have the same users
        for number in range(NODES):
            home = folder / f"node{number}"
            home.mkdir(parents=True)
            (home / PASSWORDS_FILE).write_text(json.dumps({ADMINISTRATOR: password}), encoding="ascii")
            recipe = ClusterNode(home, program, process_mark("rabbitmq", home), epmd_port, "cookie-of-tests", first)
            node = PrivateServer(recipe, StackState(home))
            stack.push_async_callback(node.stop)
            url = await node.start()
            first = first or recipe.node
            nodes.append(node)
            hosts.append(url.rpartition("@")[2].rstrip("/"))
        yield RabbitCluster(nodes, f"amqp://guest:{password}@{','.join(hosts)}/")


async def _is_redundant(node: PrivateServer) -> bool:
    assert isinstance(node._recipe, ClusterNode)
    try:
        await node._recipe._evaluate(node._record().ports, _REDUNDANT)
    except StackError:
        return False
    return True
