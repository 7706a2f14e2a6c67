"""The link that signs a browser in to the dashboard, once."""

import msgspec

from services.cli.client.address import Address
from services.cli.client.api import Api


def sign_in_link(address: Address) -> str:
    """Return a new link for the key of an address; raises `CliError`."""
    path: str = msgspec.json.decode(Api(address).send("POST", "/session/links"))["path"]
    return f"{address.url}{path}"
