// Submits a batch to Batchyard and waits for its end, with amqplib alone.
import { randomUUID } from 'node:crypto';
import amqp from 'amqplib';

const url = process.env.BATCHYARD_AMQP_URL ?? 'amqp://guest:guest@127.0.0.1/';
const command = {
  workload: 'noop',
  items: Array.from({ length: 10 }, (_, n) => ({ payload: { n } })),
  name: 'ten squares',
};

const within = (ms, what, promise) => {
  let timer;
  const late = new Promise((_, fail) => { timer = setTimeout(() => fail(new Error(`no ${what} within ${ms} ms`)), ms); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};

// Every event of this workload and owner; the queue lives as long as the connection.
async function subscribe(connection, routingKey, onEvent) {
  const channel = await connection.createChannel();
  const { queue } = await channel.assertQueue('', { exclusive: true, autoDelete: true });
  await channel.bindQueue(queue, 'batchyard.events', routingKey);
  await channel.consume(queue, (message) => {
    if (!message) return; // the broker cancelled the subscription
    channel.ack(message);
    onEvent(JSON.parse(message.content.toString()));
  });
}

// Persistent and confirmed; the reply says whether Batchyard took it.
async function submit(connection, body) {
  const channel = await connection.createConfirmChannel();
  const replyTo = `batchyard.reply.default.${randomUUID().replaceAll('-', '')}`; // of the owner `default`
  await channel.assertQueue(replyTo, { exclusive: true, autoDelete: true });
  await channel.bindQueue(replyTo, 'batchyard.replies', replyTo);
  const replied = new Promise((resolve, reject) => {
    channel.on('return', () => reject(new Error('no queue takes commands: are the services up?')));
    channel.consume(replyTo, resolve, { noAck: true }).catch(reject);
  });
  const messageId = randomUUID();
  channel.publish('batchyard.commands', 'batch.submit.v1', Buffer.from(JSON.stringify(body)), {
    type: 'batch.submit.v1',
    contentType: 'application/json',
    persistent: true,
    mandatory: true,
    messageId,
    correlationId: messageId,
    replyTo,
    timestamp: Math.floor(Date.now() / 1000),
  });
  await channel.waitForConfirms();
  const reply = await within(30_000, 'answer', replied);
  const answer = JSON.parse(reply.content.toString());
  if (reply.properties.type !== 'command.accepted.v1') throw new Error(`refused: ${answer.detail}`);
  return answer;
}

const connection = await amqp.connect(url);
try {
  const ended = new Map(); // events may overtake the reply
  let wake = () => {};
  await subscribe(connection, 'batch.finished.v1.noop.default', (event) => { ended.set(event.batch_id, event); wake(); });
  const { batch_id: batchId } = await submit(connection, command);
  console.log('accepted:', batchId);
  const finished = new Promise((resolve) => { wake = () => ended.has(batchId) && resolve(ended.get(batchId)); wake(); });
  const event = await within(60_000, 'end', finished);
  console.log('finished:', event.result, event.counts);
  process.exitCode = event.result === 'completed' ? 0 : 1;
} finally {
  await connection.close();
}
