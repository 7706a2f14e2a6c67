"""A process ends on a signal, whatever its libraries do with it."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from typing import Annotated

import pytest
from pydantic import Field, SecretStr, ValidationError

from shared.runtime.exit_codes import CONFIGURATION, PORT_TAKEN
from shared.runtime.process import wrong_setting
from shared.runtime.settings import Settings
from tests.support.patience import PATIENCE_S

PROGRAM = """
import asyncio, sys
from contextlib import asynccontextmanager
from shared.runtime import process
from shared.runtime.settings import Settings
process.START_GRACE_S, process.GRACE_S = 0.3, 0.6

async def ever(swallow):
    print("waiting", flush=True)
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if not swallow:
                raise

@asynccontextmanager
async def app(settings, runtime):
    if "start" in sys.argv:
        await ever("swallow" in sys.argv)
    print("waiting", flush=True)
    yield
    if "end" in sys.argv:
        await asyncio.Event().wait()

process.run("test", Settings, app)
"""


async def started(*how: str) -> Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        *how,
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, "BATCHYARD_LOG_FORMAT": "json"},
    )
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        assert await process.stdout.readline() == b"waiting\n"
    return process


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ([], 0, b'"event": "stopped"'),
        (["start"], 0, b'"event": "stopped"'),
        (["start", "swallow"], 1, b'"grace_s": 0.3'),
        (["end"], 1, b'"grace_s": 0.6'),
    ],
)
async def test_sigterm_ends_it(how: list[str], code: int, said: bytes) -> None:
    process = await started(*how)
    process.send_signal(signal.SIGTERM)
    try:
        _, errors = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == code
    assert said in errors


@pytest.mark.parametrize(
    ("raised", "code"), [("ConfigurationError", CONFIGURATION), ("PortTaken", PORT_TAKEN), ("OSError", 1)]
)
async def test_an_error_that_no_restart_mends_has_a_code_and_a_line_of_its_own(raised: str, code: int) -> None:
    program = PROGRAM.replace('if "start" in sys.argv:', f'raise {raised}("no\\nuse")\n    if False:')
    program = f"from shared.runtime.errors import ConfigurationError, PortTaken\n{program}"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=PIPE, stderr=PIPE)
    _, err = await process.communicate()
    assert process.returncode == code
    assert (err.decode().splitlines()[-1] == "batchyard test: no use") == (code != 1)


async def test_a_wrong_setting_has_a_code_of_its_own() -> None:
    environment = {**os.environ, "BATCHYARD_LOG_FORMAT": "poem"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, stdout=PIPE, stderr=PIPE, env=environment
    )
    _, err = await process.communicate()
    assert process.returncode == CONFIGURATION
    assert err.decode().startswith("batchyard test: BATCHYARD_LOG_FORMAT takes ")


async def test_a_wrong_part_of_a_setting_is_named_behind_its_variable() -> None:
    class Limited(Settings):
        tokens: dict[str, Annotated[SecretStr, Field(min_length=16)]]

    with pytest.raises(ValidationError) as caught:
        Limited(tokens={"ann": SecretStr("short")})
    (error,) = caught.value.errors()
    assert wrong_setting(error) == "BATCHYARD_TOKENS: `ann` takes at least 16 characters"
