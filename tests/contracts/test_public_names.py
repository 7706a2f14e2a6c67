"""Names that outsiders import. A name that is removed or renamed here breaks them: add, and keep the old one."""

import importlib
import subprocess
import sys

import pytest

PUBLIC = {
    "batchyard_contracts.client": {
        "InvalidItem",
        "BatchEvent",
        "BatchRefused",
        "BrokerRefused",
        "Client",
        "ClientError",
        "Events",
        "ItemLike",
        "Items",
        "NewItem",
        "NoReply",
        "NotConnected",
        "NotFinished",
        "Notifications",
        "QueryRefused",
        "UnknownBatch",
    },
    "batchyard_contracts.http": {
        "AsyncHttpClient",
        "HttpClient",
        "HttpClientError",
        "HttpProblem",
        "BatchUnfinished",
        "NotReachable",
        "TaggedBatch",
    },
    "batchyard_contracts.message": {"Command", "Envelope", "Message", "Value", "CONTENT_TYPE", "MAX_MESSAGE_BYTES"},
    "batchyard_contracts.workload": {
        "Ambiguous",
        "Caching",
        "Chunking",
        "Context",
        "Continuation",
        "Expansion",
        "Exports",
        "HandlerDefinition",
        "HandlerResult",
        "ItemInfo",
        "Limits",
        "Permanent",
        "QuestionContext",
        "RateLimited",
        "Reducer",
        "Retry",
        "Transient",
        "Workload",
        "WorkloadError",
    },
    "batchyard_contracts.topology": {
        "COMMANDS",
        "DEAD",
        "EVENTS",
        "EXCHANGES",
        "FLOW",
        "QUERIES",
        "QUEUES",
        "WORK",
        "question_queue",
        "quarantine_queue",
        "summary_queue",
        "work_queue",
        "work_queues",
    },
    "batchyard_contracts.v1": {"COMMANDS", "EVENTS", "FLOW", "MESSAGES", "QUERIES", "REPLIES", "WORK"},
    "batchyard_contracts.ids": {"new_batch_id", "uuid7"},
    "batchyard_contracts.workload.rate_limit_headers": {"MAX_PAUSE_S", "RemainingCalls", "pause_s", "remaining_calls"},
}
CLIENT_METHODS = {
    "batch",
    "connect",
    "control",
    "accept_results",
    "deliveries",
    "schedules",
    "templates",
    "events",
    "failures",
    "invalidate_cache",
    "query",
    "results",
    "send",
    "stream",
    "submit",
    "wait",
}


@pytest.mark.parametrize("module", PUBLIC)
def test_a_public_name_stays(module: str) -> None:
    missing = PUBLIC[module] - set(dir(importlib.import_module(module)))
    assert not missing


def test_the_client_offers_these_names_and_no_others() -> None:
    client = importlib.import_module("batchyard_contracts.client")
    assert set(client.__all__) == PUBLIC["batchyard_contracts.client"]
    assert {name for name in vars(client.Client) if not name.startswith("_")} == CLIENT_METHODS


def test_every_error_of_the_client_is_a_client_error_and_says_what_to_do() -> None:
    client = importlib.import_module("batchyard_contracts.client")
    errors = [vars(client)[name] for name in client.__all__ if isinstance(vars(client)[name], type)]
    errors = [one for one in errors if issubclass(one, Exception)]
    assert len(errors) == 9
    for one in errors:
        assert issubclass(one, client.ClientError)
        assert one.__doc__
        assert one.__name__ in (client.__doc__ or ""), "the tree is drawn at the top"


def test_messages_and_workloads_need_neither_a_broker_library_nor_ours() -> None:
    """Without the extra, the package is pydantic alone."""
    script = (
        "import sys; import batchyard_contracts.v1, batchyard_contracts.topology, batchyard_contracts.workload;"
        "import batchyard_contracts.schema.export, batchyard_contracts.schema.compat, batchyard_contracts.ids;"
        "print([m for m in sys.modules if m.split('.')[0] in ('aio_pika', 'aiormq', 'shared', 'services')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
