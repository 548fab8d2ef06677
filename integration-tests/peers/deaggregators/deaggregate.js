// AWS's Node deaggregator over standard input: `key TAB base64` a line; see ../README.md.
"use strict";
const readline = require("node:readline");
const { deaggregateSync } = require("aws-kinesis-agg");

async function main() {
  let number = 0;
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [partitionKey, data] = line.split("\t");
    deaggregateSync({ partitionKey, sequenceNumber: String(number), data }, true, (error, users) => {
      if (error) throw error;
      for (const user of users) {
        show({
          event: "record",
          record: number,
          sub: user.subSequenceNumber ?? null,
          aggregated: user.subSequenceNumber !== undefined,
          key: user.partitionKey,
          ehk: user.explicitPartitionKey ?? null,
          data: user.data,
        });
      }
      show({ event: "record-end", record: number, users: users.length });
    });
    number += 1;
  }
}

function show(fields) {
  process.stdout.write(JSON.stringify(fields) + "\n");
}

main();
