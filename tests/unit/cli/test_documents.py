"""Documents of the command line are parts of the models of the contracts, which they are not imported from."""

import msgspec
import pytest
from pydantic import BaseModel

from batchyard_contracts.v1 import events, queries, values
from services.cli.client import documents
from services.ingest.http.models import BatchList

MODELS: dict[type[msgspec.Struct], tuple[type[BaseModel], ...]] = {
    documents.Units: (values.Units,),
    documents.Counts: (values.Counts,),
    documents.Rate: (values.Rate,),
    documents.RetryRule: (values.RetryRule,),
    documents.FailureThreshold: (values.FailureThreshold,),
    documents.Terms: (values.Terms,),
    documents.WaitReason: (values.WaitReason,),
    documents.Forecast: (values.Forecast,),
    documents.Batch: (queries.BatchState,),
    documents.Batches: (BatchList,),
    documents.ProgressFrame: (events.BatchProgressed, events.BatchFinished),
    documents.FailureGroup: (queries.FailureGroup,),
    documents.Failures: (queries.FailuresReply,),
    documents.Delivery: (queries.DeliveryState,),
    documents.Deliveries: (queries.DeliveriesReply,),
    documents.SlotCount: (values.SlotCount,),
    documents.Worker: (queries.WorkerState,),
    documents.Workers: (queries.WorkersReply,),
}


def test_every_document_has_a_model() -> None:
    structs = {one for one in vars(documents).values() if isinstance(one, type) and issubclass(one, msgspec.Struct)}
    assert structs == MODELS.keys()


@pytest.mark.parametrize("document", MODELS, ids=lambda one: one.__name__)
def test_every_field_of_a_document_is_one_of_its_models(document: type[msgspec.Struct]) -> None:
    known = {name for model in MODELS[document] for name in model.model_fields}
    assert {field.encode_name for field in msgspec.structs.fields(document)} - known == set()


@pytest.mark.parametrize("document", MODELS, ids=lambda one: one.__name__)
def test_a_field_with_a_default_in_a_model_has_one_in_the_document(document: type[msgspec.Struct]) -> None:
    needed = {field.encode_name for field in msgspec.structs.fields(document) if field.required}
    optional = {n for model in MODELS[document] for n, field in model.model_fields.items() if not field.is_required()}
    assert needed & optional == set()
