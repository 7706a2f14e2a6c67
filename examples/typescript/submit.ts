// Submits a batch to Batchyard over HTTP and waits for its end, with the types that contracts/openapi.json describes.
import { setTimeout as sleep } from 'node:timers/promises';
import createClient from 'openapi-fetch';
import type { components, paths } from './api.js';

type Problem = components['schemas']['Problem'];

const baseUrl = process.env.BATCHYARD_URL;
if (!baseUrl) throw new Error('BATCHYARD_URL is not set: eval "$(batchyard env)"');
const token = process.env.BATCHYARD_TOKEN;
const client = createClient<paths>({ baseUrl, headers: token ? { Authorization: `Bearer ${token}` } : {} });

// The data of an answer; an error of the API is a problem document.
function dataOf<T>(answer: { data?: T; error?: Problem }): T {
  if (answer.error) throw new Error(`${answer.error.code}: ${answer.error.detail}`);
  return answer.data as T;
}

const items = [{ payload: { n: 7 }, custom_id: 'seven' }, { payload: { n: 8 } }];
const { batch_id } = dataOf(await client.POST('/api/v1/batches', { body: { workload: 'noop', items } }));
console.log('accepted:', batch_id);

const params = { path: { batch_id } };
let batch = dataOf(await client.GET('/api/v1/batches/{batch_id}', { params }));
while (batch.status !== 'finished') {
  await sleep(100);
  batch = dataOf(await client.GET('/api/v1/batches/{batch_id}', { params }));
}
console.log('finished:', batch.result, `${batch.counts.succeeded} of ${batch.counts.total}`);

const results = dataOf(await client.GET('/api/v1/batches/{batch_id}/results', { params }));
if (typeof results === 'string') throw new Error('JSON was asked for'); // with `format`, results are text
for (const item of results) {
  console.log(item.ordinal, item.custom_id, item.status, item.result);
}

const refused = await client.POST('/api/v1/batches', { body: { workload: 'absent', items } });
console.log('refused:', refused.error?.code);
process.exitCode = batch.result === 'completed' ? 0 : 1;
