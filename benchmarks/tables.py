"""Tables as rows of text, for the console and the documentation."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.findings import Findings, Found
from benchmarks.report import LOADED_SHARE, number, others_shares
from benchmarks.targets import verdicts

_NONE = "-"
_SIZES = ("10k", "100k", "1m")


@dataclass(frozen=True, slots=True)
class Text:
    """A table."""

    headers: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def comparison(findings: Findings) -> Text:
    """One row for each contestant and each limit: all that was measured of it."""
    headers = (
        *("system", "10k, items/s", "100k, items/s", "1M, items/s", "sleeping items/s", "one item, ms: p50 / p99"),
        *("MB at 10k / 100k / 1M", "us of CPU per item"),
    )
    rows = [_contestant(findings, name, each) for name, each in findings.contestants.items()]
    limits = [limit for name in ("publish_consume", "insert") if (limit := findings.at("limits", name))]
    rows += [(limit["title"], _NONE, _spread(limit["items_per_s"]), *(_NONE,) * 5) for limit in limits]
    return Text(headers, rows)


def small(findings: Findings) -> Text:
    """One row for each contestant that was given many small batches."""
    rows = []
    for each in findings.contestants.values():
        works = [each["works"].get(name) for name in ("ones", "tens")]
        if any(works):
            rates = (_spread(work["batches_per_s"]) if work else _NONE for work in works)
            costs = (number(work["cpu_ms_per_batch"]["all"]) if work else _NONE for work in works)
            rows.append((each["title"], *rates, " / ".join(costs)))
    headers = ("system", "batches of 1 a second", "batches of 10 a second", "ms of CPU per batch of 1 / of 10")
    return Text(headers, rows)


def costs(findings: Findings) -> Text:
    """One row for each contestant: processor time of an item of 100,000, and of a batch of one, by process."""
    rows = []
    for each in findings.contestants.values():
        item = each["works"].get("100k", {}).get("cpu_us_per_item")
        single = each.get("single_cpu_ms")
        if item or single:
            rows.append((each["title"], _by_role(item), _by_role(single)))
    return Text(("system", "one item of 100,000, us", "one batch of one item, ms"), rows)


def targets(findings: Findings) -> Text:
    """Table of the targets, each with its verdict."""
    rows = [
        (v.target.title, f"{number(v.value)} {v.target.unit}".rstrip(), v.target.text(), "yes" if v.met else "no")
        for v in verdicts(findings)
    ]
    return Text(("target", "measured", "required", "met"), rows)


def scale(findings: Findings) -> Text:
    """One row for each number of items."""
    rows = []
    for size in _SIZES:
        if of := findings.at("scale", "curve", size):
            waiting = of["messages_waiting"]
            rows.append(
                (
                    f"{of['items']:,}",
                    _spread(of["items_per_s"]),
                    _spread(of["submit_s"]),
                    _spread(of["resident_mb"]),
                    ", ".join(f"{role} {mb:g}" for role, mb in of["resident_mb_by_role"].items()),
                    f"{waiting['together']:,}",
                )
            )
    return Text(
        ("items", "items/s", "accepted after, s", "MB, five services", "MB, highest of each", "messages waiting"), rows
    )


def later(findings: Findings) -> Text:
    """Table of the batches that are submitted while others run."""
    urgent = findings.at("scale", "urgent_ms")
    rows = []
    if urgent:
        rows.append(
            (
                "10 immediate items behind a running million: submitted to finished, ms",
                _spread(urgent),
                number(urgent["p99"]),
            )
        )
    for name, title in _FAIR.items():
        if summary := findings.at("scale", "fairness", name):
            rows.append((f"owner with 1,000 items beside one with 100,000: {title}", _spread(summary), ""))
    return Text(("measurement", "median (min - max)", "p99"), rows)


def latencies(findings: Findings) -> Text:
    """Table of the latencies of a submitter and a watcher."""
    rows = []
    for figure in (findings.at("numbers", "figures") or {}).values():
        target = figure["target"]
        bound = f"{target['statistic']} < {target['below']:,g} {figure['unit']}" if target else ""
        met = "" if target is None else "yes" if target["met"] else "no"
        p99 = number(figure["p99"]) if figure["samples"] >= 100 else ""
        rows.append((figure["title"], f"{_spread(figure)} {figure['unit']}", p99, bound, met))
    return Text(("measurement", "median (min - max)", "p99", "target", "met"), rows)


def rates(findings: Findings) -> Text:
    """The adaptive rate beside fixed limits."""
    found = findings.documents.get("rates", {})
    if "ideal_share" not in found:
        return Text((), ())
    chosen = found["best_fixed"]["per_second"]
    rows = [("adaptive", f"{found['ideal_share']:.1%}", f"{found['refused_share']:.2%}")]
    for each in found["fixed"]:
        name = f"{number(each['per_second'])}/s" + (", the best fixed one" if each["per_second"] == chosen else "")
        rows.append((name, f"{each['ideal_share']:.1%}", f"{each['refused_share']:.2%}"))
    return Text(("limit", "answers, share of the capacity", "calls refused"), rows)


def unbound(findings: Findings) -> Text:
    """Table of the cost of limits that do not bind."""
    found = findings.at("rates", "limits_items_per_s")
    if not found:
        return Text((), ())
    rows = [(f"{name} a limit", _spread(found[name])) for name in ("without", "with")]
    return Text(("100,000 trivial items", "items/s"), [*rows, ("cost", f"{findings.at('rates', 'limits_cost'):.1%}")])


def distances(findings: Findings) -> Text:
    """One row for each provider and size of chunks."""
    rows = []
    for name, title in {"embedded": "estimates", "router": "router"}.items():
        for size, found in (findings.at("distances", name) or {}).items():
            if "pairs_per_s" in found:
                small, calls = found["small_ms"], found.get("pairs_per_call")
                times = f"{number(small['median'])} / {number(small['p95'])}"
                rows.append(
                    (title, size, _spread(found["pairs_per_s"]), times, _NONE if calls is None else number(calls))
                )
    return Text(("computed by", "chunk size", "pairs/s", "100 pairs, ms: p50 / p95", "pairs per call"), rows)


def million_pairs(findings: Findings) -> Text:
    """One row."""
    found = findings.at("distances", "million")
    if not found:
        return Text((), ())
    headers = ("accepted, s", "ended, s", "pairs/s", "all results read, s", "MB, five services", "us of CPU per pair")
    row = (
        number(found["accepted_s"]),
        number(found["ended_s"]),
        number(found["pairs_per_s"]),
        number(found["read_s"]),
        number(sum(found["resident_mb"].values())),
        number(found["cpu_us_per_pair"]["all"]),
    )
    return Text(headers, [row])


def recommendations(findings: Findings) -> Text:
    """One row for each circumstance."""
    rows = [
        (name, number(found["median"]), number(found["p95"]), number(found["max"]), f"{found['in_time']:.0%}")
        for name, found in (findings.at("distances", "recommendations_ms") or {}).items()
    ]
    return Text(("computed by", "p50, ms", "p95, ms", "max, ms", "answered in time"), rows)


def left_out(findings: Findings) -> list[str]:
    """A line for each peer that was not measured."""
    return [f"{name} was left out: {why}" for name, why in findings.left_out.items()]


def measured(findings: Findings, document: str) -> str:
    """A line that says on what, and how much of the machine others took."""
    on = findings.at(document, "machine") or {}
    servers = ", ".join(f"{title} {on[name]}" for name, title in _SERVERS.items() if name in on)
    shares = others_shares(findings.documents.get(document, {}))
    taken = f"; other programs took up to {max(shares):.0%} of the processors during a run" if shares else ""
    if shares and max(shares) > LOADED_SHARE:
        taken = f"; **the machine was loaded**: {taken.removeprefix('; ')}"
    return f"{on.get('measured_at', '')[:10]}: {on.get('cores')} cores, {servers}, Python {on.get('python')}{taken}."


def dates(findings: Findings) -> str:
    """A line that says when the tables were measured."""
    found = _dates(findings)
    if len(set(found.values())) == 1:
        return f"All tables were measured on {min(found.values())}."
    each = ", ".join(f"{name} {date}" for name, date in found.items())
    return f"The tables were not measured on one day, so do not compare them: {each}." if found else ""


def has_one_date(findings: Findings) -> bool:
    """Tell whether all tables were measured on one day."""
    return len(set(_dates(findings).values())) <= 1


def _dates(findings: Findings) -> dict[str, str]:
    machines = {name: document.get("machine", {}) for name, document in findings.documents.items()}
    return {name: on["measured_at"][:10] for name, on in machines.items() if "measured_at" in on}


_FAIR = {
    "share": "its share of the items that ended between its first and its last",
    "first_s": "accepted to first end, s",
    "last_s": "accepted to last end, s",
}
_SERVERS = {"rabbitmq": "RabbitMQ", "postgres": "PostgreSQL", "redis": "Redis"}


def _contestant(findings: Findings, name: str, each: Found) -> tuple[str, ...]:
    works: Found = dict(each["works"])
    if name == "batchyard":
        works |= {"1m": findings.at("scale", "curve", "1m")} if findings.at("scale", "curve", "1m") else {}
    title = each["title"] if each["kind"] != "no outcome per item" else f"{each['title']}, no outcome per item"
    single = each["single_ms"]
    biggest: Found = next((works[size] for size in reversed(_SIZES[:2]) if size in works), {})
    return (
        title,
        *(_spread(works[work]["items_per_s"]) if work in works else _NONE for work in (*_SIZES, "naps")),
        f"{number(single['median'])} / {number(single['p99'])}" if single else _NONE,
        " / ".join(number(works[size]["resident_mb"]["median"]) for size in _SIZES if size in works) or _NONE,
        number(biggest["cpu_us_per_item"]["all"]) if biggest else _NONE,
    )


def _by_role(costs: Found | None) -> str:
    if not costs:
        return _NONE
    roles = sorted((role for role in costs if role != "all"), key=lambda role: -costs[role])
    return f"{number(costs['all'])}: {', '.join(f'{role} {number(costs[role])}' for role in roles if costs[role])}"


def _spread(summary: Found) -> str:
    return f"{number(summary['median'])} ({number(summary['min'])} - {number(summary['max'])})"
