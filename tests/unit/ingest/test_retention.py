"""The rule that fits a batch best holds, and nothing is looked at before the shortest of all has passed."""

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.retention import EVERY, KINDS, Retention, RetentionRules

NAMES = st.sampled_from(["ann", "bob", EVERY]), st.sampled_from(["http", "noop", EVERY])
DAYS = st.dictionaries(st.sampled_from(KINDS), st.floats(0, 100), max_size=4)


def test_the_owner_goes_before_the_workload_and_both_before_all() -> None:
    rules = RetentionRules(
        Retention(payloads=None, batch=9),
        {
            (EVERY, EVERY): {"outcomes": 1},
            (EVERY, "http"): {"outcomes": 2},
            ("ann", EVERY): {"outcomes": 3},
            ("ann", "http"): {"outcomes": 4},
        },
    )
    found = [
        rules.days("outcomes", owner, workload)
        for owner, workload in (("bob", "noop"), ("bob", "http"), ("ann", "noop"), ("ann", "http"))
    ]
    assert found == [1, 2, 3, 4]
    assert (rules.days("batch", "ann", "http"), rules.days("payloads", "ann", "http")) == (9, None)


@given(st.dictionaries(st.tuples(*NAMES), DAYS), *NAMES)
def test_no_batch_keeps_something_for_less_than_the_shortest(
    rules: dict[tuple[str, str], dict[str, float]], owner: str, workload: str
) -> None:
    found = RetentionRules(Retention(), rules)
    for kind in KINDS:
        days, shortest = found.days(kind, owner, workload), found.shortest(kind)
        assert days is None or (shortest is not None and shortest <= days)
