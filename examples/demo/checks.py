"""Expected effects, item by item: the stand-in site knows the end of each of its pages."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import EmailMessage

from batchyard_contracts.v1.values import ItemResult
from examples.demo.batch import Outcome
from tests.support.tracklist_kinds import expected, tally
from tests.support.webhook_receiver import Call


@dataclass(frozen=True)
class Check:
    """One thing that had to happen: what it was, and how it went."""

    what: str
    passed: bool
    found: str


def check_all(
    urls: Sequence[str], outcome: Outcome, calls: Sequence[Call], mails: Sequence[EmailMessage]
) -> list[Check]:
    """Everything that the batch, the webhook and the e-mail had to be."""
    return [
        _items(urls, outcome.results),
        _counts(urls, outcome),
        _event(outcome),
        _summary(outcome),
        _webhook(outcome, calls),
        _mail(outcome, mails),
    ]


def _items(urls: Sequence[str], results: Sequence[ItemResult]) -> Check:
    wrong = list(_wrong_items(urls, results))
    found = wrong[0] if wrong else f"{len(results)} of {len(urls)} have the status and cause that their page leads to"
    return Check("outcome of every item", not wrong, found)


def _wrong_items(urls: Sequence[str], results: Sequence[ItemResult]) -> Iterator[str]:
    if [item.ordinal for item in results] != list(range(len(urls))):
        yield f"{len(results)} results for {len(urls)} items"
        return
    first: dict[str, int] = {}
    for url, item in zip(urls, results, strict=True):
        kind = expected(url)
        wanted = ("duplicate", None, first[url]) if url in first else (kind.status, kind.code, None)
        found = (item.status, item.error and item.error.code, item.duplicate_of)
        first.setdefault(url, item.ordinal)
        if found != wanted:
            yield f"item {item.ordinal} ({url}): {found}, not {wanted}"


def _counts(urls: Sequence[str], outcome: Outcome) -> Check:
    statuses, _ = tally(urls)
    counts = outcome.finished.counts
    found = {status: getattr(counts, status) for status in statuses}
    right = found == dict(statuses) and counts.total == counts.ended == len(urls) and counts.remaining == 0
    shown = " + ".join(f"{number} {status}" for status, number in sorted(found.items(), key=lambda pair: -pair[1]))
    return Check("the counts add up", right, f"{counts.total} = {shown}")


def _event(outcome: Outcome) -> Check:
    right = len(outcome.events) == 1 and outcome.events[0] == outcome.finished
    traced = bool(outcome.event_traces) and all(outcome.trace_id in each for each in outcome.event_traces)
    return Check(
        "one completion event",
        right and traced,
        f"{len(outcome.events)} of batch.finished.v1: {outcome.finished.result}",
    )


def _summary(outcome: Outcome) -> Check:
    found = outcome.finished.summary
    if not isinstance(found, dict):
        return Check("a summary of all", False, outcome.finished.summary_error or "none came")
    read = [item.result for item in outcome.results if item.status == "succeeded"]
    right = (found["tracklists"], found["tracks"]) == (len(read), sum(each["track_count"] for each in read))
    said = f"{found['tracklists']} tracklists, {found['tracks']} tracks, mean quality {found['mean_quality']}"
    return Check("a summary of all", right, said)


def _webhook(outcome: Outcome, calls: Sequence[Call]) -> Check:
    if len(calls) != 1:
        return Check("one webhook", False, f"{len(calls)} came")
    (call,) = calls
    data = call.payload["data"]
    right = call.verified and data["batch_id"] == str(outcome.batch_id) and data["result"] == outcome.finished.result
    traced = outcome.trace_id in call.headers.get("traceparent", "")
    signed = "signature verified" if call.verified else "signature wrong"
    return Check("one webhook", right and traced, f"{signed}, in the trace of the command")


def _mail(outcome: Outcome, mails: Sequence[EmailMessage]) -> Check:
    if len(mails) != 1:
        return Check("one e-mail", False, f"{len(mails)} came")
    subject = str(mails[0]["Subject"])
    right = outcome.finished.result in subject and str(outcome.finished.counts.succeeded) in subject
    return Check("one e-mail", right, subject)
