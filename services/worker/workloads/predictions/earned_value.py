"""Earned value and earned schedule: indices of a project, and its end by each formula.

CPI, SPI, EAC and TCPI: Project Management Institute, The Standard for Earned Value Management (2019). ES, SPI(t),
IEAC(t) and TSPI: W. Lipke, "Schedule is Different", The Measurable News (2003).
"""

from collections.abc import Sequence

from services.worker.workloads.predictions.model import Indices, Project

_TINY = 1e-9


def indices_of(project: Project) -> Indices:
    """Return the indices of a project at its last reported values."""
    budget, at = project.budget, project.periods_elapsed
    ev, ac = project.earned_value[-1], project.actual_cost[-1]
    pv = planned_at(project.planned_value, at)
    es, planned = earned_schedule(project.planned_value, ev), float(len(project.planned_value))
    undefined: dict[str, str] = {}

    def ratio(name: str, above: float, below: float, why: str) -> float | None:
        if below > _TINY * budget and above >= 0:
            return above / below
        undefined[name] = why
        return None

    done = project.is_complete
    over = "The work is complete." if done else "The budget is spent."
    late = "The work is complete." if done else "The planned end has passed."
    cpi = ratio("cpi", ev, ac, "Nothing was spent yet.")
    spi = ratio("spi", ev, pv, "Nothing was planned until now.")
    return Indices(
        percent_complete=100 * ev / budget,
        cost_variance=ev - ac,
        schedule_variance=ev - pv,
        cpi=cpi,
        spi=spi,
        earned_schedule=es,
        schedule_variance_time=es - at,
        spi_time=es / at,
        tcpi_budget=None if done else ratio("tcpi_budget", budget - ev, budget - ac, over),
        tspi=None if done else (planned - es) / (planned - at) if planned - at > _TINY else None,
        undefined=undefined
        | ({"tcpi_budget": over, "tspi": late} if done else {"tspi": late} if planned - at <= _TINY else {}),
    )


def final_costs(project: Project, indices: Indices) -> dict[str, float]:
    """Return the estimate at completion by each formula that can be used."""
    budget, ev, ac = project.budget, project.earned_value[-1], project.actual_cost[-1]
    rest = budget - ev
    found = {"one_off": ac + rest}
    if indices.cpi and indices.cpi > _TINY:
        found["cpi"] = ac + rest / indices.cpi
        if indices.spi and indices.spi > _TINY:
            found["cpi_spi"] = ac + rest / (indices.cpi * indices.spi)
    if project.estimate_to_complete is not None:
        found["own_estimate"] = ac + project.estimate_to_complete
    return found


def durations(project: Project, indices: Indices) -> dict[str, float]:
    """Return the whole duration in periods by each formula that can be used; never shorter than the elapsed time."""
    at, planned = project.periods_elapsed, float(len(project.planned_value))
    rest = planned - indices.earned_schedule
    found = {"rest_as_planned": at + rest}
    if indices.spi_time and indices.spi_time > _TINY:
        found["spi_time"] = at + rest / indices.spi_time
    if indices.cpi and indices.spi_time and indices.cpi * indices.spi_time > _TINY:
        found["spi_time_cpi"] = at + rest / (indices.spi_time * indices.cpi)
    return found


def earned_schedule(planned: Sequence[float], earned: float) -> float:
    """The time, in periods, at which so much should have been earned: C + I.

    Of several moments with the same planned value it is the last.
    """
    if earned >= planned[-1] * (1 - _TINY):
        return float(len(planned))
    whole = 0
    while whole < len(planned) and planned[whole] <= earned:
        whole += 1
    before = planned[whole - 1] if whole else 0.0
    step = planned[whole] - before
    return whole + (earned - before) / step if step > 0 else float(whole)


def planned_at(planned: Sequence[float], periods: float) -> float:
    """Return the planned value at a moment, interpolated between the ends of periods."""
    if periods >= len(planned):
        return planned[-1]
    whole = int(periods)
    before = planned[whole - 1] if whole else 0.0
    return before + (planned[whole] - before) * (periods - whole)
