"""Messages of clients: each has an owner, the type of its routing key, and asks about its owner's data only."""

import uuid
from types import SimpleNamespace
from typing import cast

import pytest
from aio_pika.abc import AbstractIncomingMessage

from batchyard_contracts import topology
from batchyard_contracts.message import Envelope
from batchyard_contracts.topology import Queue, question_queue
from batchyard_contracts.v1.commands import BatchSubmit
from batchyard_contracts.v1.queries import BatchesQuery, ResultsQuery, WorkloadQuery
from batchyard_contracts.v1.values import RESERVED_OWNERS
from shared.messaging.client_messages import ClientMessages
from shared.messaging.delivery import Delivery, decode, to_delivery
from shared.runtime.errors import MessageRejected, NotPermitted


def sent(
    type_: str = BatchesQuery.type,
    user: str | None = None,
    exchange: str = topology.QUERIES,
    routing_key: str | None = None,
) -> Delivery:
    return Delivery(
        b"{}", Envelope(type_, "m", user_id=user, owner=user), exchange=exchange, routing_key=routing_key or type_
    )


def clients(queue: Queue = topology.AGGREGATOR_QUERIES, anonymous_owner: str | None = None) -> ClientMessages:
    return ClientMessages(queue, anonymous_owner)


@pytest.mark.parametrize("exchange", [topology.QUERIES, topology.COMMANDS, ""])
def test_a_message_without_a_user_is_refused(exchange: str) -> None:
    with pytest.raises(NotPermitted, match="user_id"):
        clients().check_sender(clients().identify(sent(exchange=exchange)))


def test_a_message_without_a_user_belongs_to_the_anonymous_owner_where_there_is_one() -> None:
    known = clients(anonymous_owner="shared").identify(sent())
    clients().check_sender(known)
    assert (known.envelope.owner, known.envelope.user_id) == ("shared", None)


def test_the_user_whom_the_broker_names_goes_before_the_anonymous_owner() -> None:
    assert clients(anonymous_owner="shared").identify(sent(user="ann")).envelope.owner == "ann"


@pytest.mark.parametrize("user", sorted(RESERVED_OWNERS))
def test_a_user_with_the_name_of_events_without_an_owner_is_refused(user: str) -> None:
    with pytest.raises(NotPermitted, match="reserved"):
        clients().check_sender(clients().identify(sent(user=user)))


@pytest.mark.parametrize(
    ("type_", "routing_key"),
    [
        ("cache.invalidate.v1", "batch.submit.v1"),
        (WorkloadQuery.type, "workload.query.v10.a.b"),
        ("", "batch.submit.v1"),
    ],
)
def test_a_type_that_is_not_that_of_the_routing_key_is_refused(type_: str, routing_key: str) -> None:
    with pytest.raises(NotPermitted, match="own type"):
        clients().check_sender(sent(type_, "ann", topology.COMMANDS, routing_key))


@pytest.mark.parametrize(
    ("type_", "routing_key"),
    [(BatchSubmit.type, "batch.submit.v1"), (WorkloadQuery.type, "workload.query.v1.words.longest")],
)
def test_the_type_of_the_routing_key_is_accepted(type_: str, routing_key: str) -> None:
    clients().check_sender(sent(type_, "ann", topology.COMMANDS, routing_key))


@pytest.mark.parametrize("queue", [topology.AGGREGATOR_QUERIES, topology.DISPATCHER_QUERIES])
def test_a_client_asks_about_its_own_data_only(queue: Queue) -> None:
    with pytest.raises(NotPermitted, match="'bob'"):
        clients(queue).check_owner(sent(user="ann"), BatchesQuery(owner="bob"))
    clients(queue).check_owner(sent(user="bob"), BatchesQuery(owner="bob"))


def test_a_service_asks_about_anybody_and_needs_no_user() -> None:
    asked = sent(exchange=topology.INQUIRIES)
    checks = clients()
    assert checks.identify(asked) is asked
    checks.check_sender(asked)
    checks.check_owner(asked, ResultsQuery(owner="bob", batch_id=uuid.uuid4()))


def test_a_worker_needs_no_user_and_is_known_by_its_exchange() -> None:
    checks = clients()
    asked = checks.identify(sent(ResultsQuery.type, exchange=topology.WORKER_INQUIRIES))
    assert asked.envelope.is_from_worker
    checks.check_sender(asked)
    checks.check_owner(asked, ResultsQuery(owner="bob", batch_id=uuid.uuid4()))
    assert not checks.identify(sent(exchange=topology.INQUIRIES)).envelope.is_from_worker


def test_a_worker_asks_nothing_but_what_its_routing_key_says() -> None:
    asked = sent(BatchesQuery.type, exchange=topology.WORKER_INQUIRIES, routing_key=ResultsQuery.type)
    with pytest.raises(NotPermitted, match="own type"):
        clients().check_sender(clients().identify(asked))


def test_a_question_to_a_workload_has_no_owner_but_a_sender() -> None:
    checks = clients(question_queue("words", "longest"))
    question = sent(WorkloadQuery.type, "ann", topology.QUERIES, "workload.query.v1.words.longest")
    checks.check_sender(question)
    checks.check_owner(question, WorkloadQuery(workload="words", question="longest", request={}))


def test_messages_between_services_are_not_checked() -> None:
    checks = clients(topology.DISPATCHER_CONTROL)
    told = sent("batch.accepted.v1", exchange=topology.FLOW)
    assert checks.identify(told) is told
    checks.check_sender(told)


@pytest.mark.parametrize("header", ["CC", "BCC"])
def test_a_message_that_asks_for_copies_is_refused(header: str) -> None:
    """Brokers up to 4.0.1 check no permission for the routing keys of these headers."""
    fields = dict.fromkeys(("message_id", "correlation_id", "reply_to", "app_id", "user_id", "timestamp"))
    copied = SimpleNamespace(
        **fields,
        body=b"{}",
        type="batch.submit.v1",
        exchange=topology.COMMANDS,
        routing_key="batch.submit.v1",
        redelivered=False,
        headers={header: ["cache.invalidate.v1"]},
    )
    with pytest.raises(MessageRejected, match=f"header {header} is not allowed"):
        decode(to_delivery(cast("AbstractIncomingMessage", copied)), {BatchSubmit.type: BatchSubmit})
