"""Real OSRM and Valhalla servers over a small map.

Their programs are inside the wheels of `osrm-bindings` and `pyvalhalla` (58 MB, 300 MB installed), which only these
tests need: they have a lock of their own (`routing-engines.txt`). The wheels are for Python 3.12 and later; the
programs need no Python.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import aiohttp

from devstack import free_ports
from tests.support.patience import PATIENCE_S
from tests.support.routing_map import map_xml
from tests.support.servers import do_without

LOCK = Path(__file__).with_name("routing-engines.txt")


def installed_engines(home: Path) -> Path:
    """Return the folder with the programs, which is filled at the first call; skip the test where it cannot be."""
    folder = home / f"routing-engines-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    home.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_suffix(".lock")):
        if not folder.exists():
            unfinished = folder.with_suffix(".new")
            shutil.rmtree(unfinished, ignore_errors=True)
            options = ("--require-hashes", "--no-deps", "--only-binary", ":all:", "--python-version", "3.12")
            argv = (sys.executable, "-m", "pip", "install", *options, "--target", str(unfinished), "-r", str(LOCK))
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            if done.returncode:
                do_without(f"The routing engines could not be installed: {done.stderr[-500:]}")
            unfinished.rename(folder)
    return folder


@contextlib.asynccontextmanager
async def running_osrm(engines: Path, folder: Path) -> AsyncIterator[str]:
    """Prepare the map for cars, serve it, and return the address."""
    programs, drawing = engines / "osrm" / "bin", folder / "map.osm"
    drawing.write_text(map_xml(), "utf-8")
    profile = engines / "osrm" / "share" / "profiles" / "car.lua"
    await _run([programs / "osrm-extract", "--threads", "1", "--profile", profile, drawing])
    await _run([programs / "osrm-contract", "--threads", "1", folder / "map.osrm"])
    (port,) = free_ports(1)
    command = [programs / "osrm-routed", "--threads", "1", "--ip", "127.0.0.1", "--port", port, folder / "map.osrm"]
    async with _serving(command, port):
        yield f"http://127.0.0.1:{port}"


@contextlib.asynccontextmanager
async def running_valhalla(engines: Path, folder: Path) -> AsyncIterator[str]:
    """Prepare the map for all modes, serve it, and return the address."""
    programs, drawing, tiles = engines / "valhalla" / "bin", folder / "map.osm", folder / "tiles"
    drawing.write_text(map_xml(), "utf-8")
    tiles.mkdir()
    (port,) = free_ports(1)
    settings = ["--mjolnir-tile-dir", tiles, "--httpd-service-listen", f"tcp://127.0.0.1:{port}"]
    for owner, name in _SOCKETS:
        settings += [f"--{owner}-service-{name}", f"ipc://{folder / owner}-{name}"]
    script = engines / "valhalla" / "valhalla_build_config.py"
    written = json.loads(await _run([sys.executable, script, *settings]))
    config = folder / "valhalla.json"
    config.write_text(json.dumps(written), "utf-8")
    await _run([programs / "valhalla_build_tiles", "-c", config, "-j", "1", drawing])
    async with _serving([programs / "valhalla_service", config, "1"], port):
        yield f"http://127.0.0.1:{port}"


_SOCKETS = (
    *(("httpd", name) for name in ("loopback", "interrupt")),
    *((owner, "proxy") for owner in ("loki", "thor", "odin")),
)


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


async def _run(argv: Sequence[object]) -> bytes:
    program = await asyncio.create_subprocess_exec(
        *map(str, argv), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await program.communicate()
    assert program.returncode == 0, f"{argv[0]}: {(err or out)[-500:].decode('utf-8', 'replace')}"
    return out


@contextlib.asynccontextmanager
async def _serving(argv: Sequence[object], port: int) -> AsyncIterator[None]:
    silent = asyncio.subprocess.DEVNULL
    program = await asyncio.create_subprocess_exec(*map(str, argv), stdout=silent, stderr=silent)
    try:
        async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:
            while not await _answers(session, port):
                assert program.returncode is None, f"{argv[0]} ended with {program.returncode}"
                await asyncio.sleep(0.02)
        yield
    finally:
        if program.returncode is None:
            program.kill()
        await program.wait()


async def _answers(session: aiohttp.ClientSession, port: int) -> bool:
    try:
        async with session.get(f"http://127.0.0.1:{port}/status") as response:
            await response.read()
    except aiohttp.ClientError:
        return False
    return True
