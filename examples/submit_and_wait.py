"""Submit ten items, watch them and read the results, with the client of batchyard-contracts[client]."""

import asyncio
import os
import sys

from batchyard_contracts.client import Client
from batchyard_contracts.ids import new_batch_id
from batchyard_contracts.v1.events import BatchFinished, BatchProgressed


async def main(url: str) -> int:
    async with Client.connect(url) as client:
        batch_id = new_batch_id()
        async with client.events(batch_id) as events:  # before the submit, so that nothing is missed
            await client.submit("noop", [{"n": n} for n in range(10)], batch_id=batch_id, name="ten squares")
            async for event in events:
                if isinstance(event, BatchProgressed | BatchFinished):
                    print(f"{event.counts.ended} of {event.counts.total}")
        finished = await client.wait(batch_id, 60)  # alone it would do too: what has passed is asked for
        async for item in client.results(batch_id):
            print(item.ordinal, item.status, item.result)
    return 0 if finished.result == "completed" else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(os.environ.get("BATCHYARD_AMQP_URL", "amqp://guest:guest@127.0.0.1/"))))
