// BullMQ on Redis: all jobs of a batch in one addBulk; each result comes with its job's event. Small batches are flows.
//     node peer.cjs worker|submit
'use strict';
const { createInterface } = require('node:readline');
const { setTimeout: sleep } = require('node:timers/promises');
const { FlowProducer, Queue, QueueEvents, Worker } = require('bullmq');

const url = new URL(process.env.BENCH_REDIS_URL);
const connection = {
  host: url.hostname, port: Number(url.port), db: Number(url.pathname.slice(1) || 0), maxRetriesPerRequest: null,
  username: decodeURIComponent(url.username) || undefined, password: decodeURIComponent(url.password) || undefined,
};
const name = process.env.BENCH_QUEUE;
const NAP_MS = 50;
const CONCURRENCY = 50;
const KEPT_EVENTS = 1_000_000; // by default only about 10,000 are kept, and the submitter would miss some

function work() {
  new Worker(name, async (job) => {
    if (job.name === 'nap') await sleep(NAP_MS);
    if (job.name === 'batch') return Object.values(await job.getChildrenValues()).map(({ n }) => n);
    return { n: job.data.n ** 2 };
  }, { connection, concurrency: CONCURRENCY });
}

async function batch(queue, events, kind, items) {
  const began = performance.now();
  let ids; // known once all jobs are in; what has ended before waits in `early`
  let early = [];
  const results = new Map();
  let finish;
  const finished = new Promise((resolve) => { finish = resolve; });
  const take = ({ jobId, returnvalue }) => {
    if (ids === undefined) { early.push({ jobId, returnvalue }); return; }
    if (ids.has(jobId)) results.set(jobId, returnvalue.n);
    if (results.size === items) finish();
  };
  events.on('completed', take);
  const jobs = await queue.addBulk(Array.from({ length: items }, (_, n) => ({ name: kind, data: { n } })));
  const submitted = performance.now();
  ids = new Set(jobs.map((job) => job.id));
  early.forEach(take);
  await finished;
  const ended = performance.now();
  events.off('completed', take);
  let sum = 0;
  for (const n of results.values()) sum += n;
  return { seconds: (ended - began) / 1000, submit_s: (submitted - began) / 1000, count: results.size, sum };
}

// Many small batches side by side: a job each for one item, a flow each for several, 50 at a time.
async function batches(queue, events, number, items) {
  const flows = new FlowProducer({ connection });
  await flows.waitUntilReady();
  const began = performance.now();
  const parents = [];
  let left = number;
  const hand = async () => {
    while (left > 0) {
      left -= 1;
      if (items === 1) { parents.push(await queue.add('square', { n: 0 })); continue; }
      const children = Array.from({ length: items }, (_, n) => ({ name: 'square', queueName: name, data: { n } }));
      parents.push((await flows.add({ name: 'batch', queueName: name, data: {}, children })).job);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, hand));
  const submitted = performance.now();
  const results = await Promise.all(parents.map((job) => job.waitUntilFinished(events)));
  const ended = performance.now();
  await flows.close();
  const values = results.flatMap((result) => (Array.isArray(result) ? result : [result.n]));
  const sum = values.reduce((one, other) => one + other, 0);
  return { seconds: (ended - began) / 1000, submit_s: (submitted - began) / 1000, count: values.length, sum };
}

async function submit() {
  const queue = new Queue(name, { connection, streams: { events: { maxLen: KEPT_EVENTS } } });
  const events = new QueueEvents(name, { connection });
  await Promise.all([queue.waitUntilReady(), events.waitUntilReady()]);
  console.log('READY');
  for await (const line of createInterface({ input: process.stdin })) {
    const { kind, items, batches: number, times } = JSON.parse(line);
    const runs = [];
    for (let time = 0; time < times; time += 1) {
      runs.push(await (number > 1 ? batches(queue, events, number, items) : batch(queue, events, kind, items)));
    }
    console.log(`ANSWER ${JSON.stringify(runs)}`);
  }
  process.exit(0);
}

if (process.argv[2] === 'worker') work(); else submit();
