"""Bodies of `chunk.processed.v1` that all readers must read alike or must all refuse."""

import json
from typing import Any

from hypothesis import strategies as st

HEAD: dict[str, Any] = {
    "chunk_id": "0197a5b0-0000-7000-8000-0000000000c0",
    "fence": 2,
    "batch_id": "0197a5b0-0000-7000-8000-000000000001",
    "owner": "ann",
    "workload": "noop",
    "partition": "p",
    "round": 1,
    "attempt": 3,
    "worker_id": "w1",
    "final": False,
    "busy_ms": 12.5,
}
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_errors = st.fixed_dictionaries(
    {"code": st.sampled_from(["timeout", "http_500", "a.b"])},
    optional={"message": st.text(max_size=20), "scope": st.sampled_from(["item", "provider"])},
)
_outcomes = st.fixed_dictionaries(
    {
        "ordinal": st.integers(0, 9),
        "status": st.sampled_from(["succeeded", "failed", "retry", "continued", "cancelled"]),
    },
    optional={
        "custom_id": st.none() | st.text(max_size=10),
        "result": _values,
        "error": st.none() | _errors,
        "delay_s": st.none() | st.integers(0, 100) | st.floats(0, 1e6),
        "state": _values,
        "elapsed_ms": st.integers(-(2**70), 2**70),
        "cached": st.booleans(),
        "later": _values,
    },
)
bodies = st.builds(
    lambda outcomes, ascii_, head: json.dumps(head | {"outcomes": outcomes}, ensure_ascii=ascii_).encode(
        "utf-8", "surrogatepass"
    ),
    st.lists(_outcomes, max_size=6),
    st.booleans(),
    st.just(HEAD) | st.just(HEAD | {"later": {"outcomes": [1]}}) | st.just(HEAD | {"partition": ',"outcomes":['}),
)
"""Bodies as any sender might write them, some of which every reader refuses, such as half a character."""

_GOOD = {"ordinal": 1, "status": "succeeded"}


def body(*outcomes: object, **head: Any) -> bytes:
    """Return a report with these outcomes."""
    return json.dumps(HEAD | head | {"outcomes": list(outcomes)}).encode()


REFUSED = {
    "no json": b"{",
    "not an object": b"[]",
    "no outcomes": json.dumps(HEAD).encode(),
    "null outcomes": json.dumps(HEAD | {"outcomes": None}).encode(),
    "no chunk": body(_GOOD, chunk_id="x"),
    "round 0": body(_GOOD, round=0),
    "attempt 0": body(_GOOD, attempt=0),
    "owner": body(_GOOD, owner="a.b"),
    "owner with a line end": body(_GOOD, owner="a\n"),
    "workload": body(_GOOD, workload="No"),
    "ordinal -1": body({"ordinal": -1, "status": "succeeded"}),
    "ordinal too large": body({"ordinal": 10**8, "status": "succeeded"}),
    "unknown status": body({"ordinal": 1, "status": "done"}),
    "error code": body(_GOOD | {"error": {"code": "No"}}),
    "error without a code": body(_GOOD | {"error": {}}),
    "endless delay": body({"ordinal": 1, "status": "retry", "delay_s": 1e9}),
    "custom id": body(_GOOD | {"custom_id": 7}),
    "bytes that are no text": body(_GOOD | {"result": "x"}).replace(b'"x"', b'"\xff"'),
    "a head that is no text": body(_GOOD, worker_id="x", ended=1).replace(b'"x"', b'"\xff"'),
    "half a character": body(_GOOD | {"result": "\ud800"}),
    "an end that comes too early": body(_GOOD)[:-1],
}
ODD = {
    "numbers as text": body({"ordinal": "1", "status": "succeeded", "elapsed_ms": "5"}, round="2", final="true"),
    "numbers with a fraction of zero": body({"ordinal": 1.0, "status": "succeeded"}, attempt=2.0),
    "beyond every range": body(_GOOD | {"result": 0}).replace(b'"result": 0', b'"result": [1e999, -1E+4000]'),
    "a very long integer": body(_GOOD | {"result": 10**320}),
    "a key twice": body(_GOOD | {"result": 0}).replace(b'"result": 0', b'"result": 1, "result": 2'),
    "spaces": json.dumps(json.loads(body(_GOOD)), indent=2).encode(),
    "uuid without lines": body(_GOOD, chunk_id="0197a5b000007000800000000000000c"),
}
"""Unusual bodies that are accepted."""
