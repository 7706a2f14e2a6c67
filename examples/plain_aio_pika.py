"""A submission with aio-pika and nothing of Batchyard: the messages are the interface (`contracts/asyncapi.json`)."""

import asyncio
import json
import os
import sys
import uuid
from datetime import UTC, datetime
from typing import Any

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

SUBMIT = {"workload": "noop", "items": [{"payload": {"n": n}} for n in range(10)], "name": "ten squares"}


async def main(url: str) -> int:
    listening, publishing = await aio_pika.connect(url), await aio_pika.connect(url)
    async with listening, publishing:
        events = await subscribe(listening, "batch.finished.v1.noop.default")
        receipt = await submit(publishing, SUBMIT)
        print("accepted:", receipt["batch_id"])
        async with asyncio.timeout(60), events.iterator() as finished:
            async for message in finished:
                async with message.process():
                    event = json.loads(message.body)
                if event["batch_id"] == receipt["batch_id"]:
                    print("finished:", event["result"], event["counts"])
                    return 0 if event["result"] == "completed" else 1
    return 1


async def subscribe(connection: aio_pika.abc.AbstractConnection, routing_key: str) -> aio_pika.abc.AbstractQueue:
    """A queue of our own, bound to the events that we want."""
    channel = await connection.channel()
    queue = await channel.declare_queue(exclusive=True, auto_delete=True)
    await queue.bind("batchyard.events", routing_key)
    return queue


async def submit(connection: aio_pika.abc.AbstractConnection, command: dict[str, Any]) -> dict[str, Any]:
    """Publish persistently, and let the broker confirm it; the answer says whether Batchyard took it."""
    channel = await connection.channel(on_return_raises=True)
    answer: asyncio.Future[AbstractIncomingMessage] = asyncio.get_running_loop().create_future()

    async def answered(message: AbstractIncomingMessage) -> None:
        answer.set_result(message)

    reply_to = f"batchyard.reply.default.{uuid.uuid4().hex}"  # of the owner `default`
    replies = await channel.declare_queue(reply_to, exclusive=True, auto_delete=True)
    await replies.bind("batchyard.replies", reply_to)
    await replies.consume(answered, no_ack=True)
    message_id = str(uuid.uuid4())
    message = aio_pika.Message(
        json.dumps(command).encode(),
        type="batch.submit.v1",
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=message_id,
        correlation_id=message_id,
        reply_to=reply_to,
        timestamp=datetime.now(UTC),
    )
    commands = await channel.get_exchange("batchyard.commands", ensure=False)
    await commands.publish(message, "batch.submit.v1", mandatory=True, timeout=10)
    async with asyncio.timeout(30):
        reply = await answer
    body: dict[str, Any] = json.loads(reply.body)
    if reply.type != "command.accepted.v1":
        raise SystemExit(f"refused: {body['detail']}")
    return body


if __name__ == "__main__":
    sys.exit(asyncio.run(main(os.environ.get("BATCHYARD_AMQP_URL", "amqp://guest:guest@127.0.0.1/"))))
