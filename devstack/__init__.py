"""The local stack: three servers and a supervisor of programs, for one project on one machine."""

from devstack.component import Name
from devstack.errors import AlreadyRunning, ProgramFailed, ServerUnavailable, StackError
from devstack.interrupt import run_interruptible
from devstack.ports import free_ports
from devstack.program import Backoff, Program
from devstack.servers import Servers, without_credentials
from devstack.shutdown import erase, shut_down
from devstack.stack import Stack, default_home
from devstack.supervisor import Supervisor

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
    "run_interruptible",
    "shut_down",
    "without_credentials",
]
