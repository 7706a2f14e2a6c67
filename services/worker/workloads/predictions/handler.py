"""The workload `predictions`: formulas, or a chat model whose prompt contains their results."""

from batchyard_contracts.v1.manifest import Adaptive, CircuitRule
from batchyard_contracts.v1.values import RetryRule
from batchyard_contracts.workload import Caching, Chunking, Context, Limits, Retry, Workload
from services.worker.workloads.predictions.chat import Chat, open_chat
from services.worker.workloads.predictions.estimator import estimate
from services.worker.workloads.predictions.model import Prediction, Project
from services.worker.workloads.predictions.settings import PredictionsSettings
from services.worker.workloads.predictions.summary import PortfolioTotals

MAX_CALLS_AT_ONCE = 5
"""Largest number of projects that are predicted at once, over all workers: each makes one call at a time."""

_RATE = Adaptive(floor=0.2, ceiling=20, start=5)
"""Projects a second that a chat endpoint is asked about: most publish no limit before they refuse a call."""

workload = Workload(
    "predictions",
    version="1",
    item=Project,
    result=Prediction,
    lifespan=open_chat,
    unavailable=lambda: PredictionsSettings().missing(),
    title="Predictions",
    description="Predicts completion date, final cost and risk of projects, each with a range and a stated confidence.",
    dedup="",
    chunking=Chunking(max=200),
    limits=Limits(
        concurrency=16,
        item_timeout_s=600.0,
        partition_concurrency=MAX_CALLS_AT_ONCE,
        max_items=lambda: PredictionsSettings().max_items,
        adaptive=lambda: None if PredictionsSettings().provider == "embedded" else _RATE,
    ),
    retry=Retry({"default": RetryRule(attempts=4, base_s=1.0, cap_s=60.0)}, circuit=CircuitRule()),
    caching=Caching(ttl_s=3600, variant=lambda: PredictionsSettings().variant()),
    example={
        "project": "Bridge 7",
        "start": "2026-01-01",
        "period": "month",
        "planned_value": [10, 25, 45, 70, 90, 100],
        "earned_value": [8, 18, 33, 50],
        "actual_cost": [10, 22, 41, 60],
    },
)


workload.summary(PortfolioTotals)


@workload.handler
async def run(item: Project, context: Context) -> Prediction:
    """Predict by the formulas, and by the chat model if one is set."""
    computed = estimate(item)
    chat: Chat | None = context.resources
    return computed if chat is None else await chat.predict(item, computed, context)
