"""Judges how likely a project misses plan or budget, by thresholds that are named in the reasons.

Above 1.10 the performance that the rest needs is seldom reached: W. Lipke, "Examination of the threshold for the
to-complete indexes", PM World Journal (2016).
"""

from services.worker.workloads.predictions.model import Indices, Project, RiskPrediction

_HIGH, _MEDIUM, _INDEX, _SLIP = 1.10, 1.05, 0.95, 0.20
METHOD = "to-complete indices and slip against thresholds"


def risk_of(project: Project, indices: Indices) -> RiskPrediction:
    """Return the level of the risk and all reasons for it."""
    if project.is_complete:
        return RiskPrediction(level="low", confidence="high", method=METHOD, reasons=["The work is complete."])
    high, medium = _needed(indices)
    planned = len(project.planned_value)
    if indices.spi_time and indices.spi_time > 1e-3 and 1 / indices.spi_time - 1 > _SLIP:
        slip = 100 * (1 / indices.spi_time - 1)
        high.append(f"At this pace it takes {slip:.0f} % longer than the {planned} periods planned (limit 20 %).")
    for name, value in (("CPI", indices.cpi), ("SPI(t)", indices.spi_time)):
        if value is not None and 0 < value < _INDEX:
            medium.append(f"{name} is {value:.2f}, below 0.95.")
    confidence = "low" if indices.percent_complete < 20 else "medium"
    if high:
        return RiskPrediction(level="high", confidence=confidence, method=METHOD, reasons=[*high, *medium])
    if not project.earned_value[-1] or not project.actual_cost[-1]:
        why = "Nothing was earned yet." if not project.earned_value[-1] else "Nothing was spent yet."
        return RiskPrediction(level="unknown", confidence="low", method=METHOD, reasons=[why, *medium])
    if medium:
        return RiskPrediction(level="medium", confidence=confidence, method=METHOD, reasons=medium)
    return RiskPrediction(level="low", confidence=confidence, method=METHOD, reasons=["No threshold is reached."])


def _needed(indices: Indices) -> tuple[list[str], list[str]]:
    high, medium = [], []
    for name, value, gone in (
        ("TCPI", indices.tcpi_budget, indices.undefined.get("tcpi_budget")),
        ("TSPI", indices.tspi, indices.undefined.get("tspi")),
    ):
        if gone:
            high.append(f"{gone} There is work left.")
        elif value is not None and value > _HIGH:
            high.append(f"{name} is {value:.2f}: the rest needs a performance above 1.10, which is seldom reached.")
        elif value is not None and value > _MEDIUM:
            medium.append(f"{name} is {value:.2f}, above 1.05.")
    return high, medium
