"""Checks a workload against the rules: `python -m services.worker.conformance FILE`, run by `batchyard workload test`.

Exit code 0: no check failed; 1: one did; 2: the file or an argument is wrong.
"""

import argparse
import asyncio
import logging
import sys
from dataclasses import asdict
from typing import Any

import orjson
import structlog
import uvloop
from pydantic_core import from_json

from services.worker.conformance.bench import Bench
from services.worker.conformance.checks import CheckResult, check
from services.worker.loading.registry import AnyWorkload
from services.worker.loading.workload_file import load
from shared.runtime.errors import ConfigurationError

_LABELS = {"passed": "ok     ", "failed": "FAILED ", "skipped": "-      "}


def main() -> None:
    """Check every workload of the file."""
    parser = argparse.ArgumentParser(prog="batchyard workload test")
    parser.add_argument("file")
    parser.add_argument("--item", type=from_json, help="an item as JSON, in place of the example")
    parser.add_argument("--json", action="store_true", help="one JSON object for each check, a line each")
    arguments = parser.parse_args()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL)
    )  # the results contain everything
    try:
        good = uvloop.run(_check_all(load(arguments.file), arguments.item, as_json=arguments.json))
    except ConfigurationError as error:
        sys.stderr.write(f"batchyard: {error}\n")
        sys.exit(2)
    sys.stdout.flush()
    sys.exit(0 if good else 1)


async def _check_all(workloads: list[AnyWorkload], item: dict[str, Any] | None, *, as_json: bool) -> bool:
    good = True
    for workload in workloads:
        try:
            place = workload.handler_definition.place
        except TypeError as error:
            raise ConfigurationError(str(error)) from error
        async with workload.lifespan() as resources:
            results = await check(Bench(workload, resources), item)
        good &= all(result.mark != "failed" for result in results)
        if as_json:
            for result in results:
                _write(orjson.dumps({"workload": workload.name, **asdict(result)}).decode())
        else:
            _show(workload, place, results)
        await asyncio.sleep(0)  # lets closed resources be released
    return good


def _show(workload: AnyWorkload, place: str, results: list[CheckResult]) -> None:
    unit = "chunk" if workload.handler_definition.whole_chunk else "item"
    where = {"loop": "on the event loop", "thread": "in a thread", "process": "in a process of its own"}[place]
    _write(f"{workload.name} {workload.manifest.version}: one {unit} at a time, {where}")
    for result in results:
        _write(f"  {_LABELS[result.mark]} {result.check:<11} {result.detail}")
    marks = [result.mark for result in results]
    tail = f", {marks.count('skipped')} not tried" if "skipped" in marks else ""
    _write(f"{len(marks)} checks: {marks.count('passed')} passed, {marks.count('failed')} failed{tail}")


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
