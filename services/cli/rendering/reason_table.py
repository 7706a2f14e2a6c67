"""Tells in words why a batch is not faster: the reasons, the numbers of items, and the destinations."""

from datetime import datetime

from rich.console import RenderableType
from rich.text import Text

from services.cli.client.reason_documents import BatchShare, Destination, Reasons
from services.cli.rendering.counted import counted
from services.cli.rendering.rate_text import rate_text
from services.cli.rendering.tables import table_of
from services.cli.rendering.waiting import waiting_text


def reason_lines(found: Reasons) -> list[RenderableType]:
    """Return the reasons of a batch, what holds back most first, and a table of its destinations."""
    lines: list[RenderableType] = [
        Text(f"{number}. {_words(found, number - 1)}", "yellow") for number in range(1, len(found.reasons) + 1)
    ]
    if not found.reasons:
        lines.append(Text(_nothing(found)))
    if not found.found:
        return lines
    lines += [Text(""), Text(_numbers(found))]
    if found.share is not None and (words := _in_line(found.share)):
        lines.append(Text(words))
    if found.destinations:
        table = table_of("destination", "waiting", "running", "again", "rate", "reason")
        for one in found.destinations:
            table.add_row(*map(Text, _cells(one)))
        lines += [Text(""), table]
    if found.more_destinations:
        lines.append(Text(f"{found.more_destinations} more destinations hold back less."))
    return lines


def _words(found: Reasons, index: int) -> str:
    reason = found.reasons[index]
    words = waiting_text(reason.detail, reason.until)
    if reason.code == "paused" and found.paused_by:
        words += f" Paused by {found.paused_by.actor} at {_clock(found.paused_by.at)}."
    return words if reason.items is None else f"{words} It holds back {counted(reason.items, 'item')}."


def _nothing(found: Reasons) -> str:
    if not found.found:
        return "Nothing: the batch has ended."
    if found.waiting or found.more_waiting:
        return "Nothing holds it back: its items are about to run."
    return "Nothing holds it back: all that remains runs." if found.in_flight else "Nothing: no item of it waits."


def _numbers(found: Reasons) -> str:
    waiting = f"{'at least ' if found.more_waiting else ''}{counted(found.waiting, 'item')} waiting"
    parts = [waiting, f"{found.in_flight} at workers"]
    if found.retries:
        due = f", the next at {_clock(found.next_retry_at)}" if found.next_retry_at else ""
        parts.append(f"{found.retries} to be tried again{due}")
    return f"{'; '.join(parts)}; {counted(found.workers, 'worker')}"


def _in_line(share: BatchShare) -> str:
    if share.place is None or (share.batches == 1 and share.owner_share == 1):
        return ""
    words = f"in line: number {share.place} of {share.batches} of your batches, with {share.share:.0%} of your share"
    words += "" if share.owner_share == 1 else f", which is {share.owner_share:.0%} of the workers"
    return f"{words}; {' and '.join(share.preceded_by)} first" if share.preceded_by else words


def _cells(one: Destination) -> tuple[str, ...]:
    paced = [each for each in one.limits if each.per_second is not None]
    rate = min(paced, key=lambda each: each.per_second or 0.0) if paced else None
    again = f"{one.retries}, {_clock(one.next_retry_at)}" if one.next_retry_at else str(one.retries or "")
    why = one.reason.detail if one.reason else ""
    if rate is not None and rate.reason:
        why = f"{why} Rate: {rate.reason}." if why else f"rate: {rate.reason}"
    return (
        one.partition or "all",
        str(one.waiting),
        str(one.in_flight),
        again,
        rate_text(rate.per_second) if rate else "",
        why,
    )


def _clock(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"
