// The AWS SDK for JavaScript against one endpoint for both services: streams, records, a split, a subscription, a table.
// Prints what it did, one JSON object a line; the runner judges. Arguments: endpoint, stream, table.
import { createRequire } from 'node:module'

const require = createRequire(process.env.NODE_PATH + '/')
const kinesisSdk = require('@aws-sdk/client-kinesis')
const dynamoDbSdk = require('@aws-sdk/client-dynamodb')

const [endpoint, stream, table] = process.argv.slice(2)
const config = { endpoint, region: 'us-east-1', credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' } }
const kinesis = new kinesisSdk.Kinesis(config) // HTTP/2, its default
const dynamoDb = new dynamoDbSdk.DynamoDB(config)

const print = (event, fields) => console.log(JSON.stringify({ event, ms: Date.now(), ...fields }))
const sleep = ms => new Promise(wake => setTimeout(wake, ms))

async function active() {
  for (;;) {
    const { StreamDescriptionSummary: summary } = await kinesis.describeStreamSummary({ StreamName: stream })
    if (summary.StreamStatus === 'ACTIVE') return summary
    await sleep(50)
  }
}

async function put(from, to) {
  const numbers = Array.from({ length: to - from }, (_, i) => from + i)
  const entry = n => ({ PartitionKey: `user-${n}`, Data: Buffer.from(`line ${n}`) })
  const answer = await kinesis.putRecords({ StreamName: stream, Records: numbers.map(entry) })
  print('put', { records: answer.Records.length, failed: answer.FailedRecordCount })
}

async function read(shards) {
  const lines = []
  for (const shard of shards) {
    let { ShardIterator: iterator } = await kinesis.getShardIterator(
      { StreamName: stream, ShardId: shard.ShardId, ShardIteratorType: 'TRIM_HORIZON' })
    while (iterator) {
      const page = await kinesis.getRecords({ ShardIterator: iterator })
      for (const record of page.Records) lines.push(Buffer.from(record.Data).toString())
      if (page.Records.length === 0 && page.MillisBehindLatest === 0) break
      iterator = page.NextShardIterator
    }
  }
  print('read', { lines })
}

async function subscribe(shards) {
  const { StreamARN: arn } = await active()
  const { Consumer: consumer } = await kinesis.registerStreamConsumer({ StreamARN: arn, ConsumerName: 'node' })
  for (;;) {
    const { ConsumerDescription: seen } = await kinesis.describeStreamConsumer({ ConsumerARN: consumer.ConsumerARN })
    if (seen.ConsumerStatus === 'ACTIVE') break
    await sleep(50)
  }
  const lines = []
  await Promise.all(shards.map(async shard => {
    const { EventStream: events } = await kinesis.subscribeToShard(
      { ConsumerARN: consumer.ConsumerARN, ShardId: shard.ShardId, StartingPosition: { Type: 'TRIM_HORIZON' } })
    for await (const { SubscribeToShardEvent: event } of events) {
      for (const record of event.Records) lines.push(Buffer.from(record.Data).toString())
      if (event.ChildShards?.length) {
        print('shard_end', { shard: shard.ShardId, children: event.ChildShards.map(child => child.ShardId) })
        return
      }
      if (event.MillisBehindLatest === 0) return
    }
  }))
  print('subscribed', { lines })
  await kinesis.deregisterStreamConsumer({ ConsumerARN: consumer.ConsumerARN })
}

async function refusal(call) {
  try {
    await call()
    print('refusal', { code: null })
  } catch (error) {
    print('refusal', { code: error.name, status: error.$metadata?.httpStatusCode, id: error.$metadata?.requestId })
  }
}

async function useTable() {
  const key = { AttributeName: 'leaseKey', AttributeType: 'S' }
  await dynamoDb.createTable({
    TableName: table, AttributeDefinitions: [key], BillingMode: 'PAY_PER_REQUEST',
    KeySchema: [{ AttributeName: 'leaseKey', KeyType: 'HASH' }],
  })
  const item = { leaseKey: { S: 'shard' }, leaseCounter: { N: '1' } }
  await dynamoDb.putItem({ TableName: table, Item: item })
  const update = { TableName: table, Key: { leaseKey: item.leaseKey }, UpdateExpression: 'SET leaseCounter = :to' }
  const counted = from => ({ ...update, ConditionExpression: 'leaseCounter = :from',
    ExpressionAttributeValues: { ':from': { N: String(from) }, ':to': { N: String(from + 1) } } })
  await dynamoDb.updateItem(counted(1))
  await refusal(() => dynamoDb.updateItem(counted(1)))
  const { Items: items } = await dynamoDb.scan({ TableName: table, ConsistentRead: true })
  print('table', { items })
}

await kinesis.createStream({ StreamName: stream, ShardCount: 2 })
await active()
await put(0, 250)
const { Shards: before } = await kinesis.listShards({ StreamName: stream })
const { StartingHashKey: low, EndingHashKey: high } = before[0].HashKeyRange
const middle = String((BigInt(low) + BigInt(high)) / 2n)
await kinesis.splitShard({ StreamName: stream, ShardToSplit: before[0].ShardId, NewStartingHashKey: middle })
await active()
await put(250, 500)
const { Shards: after } = await kinesis.listShards({ StreamName: stream })
print('shards', { shards: after.map(shard => [shard.ShardId, shard.ParentShardId ?? null]) })
await read(after)
await subscribe(after)
await refusal(() => kinesis.describeStreamSummary({ StreamName: 'nowhere' }))
await useTable()
print('end', {})
