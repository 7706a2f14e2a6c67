"""Route that reads no parameters where a request has none, which saves half of the framework's time for a request."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

from fastapi import Request, Response
from fastapi.routing import APIRoute


class DirectRoute(APIRoute):
    """Route whose function returns a response, and whose parameters are the client's owner and optional ones of the
    query, singly or in classes."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the function that serves a request."""
        general, function = super().get_route_handler(), self.endpoint
        owner, *queries = self.dependant.dependencies
        name, find_owner = cast("str", owner.name), cast("Callable[[Request], Awaitable[str]]", owner.call)

        async def serve(request: Request) -> Response:
            if request.scope["query_string"]:
                return await general(request)
            defaults = {cast("str", query.name): cast("type", query.call)() for query in queries}
            response: Response = await function(request, **{name: await find_owner(request)}, **defaults)
            return response

        return serve
