// Round trips with AWS's Node library.
//
// node_peer.js JSON_LINES [SEED]   (JSON_LINES is the built example `json_lines`; NODE_PATH finds the library)
//
// Known of the library: its encoder keeps keys as names of an object, which puts integer-like ones first, so that records point at the
// wrong key; we give it none. Its decoder shows a record without explicit hash key with the first of the table, where there is one.
'use strict';
const assert = require('assert');
const { execFileSync } = require('child_process');
const { RecordAggregator, deaggregateSync } = require('aws-kinesis-agg');

const [ours, seed] = [process.argv[2], Number(process.argv[3] || 1)];
const LIMITS = [200, 2000, 51200];

// Mulberry32: Node has no generator that takes a seed.
let state = seed;
function random() {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const below = (n) => Math.floor(random() * n);
const pick = (list) => list[below(list.length)];

function makeRecords(count) {
  const size = pick([1, 10, 300]);
  const distinct = pick([1, 5, 400]);
  const share = pick([0, 0, 0.5, 1]);
  return Array.from({ length: count }, () => ({
    key: pick(['k', 'user-', 'ключ-', '鍵', '😀']) + below(distinct),
    ehk: random() < share ? '1' + '0123456789'.repeat(3) + below(200) : null,
    data: Buffer.from(Array.from({ length: below(size) }, () => below(256))),
  }));
}

function call(command, lines) {
  const input = lines.map((line) => JSON.stringify(line) + '\n').join('');
  const output = execFileSync(ours, command, { input, maxBuffer: 1 << 30 }).toString();
  return output.split('\n').filter(Boolean).map((line) => JSON.parse(line));
}

function nodeDecode(record) {
  let read;
  deaggregateSync({ partitionKey: record.partition_key, sequenceNumber: '1', data: record.data }, true, (error, records) => {
    if (error) throw error;
    read = records;
  });
  return read.map((user) => ({ key: user.partitionKey, ehk: user.explicitPartitionKey, data: Buffer.from(user.data, 'base64') }));
}

const keyAndData = ({ key, data }) => [key, data.toString('base64')];

function oursToNode(records, limit) {
  const lines = records.map(({ key, ehk, data }) => ({ key, ehk, data: data.toString('base64') }));
  const read = call(['encode', String(limit)], lines).flatMap(nodeDecode);
  assert.deepStrictEqual(read.map(keyAndData), records.map(keyAndData));
  read.forEach((user, i) => {
    if (records[i].ehk && user.ehk) assert.strictEqual(user.ehk, records[i].ehk);
  });
  return read.length;
}

function nodeToOurs(records) {
  const encoded = [];
  for (let i = 0; i < records.length; i += 100) {
    const aggregator = new RecordAggregator();
    for (const { key, ehk, data } of records.slice(i, i + 100)) {
      aggregator.addUserRecord({ partitionKey: key, explicitHashKey: ehk || undefined, data });
    }
    encoded.push(aggregator.build().data);
  }
  const decoded = call(['decode'], encoded.map((data) => ({ data: data.toString('base64') })));
  assert(decoded.every((record) => record.is === 'aggregate'));
  const read = decoded.flatMap((record) => record.records);
  const expected = records.map(({ key, ehk, data }) => ({ key, ehk, data: data.toString('base64') }));
  assert.deepStrictEqual(read.map(({ key, ehk, data }) => ({ key, ehk, data })), expected);
  return read.length;
}

for (const limit of LIMITS) {
  const records = Array.from({ length: 10 }, () => makeRecords(300)).flat();
  console.log(`node: limit ${limit}: ${oursToNode(records, limit)} records of ours read, ${nodeToOurs(records)} of theirs read`);
}
