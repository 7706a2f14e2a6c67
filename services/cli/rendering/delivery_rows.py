"""The notifications of a batch in words: whom they went to, and what became of them."""

from services.cli.client.documents import Deliveries, Delivery
from services.cli.rendering.counted import counted


def delivery_rows(deliveries: Deliveries | None) -> list[tuple[str, str]]:
    """Return a line for each notification, those of the newest round first; None stands for what is not known."""
    if deliveries is None:
        return [("notified", "not known: the notifier does not answer")]
    several = len({each.round for each in deliveries.deliveries}) > 1
    return [("notified", _words(each, with_round=several)) for each in deliveries.deliveries]


def _words(one: Delivery, *, with_round: bool) -> str:
    round_ = f" of the end of round {one.round}" if with_round else ""
    attempts = counted(one.attempts, "attempt")
    reason = f": {one.error}" if one.error else ""
    match one.state:
        case "delivered":
            state = f"delivered at {one.ended_at.astimezone():%Y-%m-%d %H:%M:%S}" if one.ended_at else "delivered"
            state += "" if one.attempts == 1 else f", after {attempts}"
        case "failed":
            state = f"given up after {attempts}{reason}"
        case _ if one.attempts == 0:
            state = "about to be sent"
        case _:
            state = f"not delivered yet, {attempts}{reason}"
            if one.next_attempt_at:
                state += f"; next attempt at {one.next_attempt_at.astimezone():%Y-%m-%d %H:%M:%S}"
    return f"{one.kind.replace('email', 'e-mail')} to {one.target}{round_}: {state}"
