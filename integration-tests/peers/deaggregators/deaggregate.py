"""AWS's Python deaggregator over standard input: `key TAB base64` a line; see ../README.md."""

import json
import sys

from aws_kinesis_agg.deaggregator import iter_deaggregate_records


def main():
    for number, line in enumerate(sys.stdin):
        key, data = line.rstrip("\n").split("\t")
        record = {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "sequenceNumber": str(number),
                "partitionKey": key,
                "approximateArrivalTimestamp": 0,
                "data": data,
            }
        }
        users = [user["kinesis"] for user in iter_deaggregate_records([record])]
        for user in users:
            content = user["data"]
            show(
                event="record",
                record=number,
                sub=user.get("subSequenceNumber"),
                aggregated=user.get("aggregated", False),
                key=user["partitionKey"],
                ehk=user.get("explicitHashKey"),
                data=content if isinstance(content, str) else content.decode("ascii"),
            )
        show(event="record-end", record=number, users=len(users))


def show(**fields):
    print(json.dumps(fields, separators=(",", ":")))


main()
