#!/usr/bin/env python3
"""Writes what a topic holds as JSON lines for the oracle, read by librdkafka: dump_topic.py BROKERS TOPIC FILE"""

import json
import sys
from base64 import b64encode

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, TopicPartition

TIMEOUT_S = 30
BATCH = 10_000


def text(data):
    return None if data is None else b64encode(data).decode()


def main(brokers, topic, path):
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "frazil-dump",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            # The last offset may be a transaction's marker, which nobody is handed: only the broker can say "no more".
            "enable.partition.eof": True,
        }
    )
    unread = set(consumer.list_topics(topic, TIMEOUT_S).topics[topic].partitions)
    partitions = len(unread)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in unread])
    count = 0
    quiet_s = 0
    with open(path, "w") as out:
        while unread:
            messages = consumer.consume(BATCH, 1)
            quiet_s = 0 if messages else quiet_s + 1
            if quiet_s >= TIMEOUT_S:
                sys.exit(f"Cannot read {topic}: expected records or an end of partitions {unread}, found neither in {TIMEOUT_S} s.")
            for message in messages:
                if message.error() and message.error().code() == KafkaError._PARTITION_EOF:
                    unread.discard(message.partition())
                    continue
                if message.error():
                    sys.exit(f"Cannot read {topic}: {message.error()}")
                kind, timestamp = message.timestamp()
                record = {
                    "partition": message.partition(),
                    "offset": message.offset(),
                    "timestamp": None if kind == TIMESTAMP_NOT_AVAILABLE else timestamp,
                    "key": text(message.key()),
                    "value": text(message.value()),
                }
                out.write(json.dumps(record) + "\n")
                count += 1
    consumer.close()
    print(json.dumps({"records": count, "partitions": partitions}))


if __name__ == "__main__":
    main(*sys.argv[1:])
