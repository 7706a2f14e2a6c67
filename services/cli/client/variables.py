"""Environment variables that the command line itself reads, beside those of the services."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Variable:
    """Variable with its meaning, as `docs/settings.md` shows it."""

    name: str
    meaning: str
    default: str
    example: str
    is_secret: bool = False


URL = Variable(
    "BATCHYARD_URL",
    "address of the HTTP API that the commands use; `--url` goes before it",
    "the local cluster of BATCHYARD_HOME",
    "https://batchyard.example.com",
)
TOKEN = Variable(
    "BATCHYARD_TOKEN",
    "API key for BATCHYARD_URL, or for the local cluster; it is sent to no other address",
    "that of the local cluster",
    "by_live_0aB1cD2e…",
    is_secret=True,
)
OPERATOR_KEY = Variable(
    "BATCHYARD_OPERATOR_KEY",
    "API key that the commands of operators use; `batchyard up` makes it the key of the operator",
    "that of the local cluster, else BATCHYARD_TOKEN",
    "by_live_0aB1cD2e…",
    is_secret=True,
)
CLEAR = Variable(
    "BATCHYARD_ALLOW_CLEAR_PASSWORDS",
    "`true`: send an API key to another machine by http:// as well, with a warning",
    "false",
    "true",
)
HOME = Variable(
    "BATCHYARD_HOME",
    "folder of the local cluster: data and logs of its servers, its address, the key that signs webhooks; workers keep "
    "files of workloads below it",
    ".batchyard in the checkout",
    "/var/lib/batchyard",
)
LOCAL_SERVERS = Variable(
    "BATCHYARD_LOCAL_SERVERS",
    "addresses of the servers that `batchyard up` started; `batchyard env` sets it, so that a later `up` does not take "
    "them for servers of somebody else",
    "none",
    "amqp://guest:guest@127.0.0.1:5672/",
    is_secret=True,
)
STATE_HOME = Variable(
    "XDG_STATE_HOME",
    "folder below which the command line remembers the batch that `last` means",
    "~/.local/state",
    "/home/ann/.local/state",
)
VARIABLES = (URL, TOKEN, OPERATOR_KEY, CLEAR, HOME, LOCAL_SERVERS, STATE_HOME)
