"""Examples of responses in the OpenAPI description, by operation."""

from typing import Any

from services.ingest.http.example_documents import (
    ACCEPTED,
    BATCH_ID,
    BULK,
    CHECK,
    CREATED_KEY,
    DEAD_LETTER,
    DELETION,
    DONE,
    ESTIMATE,
    EXPORT,
    FAILURE,
    ITEM,
    KEY,
    LIMITS,
    OVERVIEW,
    RATES,
    REASONS,
    RESULTS_ACCEPTED,
    RETENTION,
    RETRIED,
    RETRYING,
    RUN,
    SCHEDULE,
    SERIES,
    SESSION,
    STATE,
    TEMPLATE,
    TEMPLATE_DETAIL,
    TIME,
    TIMES,
    WORKLOAD,
)

RESPONSES: dict[str, dict[str, Any]] = {
    "batches_submit": {"202": ACCEPTED},
    "batches_check": {"200": CHECK},
    "batches_list_all": {"200": {"batches": [STATE]}},
    "batches_list_of_all_owners": {"200": {"batches": [STATE]}},
    "batches_retry": {
        "202": RETRIED,
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
    "batches_accept_results": {"202": RESULTS_ACCEPTED},
    "batches_show": {"200": STATE},
    "batches_change": {"202": ACCEPTED},
    "batches_failures": {"200": {"groups": [FAILURE]}},
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
                {"at": TIME, "kind": "accepted", "actor": "ann", "door": "http"},
            ]
        }
    },
    "batches_reasons": {"200": REASONS},
    "batches_estimate": {"200": ESTIMATE},
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
    "batches_append": {"202": ACCEPTED},
    "batches_seal": {"202": ACCEPTED},
    "batches_pause": {"202": ACCEPTED},
    "batches_resume": {"202": ACCEPTED},
    "batches_cancel": {"202": {**ACCEPTED, "cancelled": {"stopped": 70, "kept": 25, "running": 5}}},
    "overview_show": {"200": OVERVIEW},
    "overview_series": {"200": SERIES},
    "batches_batch_series": {"200": SERIES},
    "batch-actions_begin": {
        "202": {**BULK, "done": 0, "refused": 0},
        "200": {"count": 1, "more": False, "samples": [STATE]},
    },
    "batch-actions_list_all": {"200": {"actions": [BULK]}},
    "batch-actions_show": {"200": BULK},
    "items_list_all": {"200": {"items": [ITEM, RETRYING], "next": 3}},
    "items_show": {"200": {**ITEM, "payload": {"url": "https://example.org/"}, "result": {"status": 200}}},
    "batches_finish": {"202": ACCEPTED},
    "batches_delete": {"202": DELETION},
    "batches_deletion": {
        "200": {
            **DELETION,
            "completed_at": "2026-11-30T06:00:02Z",
            "deleted": {
                **DELETION["deleted"],
                "dispatcher": {"pages": 3},
                "aggregator": {"outcomes": 3},
                "notifier": {},
            },
        }
    },
    "retention_show": {"200": RETENTION},
    "retention_change": {"200": RETENTION},
    "operators_erase": {"202": {"requested_at": TIME, "deleted": {}}},
    "operators_show_erasure": {
        "200": {
            "requested_at": TIME,
            "completed_at": "2026-11-30T06:01:00Z",
            "deleted": {"ingest": {"batches": 5, "api_keys": 1}, "aggregator": {"outcomes": 50}},
        }
    },
    "operators_stuck": {
        "200": {
            "batches": [
                {
                    "batch": {**STATE, "status": "running"},
                    "since": "2026-11-30T06:00:05Z",
                    "reasons": [{"code": "in_flight", "detail": "3 items are at workers, …", "items": 3}],
                }
            ]
        }
    },
    "operators_remedy": {"202": ACCEPTED},
    "results_results": {
        "200": [{"ordinal": 0, "custom_id": "row-1", "status": "succeeded", "round": 1, "attempts": 1, "result": {}}]
    },
    "exports_begin": {"202": {**EXPORT, "state": "running", "rows": 0, "counts": {}, "parts": []}},
    "exports_list_all": {"200": {"exports": [EXPORT]}},
    "exports_show": {"200": EXPORT},
    "exports_delete": {},
    "exports_fetch": {},
    "workloads_list_all": {"200": {"workloads": [WORKLOAD]}},
    "workloads_show": {"200": WORKLOAD},
    "workloads_invalidate_cache": {"202": {"at": TIME}},
    "workloads_workers": {
        "200": {
            "workers": [
                {
                    "worker_id": "host-1",
                    "workloads": ["noop"],
                    "chunks": [],
                    "running": 0,
                    "stopping": False,
                    "seen_at": TIME,
                    "slots": {"noop": {"busy": 0, "open": 4, "max": 16}},
                }
            ]
        }
    },
    "workloads_ask": {"200": {"word": "much"}},
    "rates_list_all": {"200": RATES},
    "rates_show": {"200": RATES},
    "rates_override": {"200": RATES},
    "rates_clear": {"200": RATES},
    "rates_close": {"200": RATES},
    "templates_list_all": {"200": {"templates": [TEMPLATE]}},
    "templates_save": {"201": TEMPLATE_DETAIL},
    "templates_show": {"200": TEMPLATE_DETAIL},
    "templates_versions": {"200": {"versions": [TEMPLATE, {**TEMPLATE, "version": 1}]}},
    "templates_difference": {"200": {"changes": [{"pointer": "/body/workload", "before": "noop", "after": "http"}]}},
    "templates_restore": {"201": {**TEMPLATE_DETAIL, "version": 3}},
    "templates_submit": {"202": ACCEPTED},
    "templates_delete": {},
    "schedules_list_all": {"200": {"schedules": [SCHEDULE]}},
    "schedules_save": {"200": SCHEDULE},
    "schedules_preview": {"200": TIMES},
    "schedules_show": {"200": SCHEDULE},
    "schedules_delete": {},
    "schedules_times": {"200": TIMES},
    "schedules_runs": {"200": {"runs": [RUN]}},
    "schedules_pause": {"200": {**SCHEDULE, "paused": True, "note": "until the audit is over", "next_at": None}},
    "schedules_resume": {"200": SCHEDULE},
    "schedules_run": {"202": {"nominal_at": TIME}},
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
    "keys_list_all": {"200": {"keys": [KEY]}},
    "keys_create": {"201": CREATED_KEY},
    "keys_rotate": {"201": CREATED_KEY},
    "keys_revoke": {"200": {**KEY, "revoked_at": TIME}},
    "limits_show_own": {"200": LIMITS},
    "limits_list_all": {"200": {"owners": [LIMITS]}},
    "limits_show": {"200": LIMITS},
    "limits_change": {"200": LIMITS},
    "limits_clear": {"200": {**LIMITS, "set": {}}},
    "session_start": {"201": {**SESSION, "expires_at": "2026-11-30T18:00:00Z"}},
    "session_make_link": {
        "201": {"path": "/#sign-in=c2l4dGVlbiBieXRlcyBhdCBsZWFzdA", "expires_at": "2026-11-30T18:00:00Z"}
    },
    "session_redeem": {"201": {**SESSION, "by_session": True, "expires_at": "2026-11-30T18:00:00Z"}},
    "session_show": {"200": SESSION},
    "session_end": {},
    "session_show_meta": {
        "200": {
            "version": "0.1.0",
            "time": TIME,
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
                    "at": TIME,
                    "owner": "ann",
                    "actor": "ann",
                    "key_id": "0aB1cD2e",
                    "door": "http",
                    "address": "192.0.2.7",
                    "action": "batch.cancel",
                    "object": BATCH_ID,
                    "before": {"state": "sealed"},
                    "after": {"action": "cancel"},
                }
            ]
        }
    },
    "operators_list_all": {
        "200": {"queues": [{"queue": "ingest.commands", "count": 1}], "dead_letters": [DEAD_LETTER]}
    },
    "operators_show": {"200": DEAD_LETTER},
    "operators_replay": {"200": DONE},
    "operators_drop": {"200": DONE},
}
