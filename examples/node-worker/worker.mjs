// A worker of Batchyard in JavaScript, with amqplib alone: it offers the workload `node-words`, which counts words.
import { randomUUID } from 'node:crypto';
import amqp from 'amqplib';

const url = process.env.BATCHYARD_AMQP_URL ?? 'amqp://guest:guest@127.0.0.1/';
const workerId = `node-${randomUUID()}`;
const manifest = {
  name: 'node-words', version: '1', title: 'Count words', description: 'Counts the words of a text, in JavaScript.',
  item_schema: { type: 'object', required: ['text'], properties: { text: { type: 'string', minLength: 1 } } },
  result_schema: { type: 'object', required: ['words'], properties: { words: { type: 'integer' } } },
  concurrency: 10, chunk_max: 100, item_timeout_s: 30, retry: { default: { attempts: 3, base_s: 0.1, cap_s: 1 } },
  example: { text: 'so much to do' },
};
// The work. What it throws is tried again; with `permanent` set, the item fails.
const run = async ({ text }) => {
  const words = text.split(/\s+/).filter(Boolean).length;
  if (!words) throw Object.assign(new Error('The text has no words.'), { permanent: true, code: 'no_words' });
  return { words };
};
const connection = await amqp.connect(url);
const publishing = await connection.createConfirmChannel();
const consuming = await connection.createChannel();
const [held, cancelled] = [new Set(), new Map()]; // chunks that run here, batches that are not to with their last round
let stopping = false;
const end = (error) => { console.error(error?.message ?? 'the connection is closed'); process.exit(1); }; // to be started anew
for (const one of [connection, publishing, consuming]) one.on('error', end).on('close', end);
const tell = (type, body) => new Promise((resolve, reject) => { // resolved when confirmed
  const properties = { type, contentType: 'application/json', persistent: true, messageId: randomUUID() };
  const then = (error) => (error ? reject(error) : resolve());
  publishing.publish('batchyard.flow', type, Buffer.from(JSON.stringify(body)), properties, then);
});
const beat = () => tell('worker.heartbeat.v1', {
  worker_id: workerId, workloads: [manifest.name], chunks: [...held], stopping, at: new Date().toISOString(),
});
const outcome = async (chunk, { ordinal, payload, custom_id }) => {
  if (chunk.round <= cancelled.get(chunk.batch_id)) return { ordinal, custom_id, status: 'cancelled' };
  const failed = ({ permanent, code, message }) => (permanent
    ? { ordinal, custom_id, status: 'failed', error: { code, message } }
    : { ordinal, custom_id, status: 'retry', error: { code: 'internal_error', message } });
  return run(payload).then((result) => ({ ordinal, custom_id, status: 'succeeded', result }), failed);
};
// Acknowledged only after the confirmed report: killed before, the chunk comes again, and the ledger takes one outcome.
async function onChunk(message) {
  if (!message) return end(); // the broker ended the consumer
  const { items, priority, rates, reuse, quarantined, ...chunk } = JSON.parse(message.content.toString());
  held.add(chunk.chunk_id);
  const began = performance.now();
  const outcomes = await Promise.all(items.map((item) => outcome(chunk, item)));
  await tell('chunk.processed.v1', { ...chunk, worker_id: workerId, busy_ms: performance.now() - began, outcomes });
  consuming.ack(message);
  held.delete(chunk.chunk_id);
}
const queues = ['immediate', 'normal', 'low'].map((priority) => `work.${manifest.name}.${priority}`);
const announced = { worker_id: workerId, manifests: [manifest], started_at: new Date().toISOString() };
// Ingest declares the queues of a workload when it is announced. A question for one that is missing closes the channel.
const exists = async (queue) => {
  const asking = (await connection.createChannel()).on('error', () => {});
  return asking.checkQueue(queue).then(() => asking.close()).then(() => true, () => false);
};
await tell('worker.announced.v1', announced);
for (const queue of queues) while (!await exists(queue)) await new Promise((resolve) => setTimeout(resolve, 200));
const control = `worker.control.${workerId}`;
await consuming.assertQueue(control, { exclusive: true, autoDelete: true });
await consuming.bindQueue(control, 'batchyard.flow', 'batch.controlled.v1');
await consuming.consume(control, (message) => {
  const { action, batch_id, round } = JSON.parse(message.content.toString());
  if (action === 'cancel') cancelled.set(batch_id, Math.max(round, cancelled.get(batch_id) ?? 0));
}, { noAck: true });
await consuming.prefetch(12);
const tags = await Promise.all(queues.map((queue) => consuming.consume(queue, onChunk)));
await tell('worker.announced.v1', announced); // anew, now that the queues are there
await beat().then(() => setInterval(beat, 2000));
console.log(`started: the workload ${manifest.name}, until Ctrl-C`);
['SIGINT', 'SIGTERM'].forEach((signal) => process.once(signal, async () => { // take nothing more, end what runs
  await Promise.all(tags.map(({ consumerTag }) => consuming.cancel(consumerTag)));
  stopping = true;
  while (held.size) await new Promise((resolve) => setTimeout(resolve, 50));
  await beat().then(() => process.exit(0));
}));
