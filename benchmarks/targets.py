"""Targets of Batchyard, mostly ratios within one run, which hardly depend on the machine."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.findings import Findings
from benchmarks.report import number
from benchmarks.work import NAPS, NAPS_IDEAL_S

_ME = "batchyard"
_CHUNKS = ("celery_chunks_100", "celery_chunks_1000")


@dataclass(frozen=True, slots=True)
class Target:
    """One row of the table."""

    name: str
    title: str
    sense: Literal[">=", "<=", "<"]
    bound: float
    value: Callable[[Findings], float | None]
    unit: str = ""

    def met(self, value: float) -> bool:
        """Return True when the value reaches the target."""
        return {">=": value >= self.bound, "<=": value <= self.bound, "<": value < self.bound}[self.sense]

    def text(self) -> str:
        """Return the target as text."""
        return f"{self.sense} {number(self.bound)} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Verdict:
    """A measured value beside its target."""

    target: Target
    value: float

    @property
    def met(self) -> bool:
        """Return True when the target is met."""
        return self.target.met(self.value)

    def document(self) -> dict[str, Any]:
        """Return the verdict as JSON has it."""
        return {"title": self.target.title, "value": self.value, "target": self.target.text(), "met": self.met}


def verdicts(findings: Findings) -> list[Verdict]:
    """All targets about which something was measured."""
    return [Verdict(t, round(value, 4)) for t in TARGETS if (value := t.value(findings)) is not None]


def _ratio(one: float | None, other: float | None) -> float | None:
    return None if one is None or not other else one / other


def _against(work: str, *others: str) -> Callable[[Findings], float | None]:
    return lambda f: _ratio(f.rate(_ME, work), f.best_rate(others, work))


def _against_peers(work: str) -> Callable[[Findings], float | None]:
    return lambda f: _ratio(f.rate(_ME, work), f.best_rate(f.per_item_peers(), work))


def _single(contestant: str, statistic: str) -> Callable[[Findings], float | None]:
    def value(findings: Findings) -> float | None:
        ms: float | None = findings.at("comparison", "contestants", contestant, "single_ms", statistic)
        return ms

    return value


def _kept(document: str, *path: str) -> Callable[[Findings], float | None]:
    def value(findings: Findings) -> float | None:
        found: float | None = findings.at(document, *path)
        return found

    return value


def _batches(work: str) -> Callable[[Findings], float | None]:
    return lambda f: f.work(_ME, work, "batches_per_s", "median")


def _figure(name: str, statistic: str = "median") -> Callable[[Findings], float | None]:
    return _kept("numbers", "figures", name, statistic)


def _scale(*path: str) -> Callable[[Findings], float | None]:
    return _kept("scale", *path)


def _of(
    one: Callable[[Findings], float | None], other: Callable[[Findings], float | None]
) -> Callable[[Findings], float | None]:
    return lambda f: _ratio(one(f), other(f))


def _naps_against_ideal(findings: Findings) -> float | None:
    return _ratio(NAPS.items / NAPS_IDEAL_S, findings.rate(_ME, NAPS.name))


def _simulated_eta(key: str, worst: Callable[[Iterable[float]], float]) -> Callable[[Findings], float | None]:
    """Return the worst value of the seeds."""
    return lambda f: worst(one[key] for one in scores) if (scores := f.at("eta", "simulated")) else None


_ETA: tuple[tuple[str, str, str, Literal[">=", "<="], float, Callable[[Iterable[float]], float]], ...] = (
    ("under_p90_min", "share of ends under p90, fewest of five seeds", "under_p90", ">=", 0.85, min),
    ("under_p90_max", "share of ends under p90, most", "under_p90", "<=", 0.95, max),
    ("inside_min", "share of ends between p10 and p90, fewest", "inside", ">=", 0.75, min),
    ("inside_max", "share of ends between p10 and p90, most", "inside", "<=", 0.85, max),
    ("gain", "pinball loss saved against the linear guess, least", "gain", ">=", 0.3, min),
)
_MILLION, _HUNDRED = (("curve", size) for size in ("1m", "100k"))
_MEMORY = ("resident_mb", "median")

TARGETS = (
    Target("10k_celery", "10k: ratio to Celery's best with an outcome per item", ">=", 30, _against("10k", "celery")),
    Target("10k_peers", "10k: ratio to the fastest peer with an outcome per item", ">=", 4, _against_peers("10k")),
    Target("10k_chunks", "10k: ratio to Celery `chunks` at its best size", ">=", 1, _against("10k", *_CHUNKS)),
    Target("100k_limit", "100k: share of the bare pipeline's rate", ">=", 0.8, _against("100k", "chunk_limit_100")),
    Target("naps_ideal", "1,000 sleeping items: ratio to the ideal 0.5 s", "<=", 1.12, _naps_against_ideal),
    Target("naps_peers", "1,000 sleeping items: ratio to the fastest peer's rate", ">=", 1, _against_peers("naps")),
    Target("small_ones", "1,000 batches of one item: batches a second", ">=", 500, _batches("ones")),
    Target("small_tens", "1,000 batches of ten items: batches a second", ">=", 400, _batches("tens")),
    Target(
        "small_cost",
        "1,000 batches of one item: processor time of a batch",
        "<=",
        4,
        lambda f: f.work(_ME, "ones", "cpu_ms_per_batch", "all"),
        "ms",
    ),
    Target(
        "single_road",
        "one item, idle: p50 as a multiple of the bare road's",
        "<=",
        1.25,
        _of(_single(_ME, "median"), _single("bare_road", "median")),
    ),
    Target(
        "single_p99",
        "one item, idle: p99 as a multiple of p50",
        "<",
        2,
        _of(_single(_ME, "p99"), _single(_ME, "median")),
    ),
    Target("1m_accepted", "1M: time until accepted, slowest run", "<", 30, _scale(*_MILLION, "submit_s", "max"), "s"),
    Target(
        "1m_rate",
        "1M: rate as a share of the rate of 100k",
        ">=",
        0.8,
        _of(_scale(*_MILLION, "items_per_s", "median"), _scale(*_HUNDRED, "items_per_s", "median")),
    ),
    Target("1m_memory", "1M: five services together, highest", "<", 600, _scale(*_MILLION, "resident_mb", "max"), "MB"),
    Target(
        "1m_memory_10k",
        "1M: memory as a multiple of the memory of 10k",
        "<=",
        1.1,
        _of(_scale(*_MILLION, *_MEMORY), _scale("curve", "10k", *_MEMORY)),
    ),
    Target(
        "1m_waiting",
        "1M: messages waiting in RabbitMQ, at most",
        "<=",
        500,
        _scale(*_MILLION, "messages_waiting", "together"),
    ),
    Target("urgent_p99", "10 immediate items behind a million: p99", "<", 1000, _scale("urgent_ms", "p99"), "ms"),
    Target(
        "fair_share",
        "an owner's share, 1k items beside another's 100k, equal weights",
        ">=",
        0.45,
        _scale("fairness", "share", "median"),
    ),
    Target(
        "hostile_ratio",
        "a small batch beside a hostile owner: p99, ratio to that beside a harmless one",
        "<=",
        1.5,
        _kept("hostile", "worst", "ratio"),
    ),
    Target(
        "hostile_p99",
        "a small batch beside a hostile owner: p99",
        "<",
        1000,
        _kept("hostile", "worst", "p99_ms"),
        "ms",
    ),
    Target(
        "rates_ideal",
        "changing capacity: answers of the adaptive rate, share of the capacity",
        ">=",
        0.9,
        _kept("rates", "ideal_share"),
    ),
    Target("rates_refused", "changing capacity: share of calls refused", "<=", 0.01, _kept("rates", "refused_share")),
    Target(
        "recommend_p95",
        "recommendations among 100 contractors, by estimates, over HTTP: p95",
        "<",
        40,
        _kept("distances", "recommendations_ms", "embedded", "p95"),
        "ms",
    ),
    Target(
        "recommend_beside_p95",
        "the same beside 200,000 running pairs: p95",
        "<",
        100,
        _kept("distances", "recommendations_ms", "embedded, beside a large batch", "p95"),
        "ms",
    ),
    *(
        Target(
            f"pairs_{name}",
            f"a million pairs from a file: {what}",
            "<",
            below,
            _kept("distances", "million", name),
            "s",
        )
        for name, what, below in (("accepted_s", "accepted", 25), ("ended_s", "ended", 40), ("read_s", "read", 15))
    ),
    *(
        Target(
            f"results_{name}", f"100,000 results by HTTP as {name.upper()}", "<", below, _figure(f"results_{name}"), "s"
        )
        for name, below in (("ndjson", 1.5), ("csv", 2))
    ),
    Target(
        "pss_mb",
        "five services during 1,000 tracklist URLs, shared pages once: highest",
        "<",
        450,
        _figure("pss_mb", "max"),
        "MB",
    ),
    *(
        Target(f"eta_{name}", f"forecasts of ends, {title}", sense, bound, _simulated_eta(key, worst))
        for name, title, key, sense, bound, worst in _ETA
    ),
    Target(
        "limits_cost",
        "100k with a limit that does not bind: share of the rate lost",
        "<=",
        0.05,
        _kept("rates", "limits_cost"),
    ),
)
"""In the order of the table."""
