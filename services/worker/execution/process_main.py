"""`python -m services.worker.execution.process_main FD`: imports a handler and runs it for `process_pool`.

It ends when the worker that started it is gone, even while a handler runs.
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from importlib import import_module
from operator import attrgetter
from queue import SimpleQueue
from threading import Thread
from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json

from batchyard_contracts.v1.work import ChunkReady
from services.worker.domain.outcome import Outcome, encode_outcome
from services.worker.execution.handler_call import HandlerCall

HEADER_BYTES = 8
AT_MOST_ONCE = b"1"


def main() -> None:
    """Serve requests until the socket is closed."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # signals are for the worker, which then ends this process
    with socket.socket(fileno=int(sys.argv[1])) as line, line.makefile("rwb") as stream:
        incoming: SimpleQueue[bytes] = SimpleQueue()
        Thread(target=_read, args=(stream, incoming), daemon=True).start()
        try:
            function, model, result_model, whole_chunk = _load(from_json(incoming.get()))
        except Exception as error:  # noqa: BLE001  imports run user code
            _write(stream, f"{type(error).__name__}: {error}".encode())
            os._exit(1)  # the reading thread would block another exit
        _write(stream, b"")
        while True:
            request = incoming.get()
            chunk, at_most_once = ChunkReady.decode(request[1:]), request[:1] == AT_MOST_ONCE
            call = HandlerCall(model, chunk, chunk.items, result_model=result_model, at_most_once=at_most_once)
            outcomes = _run(function, call, whole_chunk=whole_chunk)
            _write(stream, b"[" + b",".join(map(encode_outcome, outcomes)) + b"]")


def _run(function: Callable[..., Any], call: HandlerCall, *, whole_chunk: bool) -> list[Outcome]:
    started = time.monotonic()
    answers: Any = []
    try:
        if whole_chunk and call.items:
            answers = function(call.payloads, call.contexts)
        elif call.items:
            answers = [function(call.payloads[0], call.contexts[0])]
    except (Exception, SystemExit) as error:  # noqa: BLE001  user code never ends the process by raising
        return call.error_outcomes(error, time.monotonic() - started)
    return call.outcomes(answers, time.monotonic() - started)


def _load(request: dict[str, Any]) -> tuple[Callable[..., Any], type[BaseModel], type[BaseModel], bool]:
    sys.path[:] = request["path"]
    try:
        result_model: type[BaseModel] = _import(request["result"])
    except AttributeError:  # a model that has no name in its module, as a generic one
        result_model = BaseModel
    return _import(request["function"]), _import(request["item"]), result_model, request["whole_chunk"]


def _import(name: str) -> Any:
    module, _, path = name.partition(":")
    return attrgetter(path)(import_module(module))


def _read(stream: Any, incoming: "SimpleQueue[bytes]") -> None:
    while len(header := stream.read(HEADER_BYTES)) == HEADER_BYTES:
        incoming.put(stream.read(int.from_bytes(header, "big")))
    os._exit(0)


def _write(stream: Any, body: bytes) -> None:
    stream.write(len(body).to_bytes(HEADER_BYTES, "big") + body)
    stream.flush()


if __name__ == "__main__":
    main()
