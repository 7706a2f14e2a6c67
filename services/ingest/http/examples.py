"""Examples of responses in the OpenAPI description, by operation."""

from typing import Any

_BATCH_ID = "01a22b09-e616-78d9-8ae2-bcd21479fff8"
_TIME = "2026-11-30T06:00:00Z"
_ACCEPTED: dict[str, Any] = {
    "batch_id": _BATCH_ID,
    "workload": "http",
    "items": 1,
    "replayed": False,
    "accepted_at": _TIME,
}
_STATE: dict[str, Any] = {
    "batch_id": _BATCH_ID,
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
    "accepted_at": _TIME,
    "finished_at": "2026-11-30T06:00:09Z",
}
_FAILURE: dict[str, Any] = {
    "code": "not_found",
    "count": 1,
    "message": "HTTP 404",
    "ordinals": [2],
    "cause": "1-0123456789abcdef",
    "partition": "example.org",
    "retryable": False,
}
_WORKLOAD: dict[str, Any] = {
    "name": "noop",
    "version": "1",
    "title": "Squares",
    "description": "Squares a number.",
    "item_schema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
    "result_schema": {"type": "object", "properties": {"n": {"type": "integer"}}},
    "example": {"n": 7},
    "exports": {},
    "announced_at": _TIME,
}
_RATES: dict[str, Any] = {
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
_OVERVIEW: dict[str, Any] = {
    "at": _TIME,
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
            "batch_id": _BATCH_ID,
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
    "ends": [_STATE],
}
_BULK: dict[str, Any] = {
    "id": "01a22b09-e616-78d9-8ae2-bcd21479fff9",
    "action": "pause",
    "state": "running",
    "done": 120,
    "refused": 1,
    "error": "batch_finished: The batch has finished: there is nothing to pause.",
    "created_at": _TIME,
}
_ITEM: dict[str, Any] = {
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
_RETRYING: dict[str, Any] = {
    "ordinal": 3,
    "custom_id": "row-4",
    "state": "retrying",
    "partition": "example.org",
    "attempts": 1,
    "retry_at": "2026-11-30T06:00:42Z",
    "error": {"code": "http_503", "message": "HTTP 503", "scope": "item"},
    "cached": False,
}
_REASONS: dict[str, Any] = {
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
            "limits": [{**_RATES["rates"][0], "waiting": 2900, "backoff_until": "2026-11-30T06:00:30Z"}],
        }
    ],
    "more_destinations": 0,
}
_DEAD_LETTER: dict[str, Any] = {
    "id": "4f1c7d0a",
    "queue": "ingest.commands",
    "type": "batch.submit.v1",
    "reason": "invalid_command: workload: Field required",
    "at": _TIME,
    "bytes": 13,
    "body": '{"items": []}',
}
_KEY: dict[str, Any] = {
    "id": "0aB1cD2e",
    "owner": "ann",
    "name": "nightly import",
    "hint": "by_live_0aB1cD2e…x7Qd",
    "scopes": ["batches:write"],
    "created_at": _TIME,
    "created_by": "9zY8xW7v",
    "last_used_at": "2026-11-30T06:00:09Z",
    "last_used_from": "192.0.2.7",
}
_CREATED_KEY = {**_KEY, "key": "by_live_0aB1cD2e…"}
_SESSION: dict[str, Any] = {
    "owner": "ann",
    "scopes": ["batches:read", "results:read"],
    "key_id": "0aB1cD2e",
    "by_session": False,
}
_RETRIED = {**_ACCEPTED, "retried": 1}
_TEMPLATE: dict[str, Any] = {
    "name": "my-portfolio",
    "version": 2,
    "shared": False,
    "workload": "http",
    "description": "Predictions for a portfolio of projects.",
    "created_at": _TIME,
    "created_by": "ann",
}
_TEMPLATE_DETAIL: dict[str, Any] = {
    **_TEMPLATE,
    "parameters": {"properties": {"projects": {"type": "array", "minItems": 1}}, "required": ["projects"]},
    "body": {"workload": "http", "items": []},
    "fill": {"/items": "projects"},
}
_SCHEDULE: dict[str, Any] = {
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
    "created_at": _TIME,
}
_TIMES = {"times": [{"at": "2026-12-07T05:00:00Z", "local": "2026-12-07T06:00:00+01:00"}]}
_RUN: dict[str, Any] = {
    "nominal_at": "2026-11-30T05:00:00Z",
    "origin": "schedule",
    "state": "ended",
    "batch_id": _BATCH_ID,
    "template_version": 2,
    "started_at": "2026-11-30T05:00:00.5Z",
    "count": 1,
}
_DONE = {"queue": "ingest.commands", "count": 1}

