"""Says on what a figure was measured, so that two of them can be compared or not."""

import os
import platform
from datetime import UTC, datetime
from typing import Any

import psutil


def described() -> dict[str, Any]:
    """The machine at this moment, without anything that names it."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }
