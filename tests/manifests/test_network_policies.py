"""Connections that the network policies allow, evaluated as a network plugin would."""

from ipaddress import ip_address, ip_network

import pytest

from tests.support.deployment import SERVICES, Json, of_kind, pods, rendered

PRIVATE = (
    *("10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.254", "192.0.0.8"),
    *("192.168.1.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.0"),
    *("::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "fc00::1", "fd00:ec2::254"),
    *("fe80::1", "fec0::1", "ff02::1"),
)
PUBLIC = ("93.184.215.14", "2606:4700::6810:84e5")
NOBODY: Json = {"matchLabels": {"no": "pod"}}
OWNERS_OF_TABLES = {"ingest", "dispatcher", "aggregator", "notifier"}


def chosen(selector: Json, labels: Json) -> bool:
    expressions = selector.get("matchExpressions", [])
    assert all(expression["operator"] == "In" for expression in expressions)
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(expression["key"]) in expression["values"] for expression in expressions
    )


def policies(objects: list[Json], labels: Json, direction: str) -> list[Json]:
    """The specs of the policies that govern one direction of a pod."""
    specs = [policy["spec"] for policy in of_kind(objects, "NetworkPolicy").values()]
    return [spec for spec in specs if chosen(spec["podSelector"], labels) and direction in spec["policyTypes"]]


def covers(block: Json, address: str) -> bool:
    networks = [ip_network(block["cidr"]), *map(ip_network, block.get("except", []))]
    inside = [ip_address(address) in network for network in networks]
    return inside[0] and not any(inside[1:])


def reaches_address(objects: list[Json], name: str, address: str, port: int) -> bool:
    """Return True when a pod may connect by TCP to an address outside the cluster. No `to`: anywhere."""
    labels = pods(objects)[name]["metadata"]["labels"]
    return any(
        {"protocol": "TCP", "port": port} in rule["ports"]
        and ("to" not in rule or any("ipBlock" in peer and covers(peer["ipBlock"], address) for peer in rule["to"]))
        for spec in policies(objects, labels, "Egress")
        for rule in spec.get("egress", [])
    )


def reaches_pod(objects: list[Json], source: Json, target: Json, port: int) -> bool:
    """Return True when a pod with some labels may open a TCP connection to another one in the same namespace."""

    def allowed(labels: Json, other: Json, direction: str, side: str) -> bool:
        return any(
            {"protocol": "TCP", "port": port} in rule["ports"]
            and any(
                "namespaceSelector" not in peer and chosen(peer.get("podSelector", NOBODY), other)
                for peer in rule[side]
            )
            for spec in policies(objects, labels, direction)
            for rule in spec.get(direction.lower(), [])
            if side in rule
        )

    return allowed(source, target, "Egress", "to") and allowed(target, source, "Ingress", "from")


def test_every_pod_is_closed_by_default(objects: list[Json]) -> None:
    for pod in pods(objects).values():
        for direction in ("Ingress", "Egress"):
            assert any(
                direction.lower() not in spec for spec in policies(objects, pod["metadata"]["labels"], direction)
            )


@pytest.mark.parametrize("name", ["ingest", "worker", "notifier"])
def test_addresses_named_by_users_are_reached_on_the_internet_alone(objects: list[Json], name: str) -> None:
    assert all(reaches_address(objects, name, address, port) for address in PUBLIC for port in (80, 443))
    assert not [
        address for address in PRIVATE for port in (80, 443, 8080) if reaches_address(objects, name, address, port)
    ]


@pytest.mark.parametrize("name", ["dispatcher", "aggregator"])
def test_the_others_never_reach_the_web(objects: list[Json], name: str) -> None:
    everywhere = [*PUBLIC, *PRIVATE]

    assert not [
        address for address in everywhere for port in (80, 443) if reaches_address(objects, name, address, port)
    ]


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize(
    ("ports", "users"),
    [
        ((5671, 5672), set(SERVICES)),
        ((6379, 6380), set(SERVICES)),
        ((5432,), OWNERS_OF_TABLES),
        ((465, 587), {"notifier"}),
    ],
)
def test_production_reaches_its_servers_in_private_networks(name: str, ports: tuple[int, ...], users: set[str]) -> None:
    objects = rendered("production")

    assert all(reaches_address(objects, name, "10.20.30.40", port) is (name in users) for port in ports)


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize(
    ("server", "port", "users"),
    [
        ("rabbitmq", 5672, set(SERVICES)),
        ("redis", 6379, set(SERVICES)),
        ("postgres", 5432, OWNERS_OF_TABLES),
        ("mail", 1025, {"notifier"}),
    ],
)
def test_local_services_reach_their_servers(name: str, server: str, port: int, users: set[str]) -> None:
    objects = rendered("local")
    labels = {workload: pod["metadata"]["labels"] for workload, pod in pods(objects).items()}

    assert reaches_pod(objects, labels[name], labels[server], port) is (name in users)


def test_services_never_talk_to_each_other(objects: list[Json]) -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(objects).items() if name in SERVICES}

    for source in labels.values():
        assert not [to for to in labels for port in (8000, 8080) if reaches_pod(objects, source, labels[to], port)]