_LIMITS = {
    "owner": "ann",
    "limits": {
        "requests": 1000,
        "key_requests": 10_000,
        "waiting_items": 2_000_000,
        "uploads": 50,
        "websockets": 500,
        "questions": 50,
        "deliveries": 10_000,
        "weight": 2.0,
    },
    "set": {"requests": 1000, "weight": 2.0},
    "in_use": {"uploads": 1, "websockets": 3, "questions": 0},
}

RESPONSES: dict[str, dict[str, Any]] = {
    "batches_submit": {"202": _ACCEPTED},
    "batches_list_all": {"200": {"batches": [_STATE]}},
    "batches_list_of_all_owners": {"200": {"batches": [_STATE]}},
    "batches_retry": {
        "202": _RETRIED,
        "200": {
            "round": 1,
            "items": 1,
            "invalid": 0,
            "samples": [
                {
                    "ordinal": 2,
                    "custom_id": "row-3",
                    "partition": "example.org",
                    "before": {"url": "https://example.org/gone"},
                    "after": {"url": "https://www.example.org/"},
                }
            ],
            "invalid_items": [],
        },
    },
    "batches_show": {"200": _STATE},
    "batches_change": {"202": _ACCEPTED},
    "batches_failures": {"200": {"groups": [_FAILURE]}},
    "batches_timeline": {
        "200": {
            "entries": [
                {"at": "2026-11-30T06:00:09Z", "kind": "ended", "round": 1, "result": "partial"},
                {
                    "at": "2026-11-30T06:00:05Z",
                    "kind": "changed",
                    "actor": "ann",
                    "door": "http",
                    "before": {"priority": "normal", "terms": {}},
                    "after": {"rate": {"per_second": 20, "burst": 1}},
                },
                {
                    "at": "2026-11-30T06:00:04Z",
                    "kind": "circuit_opened",
                    "limit": "partition",
                    "partition": "example.org",
                    "reason": "captcha: HTTP 403",
                },
                {"at": "2026-11-30T06:00:01Z", "kind": "started", "round": 1},
                {"at": _TIME, "kind": "accepted", "actor": "ann", "door": "http"},
            ]
        }
    },
    "batches_reasons": {"200": _REASONS},
    "batches_deliveries": {
        "200": {
            "deliveries": [
                {
                    "round": 1,
                    "kind": "webhook",
                    "target": "https://example.org/hooks/…",
                    "state": "pending",
                    "attempts": 2,
                    "status": 503,
                    "error": "HTTP 503",
                    "next_attempt_at": "2026-11-30T06:05:00Z",
                }
            ]
        }
    },
    "batches_append": {"202": _ACCEPTED},
    "batches_seal": {"202": _ACCEPTED},
    "batches_pause": {"202": _ACCEPTED},
    "batches_resume": {"202": _ACCEPTED},
    "batches_cancel": {"202": _ACCEPTED},
    "overview_show": {"200": _OVERVIEW},
    "batch-actions_begin": {
        "202": {**_BULK, "done": 0, "refused": 0},
        "200": {"count": 1, "more": False, "samples": [_STATE]},
    },
    "batch-actions_list_all": {"200": {"actions": [_BULK]}},
    "batch-actions_show": {"200": _BULK},
    "items_list_all": {"200": {"items": [_ITEM, _RETRYING], "next": 3}},
    "items_show": {"200": {**_ITEM, "payload": {"url": "https://example.org/"}, "result": {"status": 200}}},
    "batches_finish": {"202": _ACCEPTED},
    "results_results": {
        "200": [{"ordinal": 0, "custom_id": "row-1", "status": "succeeded", "round": 1, "attempts": 1, "result": {}}]
    },
    "workloads_list_all": {"200": {"workloads": [_WORKLOAD]}},
    "workloads_show": {"200": _WORKLOAD},
    "workloads_invalidate_cache": {"202": {"at": _TIME}},
    "workloads_workers": {
        "200": {
            "workers": [
                {
                    "worker_id": "host-1",
                    "workloads": ["noop"],
                    "chunks": [],
                    "running": 0,
                    "stopping": False,
                    "seen_at": _TIME,
                    "slots": {"noop": {"busy": 0, "open": 4, "max": 16}},
                }
            ]
        }
    },
    "workloads_ask": {"200": {"word": "much"}},
    "rates_list_all": {"200": _RATES},
    "rates_show": {"200": _RATES},
    "rates_override": {"200": _RATES},
    "rates_clear": {"200": _RATES},
    "rates_close": {"200": _RATES},
    "templates_list_all": {"200": {"templates": [_TEMPLATE]}},
    "templates_save": {"201": _TEMPLATE_DETAIL},
    "templates_show": {"200": _TEMPLATE_DETAIL},
    "templates_versions": {"200": {"versions": [_TEMPLATE, {**_TEMPLATE, "version": 1}]}},
    "templates_difference": {"200": {"changes": [{"pointer": "/body/workload", "before": "noop", "after": "http"}]}},
    "templates_restore": {"201": {**_TEMPLATE_DETAIL, "version": 3}},
    "templates_submit": {"202": _ACCEPTED},
    "templates_delete": {},
    "schedules_list_all": {"200": {"schedules": [_SCHEDULE]}},
    "schedules_save": {"200": _SCHEDULE},
    "schedules_preview": {"200": _TIMES},
    "schedules_show": {"200": _SCHEDULE},
    "schedules_delete": {},
    "schedules_times": {"200": _TIMES},
    "schedules_runs": {"200": {"runs": [_RUN]}},
    "schedules_pause": {"200": {**_SCHEDULE, "paused": True, "note": "until the audit is over", "next_at": None}},
    "schedules_resume": {"200": _SCHEDULE},
    "schedules_run": {"202": {"nominal_at": _TIME}},
    "schedules_backfill": {"202": {"runs": 4}},
    "schedules_lineage": {
        "200": {
            "schedule": "weekly",
            "nominal_at": "2026-11-30T05:00:00Z",
            "origin": "schedule",
            "template": "my-portfolio",
            "template_version": 2,
        }
    },
    "keys_list_all": {"200": {"keys": [_KEY]}},
    "keys_create": {"201": _CREATED_KEY},
    "keys_rotate": {"201": _CREATED_KEY},
    "keys_revoke": {"200": {**_KEY, "revoked_at": _TIME}},
    "limits_show_own": {"200": _LIMITS},
    "limits_list_all": {"200": {"owners": [_LIMITS]}},
    "limits_show": {"200": _LIMITS},
    "limits_change": {"200": _LIMITS},
    "limits_clear": {"200": {**_LIMITS, "set": {}}},
    "session_start": {"201": {**_SESSION, "expires_at": "2026-11-30T18:00:00Z"}},
    "session_make_link": {
        "201": {"path": "/#sign-in=c2l4dGVlbiBieXRlcyBhdCBsZWFzdA", "expires_at": "2026-11-30T18:00:00Z"}
    },
    "session_redeem": {"201": {**_SESSION, "by_session": True, "expires_at": "2026-11-30T18:00:00Z"}},
    "session_show": {"200": _SESSION},
    "session_end": {},
    "session_show_meta": {
        "200": {
            "version": "0.1.0",
            "time": _TIME,
            "owner": "ann",
            "scopes": ["batches:read", "results:read"],
            "keys_required": True,
            "limits": {"items_per_command": 10_000},
            "features": ["keys", "sessions"],
        }
    },
    "audit_show_audit": {
        "200": {
            "entries": [
                {
                    "id": 4711,
                    "at": _TIME,
                    "owner": "ann",
                    "actor": "ann",
                    "key_id": "0aB1cD2e",
                    "door": "http",
                    "address": "192.0.2.7",
                    "action": "batch.cancel",
                    "object": _BATCH_ID,
                    "before": {"state": "sealed"},
                    "after": {"action": "cancel"},
                }
            ]
        }
    },
    "operators_list_all": {
        "200": {"queues": [{"queue": "ingest.commands", "count": 1}], "dead_letters": [_DEAD_LETTER]}
    },
    "operators_show": {"200": _DEAD_LETTER},
    "operators_replay": {"200": _DONE},
    "operators_drop": {"200": _DONE},
}
