"""Version 1 of every message. Only optional fields are added to it; any other change makes a version 2 beside it."""

from batchyard_contracts.message import Message
from batchyard_contracts.v1 import commands, events, flow, queries, schedules, templates, work

COMMANDS: tuple[type[Message], ...] = (
    commands.BatchSubmit,
    commands.BatchAppend,
    commands.BatchSeal,
    commands.BatchControl,
    commands.CacheInvalidate,
    commands.RatesControl,
    templates.TemplateSave,
    templates.TemplateSubmit,
    schedules.ScheduleSave,
    schedules.ScheduleControl,
)
REPLIES: tuple[type[Message], ...] = (
    commands.CommandAccepted,
    commands.ControlAccepted,
    commands.CommandRejected,
    templates.TemplateSaved,
    schedules.ScheduleAccepted,
)
FLOW: tuple[type[Message], ...] = (
    flow.BatchAccepted,
    flow.ItemsPage,
    flow.SourceExpanded,
    flow.SourceEnded,
    flow.BatchSealed,
    flow.BatchWithdrawn,
    flow.BatchResend,
    flow.NotificationRequested,
    flow.BatchControlled,
    flow.BatchStopped,
    flow.ItemsSettled,
    flow.ItemsReopened,
    flow.CacheInvalidated,
    flow.ChunkProcessed,
    flow.ChunkReturned,
    flow.SummaryCompleted,
    flow.WorkerAnnounced,
    flow.NotifierAnnounced,
    flow.WorkerHeartbeat,
    flow.OwnerWeighted,
)
WORK: tuple[type[Message], ...] = (work.ChunkReady, work.SummaryRequested)
EVENTS: tuple[type[events.Event], ...] = (
    events.BatchStarted,
    events.BatchProgressed,
    events.BatchFinished,
    events.ItemFailed,
    events.BatchStuck,
    events.BatchRejected,
    events.RateChanged,
    events.CircuitChanged,
    events.ScheduleFired,
    events.ScheduleMissed,
)
QUERIES: tuple[type[Message], ...] = (
    queries.BatchesQuery,
    queries.BatchesReply,
    queries.ResultsQuery,
    queries.ResultsReply,
    queries.ResultsPage,
    queries.FailuresQuery,
    queries.FailuresReply,
    queries.SelectionQuery,
    queries.SelectionReply,
    queries.ItemsQuery,
    queries.ItemsReply,
    queries.WaitingQuery,
    queries.WaitingReply,
    queries.ReasonsQuery,
    queries.ReasonsReply,
    queries.HeldQuery,
    queries.HeldReply,
    queries.DeliveriesQuery,
    queries.DeliveriesReply,
    queries.WorkersQuery,
    queries.WorkersReply,
    queries.RatesQuery,
    queries.RatesReply,
    queries.LimitsQuery,
    queries.LimitsReply,
    queries.WorkloadQuery,
    queries.WorkloadReply,
    queries.StartPermitQuery,
    queries.StartPermitReply,
    queries.QueryFailed,
)
MESSAGES: dict[str, type[Message]] = {m.type: m for m in (*COMMANDS, *REPLIES, *FLOW, *WORK, *EVENTS, *QUERIES)}
"""All messages of this version, by type."""
