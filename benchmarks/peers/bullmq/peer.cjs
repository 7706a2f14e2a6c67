// BullMQ on Redis: all jobs of a batch in one addBulk; each result comes with its job's event.
//     node peer.cjs worker|submit
'use strict';
const { createInterface } = require('node:readline');
const { setTimeout: sleep } = require('node:timers/promises');
const { Queue, QueueEvents, Worker } = require('bullmq');

const url = new URL(process.env.BENCH_REDIS_URL);
const connection = {
  host: url.hostname, port: Number(url.port), db: Number(url.pathname.slice(1) || 0), maxRetriesPerRequest: null,
};
const name = process.env.BENCH_QUEUE;
const NAP_MS = 50;
const CONCURRENCY = 50;
const KEPT_EVENTS = 1_000_000; // by default only about 10,000 are kept, and the submitter would miss some

function work() {
  new Worker(name, async (job) => {
    if (job.name === 'nap') await sleep(NAP_MS);
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

async function submit() {
  const queue = new Queue(name, { connection, streams: { events: { maxLen: KEPT_EVENTS } } });
  const events = new QueueEvents(name, { connection });
  await Promise.all([queue.waitUntilReady(), events.waitUntilReady()]);
  console.log('READY');
  for await (const line of createInterface({ input: process.stdin })) {
    const { kind, items, times } = JSON.parse(line);
    const runs = [];
    for (let time = 0; time < times; time += 1) runs.push(await batch(queue, events, kind, items));
    console.log(`ANSWER ${JSON.stringify(runs)}`);
  }
  process.exit(0);
}

if (process.argv[2] === 'worker') work(); else submit();
