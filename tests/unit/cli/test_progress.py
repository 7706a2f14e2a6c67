"""The line of a batch says what its counts say."""

from io import StringIO

import pytest
from rich.console import Console

from services.cli.client.documents import Counts, WaitReason
from services.cli.client.follow import Snapshot
from services.cli.rendering.progress_bar import Progress, progress_line


def snapshot(counts: Counts, status: str = "running", result: str | None = None, **pace: float) -> Snapshot:
    return Snapshot(status, counts, result, pace.get("rate"), pace.get("eta"), {})


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (snapshot(Counts(total=0)), "x   0% 0/0"),
        (
            snapshot(Counts(total=3, succeeded=1, remaining=2), rate=2.0, eta=3661),
            "x  33% 1/3  1 succeeded  2.0/s  1:01:01 left",
        ),
        (
            snapshot(Counts(succeeded=25_000, remaining=1), "open", rate=9.0, eta=5.0),
            "x growing, 25,001 so far  25000 succeeded  9.0/s",
        ),
        (snapshot(Counts(total=2, succeeded=2), rate=9.0), "x  99% 2/2  2 succeeded  summing up"),
        (snapshot(Counts(total=1000, succeeded=999, remaining=1)), "x  99% 999/1000  999 succeeded"),
        (snapshot(Counts(total=2, failed=1, remaining=1), "paused"), "x  50% 1/2  1 failed  paused"),
        (
            snapshot(Counts(total=2, expired=1, cancelled=1), result="cancelled"),
            "x 100% 2/2  1 cancelled  1 expired  cancelled",
        ),
    ],
)
def test_the_words_follow_the_state(now: Snapshot, words: str) -> None:
    assert progress_line("x", now).plain == words


@pytest.mark.parametrize("ended", [0, 1, 7, 499, 500, 1000])
def test_the_bar_has_one_length_and_grows(ended: int) -> None:
    line = progress_line(
        "x", snapshot(Counts(total=1000, succeeded=ended // 2, failed=ended - ended // 2, remaining=1000 - ended)), 120
    )
    bar = line.plain.split()[1]
    assert bar == "━" * 32
    rest = [span for span in line.spans if span.style == "bright_black"]
    assert sum(span.end - span.start for span in rest) == 32 - ended * 32 // 1000


@pytest.mark.parametrize("width", [24, 40, 60, 79, 80, 100])
def test_a_narrow_terminal_shows_the_share_before_all_else(width: int) -> None:
    written = StringIO()
    now = snapshot(Counts(total=10_000, succeeded=6_400, remaining=3_600), rate=19.0, eta=189)
    title = "01a2008f-4604-7efd-98df-b7f5c6a1a078"
    Console(file=written, width=width).print(progress_line(title, now, width), no_wrap=True, overflow="ellipsis")
    (line,) = written.getvalue().splitlines()
    assert len(line) <= width
    assert title.endswith(line.split()[0].removeprefix("…"))
    assert "64%" in line
    assert ("3:09 left" in line) == (width >= 64)
    assert ("━" in line) == (width >= 79)


def test_without_a_terminal_a_batch_takes_few_lines() -> None:
    written = StringIO()
    with Progress(Console(file=written, width=120), "x").shown() as progress:
        for ended in range(1001):
            progress.draw(snapshot(Counts(total=1000, succeeded=ended, remaining=1000 - ended)))
        progress.draw(snapshot(Counts(total=1000, succeeded=1000), result="completed"))
    lines = written.getvalue().splitlines()
    assert len(lines) == 12
    assert lines[-1].endswith("completed")


def test_an_open_batch_takes_few_lines_without_a_terminal() -> None:
    written = StringIO()
    with Progress(Console(file=written, width=120), "x").shown() as progress:
        for ended in range(1000):
            progress.draw(snapshot(Counts(succeeded=ended, remaining=1), "open"))
        progress.draw(snapshot(Counts(total=1000, succeeded=1000), result="completed"))
    lines = written.getvalue().splitlines()
    assert 10 < len(lines) < 25
    assert all("growing" in line and "%" not in line for line in lines[:-1])


def test_a_batch_that_waits_says_why() -> None:
    reason = WaitReason("no_worker", "No live worker runs w.")
    now = Snapshot("running", Counts(total=2, remaining=2), None, None, None, {}, waiting=reason)
    assert progress_line("x", now).plain == "x   0% 0/2  waits: No live worker runs w."
    text = StringIO()
    progress = Progress(Console(file=text, width=120), "x")
    with progress.shown():
        for each in (now, now, snapshot(Counts(total=2, succeeded=1, remaining=1)), now):
            progress.draw(each)
    ends = [line.split("  ")[-1] for line in text.getvalue().splitlines()]
    assert ends == ["waits: No live worker runs w.", "waits: No live worker runs w.", "1 succeeded"]
