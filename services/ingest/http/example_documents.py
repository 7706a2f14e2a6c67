"""Documents of examples in the OpenAPI description: a batch, an item, a schedule, and others."""

from typing import Any

BATCH_ID = "01a22b09-e616-78d9-8ae2-bcd21479fff8"
TIME = "2026-11-30T06:00:00Z"
ACCEPTED: dict[str, Any] = {
    "batch_id": BATCH_ID,
    "workload": "http",
    "items": 1,
    "replayed": False,
    "accepted_at": TIME,
}
STATE: dict[str, Any] = {
    "batch_id": BATCH_ID,
    "owner": "ann",
    "workload": "http",
    "priority": "normal",
    "status": "finished",
    "round": 1,
    "result": "partial",
    "counts": {"total": 3, "succeeded": 2, "failed": 1, "remaining": 0},
    "name": "friday calls",
    "labels": {"team": "search"},
    "terms": {"rate": {"per_second": 20, "burst": 2}},
    "accepted_at": TIME,
    "finished_at": "2026-11-30T06:00:09Z",
}
CHECK: dict[str, Any] = {
    "acceptable": False,
    "items": 3,
    "valid": 2,
    "duplicates": 1,
    "whole": True,
    "problems": [],
    "errors": [
        {
            "code": "invalid_item",
            "detail": "`url` takes text, and this is 3.",
            "pointer": "/items/2/payload/url",
            "line": 3,
        }
    ],
    "error_count": 1,
    "unknown_fields": {"methd": 3},
    "destinations": [{"partition": "example.org", "items": 2}],
}
SERIES: dict[str, Any] = {
    "step_s": 10.0,
    "points": [
        {"at": TIME, "succeeded": 18.5, "failed": 0.4, "other": 0.0, "p50_ms": 210.0, "p95_ms": 890.0},
        {"at": "2026-11-30T06:00:10Z", "succeeded": 0.0, "failed": 0.0, "other": 0.0},
    ],
    "destinations": [{"partition": "www.example.org", "p50_ms": [210.0, None], "p95_ms": [890.0, None]}],
}
FAILURE: dict[str, Any] = {
    "code": "not_found",
    "count": 1,
    "message": "HTTP 404",
    "ordinals": [2],
    "cause": "1-0123456789abcdef",
    "partition": "example.org",
    "retryable": False,
}
WORKLOAD: dict[str, Any] = {
    "name": "noop",
    "version": "1",
    "title": "Squares",
    "description": "Squares a number.",
    "item_schema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
    "result_schema": {"type": "object", "properties": {"n": {"type": "integer"}}},
    "example": {"n": 7},
    "exports": {},
    "announced_at": TIME,
}
RATES: dict[str, Any] = {
    "rates": [
        {
            "workload": "http",
            "limit": "partition",
            "partition": "example.org",
            "per_second": 5.0,
            "burst": 1,
            "reason": "set by the manifest",
            "in_flight": 2,
            "waiting": 40,
        }
    ]
}
OVERVIEW: dict[str, Any] = {
    "at": TIME,
    "batches": {
        "open": 1,
        "running": 11,
        "paused": 1,
        "completed": 340,
        "partial": 2,
        "failed": 1,
        "cancelled": 0,
    },
    "items": {"remaining": 1_200_000, "running": 64},
    "items_per_s": 1840.5,
    "attention": [
        {
            "kind": "batch_failed",
            "detail": "'friday calls' ended partial: 1 of 3 items failed or expired",
            "at": "2026-11-30T06:00:09Z",
            "owner": "ann",
            "batch_id": BATCH_ID,
            "workload": "http",
            "count": 1,
        },
        {
            "kind": "circuit_open",
            "detail": "http: example.org refuses every call: captcha",
            "at": "2026-11-30T06:05:00Z",
            "workload": "http",
            "partition": "example.org",
            "count": 2900,
        },
    ],
    "system": [
        {"name": "dispatcher", "kind": "service", "state": "up", "instances": 1, "messages": 0},
        {"name": "worker", "kind": "service", "state": "up", "instances": 4},
        {"name": "Redis", "kind": "server", "state": "away"},
    ],
    "ends": [STATE],
}
BULK: dict[str, Any] = {
    "id": "01a22b09-e616-78d9-8ae2-bcd21479fff9",
    "action": "pause",
    "state": "running",
    "done": 120,
    "refused": 1,
    "error": "batch_finished: The batch has finished: there is nothing to pause.",
    "created_at": TIME,
}
EXPORT: dict[str, Any] = {
    "id": "01a22b09-e616-78d9-8ae2-bcd21479fff9",
    "batch_id": BATCH_ID,
    "state": "succeeded",
    "format": "parquet",
    "round": 1,
    "complete": True,
    "rows": 2,
    "counts": {"succeeded": 1, "failed": 1},
    "parts": [
        {
            "name": "part-00000-1.parquet",
            "rows": 2,
            "bytes": 4096,
            "sha256": "5e" * 32,
            "first": 0,
            "last": 1,
        }
    ],
    "manifest_sha256": "7a" * 32,
    "created_at": TIME,
    "ended_at": TIME,
}
ITEM: dict[str, Any] = {
    "ordinal": 2,
    "custom_id": "row-3",
    "state": "succeeded",
    "partition": "example.org",
    "round": 1,
    "attempts": 1,
    "elapsed_ms": 120,
    "cached": False,
    "ended_at": "2026-11-30T06:00:09Z",
}
RETRYING: dict[str, Any] = {
    "ordinal": 3,
    "custom_id": "row-4",
    "state": "retrying",
    "partition": "example.org",
    "attempts": 1,
    "retry_at": "2026-11-30T06:00:42Z",
    "error": {"code": "http_503", "message": "HTTP 503", "scope": "item"},
    "cached": False,
}
ESTIMATE: dict[str, Any] = {
    "items": 9120,
    "forecast": {
        "p10": "2026-11-30T06:34:00Z",
        "p50": "2026-11-30T06:36:00Z",
        "p90": "2026-11-30T07:05:00Z",
        "reason": {"code": "rate_limit", "detail": "The batch's own rate allows 5 items in a second."},
        "at": "2026-11-30T06:00:00Z",
    },
    "chance": 0.85,
    "alternatives": [
        {"kind": "rate", "value": 6.2, "detail": "With a rate of 6.2/s nine of ten such batches end by the deadline."}
    ],
    "delays": [{"batch_id": BATCH_ID, "by_s": 140.5}],
    "delays_of_others": 2,
}
REASONS: dict[str, Any] = {
    "found": True,
    "reasons": [
        {
            "code": "destination_backoff",
            "detail": "example.org asked for a pause (HTTP 429).",
            "until": "2026-11-30T06:00:30Z",
            "items": 2900,
            "partition": "example.org",
        },
        {"code": "retry_due_later", "detail": "Items wait to be tried again.", "items": 140},
    ],
    "paused": False,
    "workers": 4,
    "waiting": 2900,
    "more_waiting": False,
    "in_flight": 8,
    "retries": 140,
    "next_retry_at": "2026-11-30T06:00:42Z",
    "share": {"place": 1, "batches": 3, "share": 0.25, "owner_share": 1.0, "preceded_by": []},
    "destinations": [
        {
            "partition": "example.org",
            "waiting": 2900,
            "in_flight": 8,
            "retries": 140,
            "next_retry_at": "2026-11-30T06:00:42Z",
            "parked": True,
            "reason": {
                "code": "destination_backoff",
                "detail": "example.org asked for a pause (HTTP 429).",
                "until": "2026-11-30T06:00:30Z",
            },
            "limits": [{**RATES["rates"][0], "waiting": 2900, "backoff_until": "2026-11-30T06:00:30Z"}],
        }
    ],
    "more_destinations": 0,
}
DEAD_LETTER: dict[str, Any] = {
    "id": "4f1c7d0a",
    "queue": "ingest.commands",
    "type": "batch.submit.v1",
    "reason": "invalid_command: workload: Field required",
    "at": TIME,
    "bytes": 13,
    "body": '{"items": []}',
}
KEY: dict[str, Any] = {
    "id": "0aB1cD2e",
    "owner": "ann",
    "name": "nightly import",
    "hint": "by_live_0aB1cD2e…x7Qd",
    "scopes": ["batches:write"],
    "created_at": TIME,
    "created_by": "9zY8xW7v",
    "last_used_at": "2026-11-30T06:00:09Z",
    "last_used_from": "192.0.2.7",
}
CREATED_KEY = {**KEY, "key": "by_live_0aB1cD2e…"}
SESSION: dict[str, Any] = {
    "owner": "ann",
    "scopes": ["batches:read", "results:read"],
    "key_id": "0aB1cD2e",
    "by_session": False,
}
RETRIED = {**ACCEPTED, "retried": 1}
RESULTS_ACCEPTED = {**ACCEPTED, "accepted": 1}
TEMPLATE: dict[str, Any] = {
    "name": "my-portfolio",
    "version": 2,
    "shared": False,
    "workload": "http",
    "description": "Predictions for a portfolio of projects.",
    "created_at": TIME,
    "created_by": "ann",
}
TEMPLATE_DETAIL: dict[str, Any] = {
    **TEMPLATE,
    "parameters": {"properties": {"projects": {"type": "array", "minItems": 1}}, "required": ["projects"]},
    "body": {"workload": "http", "items": []},
    "fill": {"/items": "projects"},
}
SCHEDULE: dict[str, Any] = {
    "name": "weekly",
    "workload": "http",
    "cron": "0 6 * * MON",
    "zone": "Europe/Berlin",
    "template": "my-portfolio",
    "parameters": {"projects": [{"payload": {"project": "Bridge 1"}}]},
    "overlap": "queue",
    "missed": "one",
    "catch_up_s": 3600,
    "jitter_s": 0,
    "paused": False,
    "note": "",
    "next_at": "2026-12-07T05:00:00Z",
    "created_at": TIME,
}
TIMES = {"times": [{"at": "2026-12-07T05:00:00Z", "local": "2026-12-07T06:00:00+01:00"}]}
RUN: dict[str, Any] = {
    "nominal_at": "2026-11-30T05:00:00Z",
    "origin": "schedule",
    "state": "ended",
    "batch_id": BATCH_ID,
    "template_version": 2,
    "started_at": "2026-11-30T05:00:00.5Z",
    "count": 1,
}
DONE = {"queue": "ingest.commands", "count": 1}

LIMITS = {
    "owner": "ann",
    "limits": {
        "requests": 1000,
        "key_requests": 10_000,
        "waiting_items": 2_000_000,
        "waiting_bytes": 8_589_934_592,
        "uploads": 50,
        "websockets": 500,
        "questions": 50,
        "deliveries": 10_000,
        "weight": 2.0,
    },
    "set": {"requests": 1000, "weight": 2.0},
    "in_use": {"waiting_items": 1200, "waiting_bytes": 86_000, "uploads": 1, "websockets": 3, "questions": 0},
}
DELETION: dict[str, Any] = {
    "batch_id": BATCH_ID,
    "cause": "command",
    "requested_at": TIME,
    "deleted": {"ingest": {"batches": 1, "appends": 0, "controls": 1, "follow_ups": 0}},
}
RETENTION: dict[str, Any] = {
    "effective": {"payloads": 7.0, "outcomes": 90.0, "deliveries": 30.0},
    "defaults": {"payloads": 7.0, "deliveries": 30.0},
    "rules": [{"owner": "ann", "workload": "http", "days": {"outcomes": 90.0}}],
}
