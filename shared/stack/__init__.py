"""The local stack: three servers and a supervisor of programs, for one project on one machine."""

from shared.stack.component import Name
from shared.stack.errors import AlreadyRunning, ProgramFailed, ServerUnavailable, StackError
from shared.stack.interrupt import interruptible
from shared.stack.ports import free_ports
from shared.stack.program import Backoff, Program
from shared.stack.servers import Servers, shown
from shared.stack.shutdown import erase, shut_down
from shared.stack.stack import Stack, default_home
from shared.stack.supervisor import Supervisor

__all__ = [
    "AlreadyRunning",
    "Backoff",
    "Name",
    "Program",
    "ProgramFailed",
    "ServerUnavailable",
    "Servers",
    "Stack",
    "StackError",
    "Supervisor",
    "default_home",
    "erase",
    "free_ports",
    "interruptible",
    "shown",
    "shut_down",
]
