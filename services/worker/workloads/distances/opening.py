"""Opens the resources that all runs of the workload on one worker share, by the settings."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp

from services.worker.workloads.distances.estimate import Estimates
from services.worker.workloads.distances.known_routes import KnownRoutes
from services.worker.workloads.distances.providers.google import MAX_CELLS as GOOGLE_CELLS
from services.worker.workloads.distances.providers.google import Google
from services.worker.workloads.distances.providers.http import MatrixClient
from services.worker.workloads.distances.providers.openrouteservice import MAX_CELLS as ORS_CELLS
from services.worker.workloads.distances.providers.openrouteservice import OpenRouteService
from services.worker.workloads.distances.providers.osrm import MAX_CELLS as OSRM_CELLS
from services.worker.workloads.distances.providers.osrm import Osrm
from services.worker.workloads.distances.providers.provider import DistanceProvider
from services.worker.workloads.distances.providers.valhalla import MAX_CELLS as VALHALLA_CELLS
from services.worker.workloads.distances.providers.valhalla import Valhalla
from services.worker.workloads.distances.routing import Router
from services.worker.workloads.distances.settings import DistancesSettings
from shared.http.session import open_session
from shared.redis.client import RedisClient
from shared.runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class DistanceResources:
    """Resources that all runs share: the estimates, and a router unless only estimates are configured."""

    settings: DistancesSettings
    estimates: Estimates
    router: Router | None = None


def missing_setting() -> str | None:
    """Name the setting that the chosen provider needs and the environment lacks; None when nothing is missing."""
    return DistancesSettings().missing()


@asynccontextmanager
async def open_resources() -> AsyncIterator[DistanceResources]:
    """Open the provider that the settings describe; it is closed with the worker."""
    settings = DistancesSettings()
    async with AsyncExitStack() as stack:
        if settings.provider == "geodesic":
            yield DistanceResources(settings, Estimates(settings))
            return
        session = await stack.enter_async_context(
            open_session(
                aiohttp.TCPConnector(limit=settings.concurrency),
                headers={"User-Agent": "Batchyard/0.1 (distances workload)", "Accept": "application/json"},
                timeout=aiohttp.ClientTimeout(total=settings.timeout_s),
            )
        )
        memory = RedisClient(Settings().redis_url)
        stack.push_async_callback(memory.close)
        known = KnownRoutes(memory, settings.provider, settings.source, settings.decimals, settings.ttl_s)
        router = Router(provider_of(settings, session), known, settings.concurrency)
        yield DistanceResources(settings, Estimates(settings), router)


def provider_of(settings: DistancesSettings, session: aiohttp.ClientSession) -> DistanceProvider:
    """Return the provider that the settings name."""
    client, cells = MatrixClient(session, settings.base_url, settings.provider), settings.max_cells
    snap_m = settings.snap_m
    match settings.provider:
        case "google":
            return Google(client, settings.key, cells or GOOGLE_CELLS)
        case "valhalla":
            return Valhalla(client, snap_m, cells or VALHALLA_CELLS)
        case "openrouteservice":
            return OpenRouteService(client, settings.key, snap_m, cells or ORS_CELLS)
        case _:
            urls = settings.mode_urls.items()
            clients = {mode: MatrixClient(session, url, settings.provider) for mode, url in urls if url}
            return Osrm(clients, snap_m, cells or OSRM_CELLS)
