"""The terms of a batch in words, in the way that the options are written."""

from services.cli.client.documents import FailureThreshold, RetryRule, Terms


def term_rows(terms: Terms) -> list[tuple[str, str]]:
    """Return the terms that are set, as a name and words each."""
    found = {
        "weight": terms.weight and str(terms.weight),
        "rate limit": terms.rate and f"{_number(terms.rate.per_second)}/s, burst {terms.rate.burst}",
        "concurrency": terms.concurrency and str(terms.concurrency),
        "not before": terms.not_before and terms.not_before.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
        "deadline": terms.deadline and terms.deadline.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
        "failure threshold": terms.failure_threshold and ", ".join(_bounds(terms.failure_threshold)),
        "retry": "; ".join(f"{code}: {_attempts(rule)}" for code, rule in terms.retry.items()),
    }
    return [(name, words) for name, words in found.items() if words]


def _bounds(threshold: FailureThreshold) -> list[str]:
    found = [f"{code}={count}" for code, count in threshold.codes.items()]
    if threshold.share is not None:
        found.insert(0, f"{_number(threshold.share * 100)}%")
    if threshold.count is not None:
        found.insert(0, str(threshold.count))
    return found


def _attempts(rule: RetryRule) -> str:
    if rule.attempts == 1:
        return "1 attempt, no retry"
    return f"up to {rule.attempts} attempts, {_number(rule.base_s)} s to {_number(rule.cap_s)} s apart"


def _number(value: float) -> str:
    return f"{value:.6g}"
