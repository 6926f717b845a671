#!/usr/bin/env python3
"""What pipeline `trades` must have written, computed from its input in another language by other means.

    oracle.py (--input F --partitions N | --events F | --dump F) --out DIR [--topic trades] [--open]

--input  NDJSON values: partition by murmur2 of the symbol, offset = index in the partition, no Kafka timestamp.
         A value whose symbol cannot be read has no key and goes to partition (line number, from 0) modulo N.
--events one Lambda event of Kafka a line. A record below its partition's next offset was delivered before.
--dump   one JSON object a line: partition, offset, timestamp (ms or null), key and value (base64 or null); what dump_topic.py writes.
--open   leaves windows open that the watermark has not passed (a run without --until-end).

Writes the rows of the four tables as DIR/<table>.tsv (see canonical.py) and prints their counts. Standard library only.
"""

import argparse
import json
import math
import sys
import threading
from array import array
from binascii import a2b_base64
from fractions import Fraction
from pathlib import Path

from canonical import TABLES, of_binary, of_double, of_int, of_string

DELAY_MS = 5_000
MAX_AHEAD_MS = 600_000
WINDOW_MS = 60_000
GREATEST_INSTANT_MS = 8_640_000_000_000_000
NO_TIMESTAMP = -1
LONG_MIN, LONG_MAX = -(2**63), 2**63 - 1
# Nesting in values may be deep; a thread's stack can be made large enough for it, the main one's cannot.
STACK_BYTES = 512 << 20
NESTING = 100_000


class Malformed(ValueError):
    """The value is not JSON by RFC 8259, or not an object."""


# JSON

MINUS_ZERO = object()  # the integer literal -0: 0 as a long, -0.0 as a double


def reject_constant(name):
    raise Malformed(name)


def integer(text):
    return MINUS_ZERO if text == "-0" else int(text)


def check_surrogates(value):
    if isinstance(value, str):
        value.encode("utf-8")  # raises UnicodeEncodeError, a ValueError, for an unpaired surrogate
    elif isinstance(value, list):
        for item in value:
            check_surrogates(item)


def checked_object(pairs):
    for key, value in pairs:
        check_surrogates(key)
        check_surrogates(value)
    return dict(pairs)


plain = json.JSONDecoder(parse_constant=reject_constant)
careful = json.JSONDecoder(parse_constant=reject_constant, parse_int=integer, object_pairs_hook=checked_object)


def parse_object(value):
    """The JSON object that bytes hold, or None when they hold anything else."""
    if value is None:
        return None
    try:
        text = value.decode("utf-8")
        decoder = careful if "\\u" in text or "-0" in text else plain
        parsed = decoder.decode(text)
    except ValueError:  # UnicodeDecodeError and JSONDecodeError are
        return None
    return parsed if type(parsed) is dict else None


def long_of(value):
    if value is MINUS_ZERO:
        return 0
    if type(value) is not int or not LONG_MIN <= value <= LONG_MAX:
        raise Malformed("long")
    return value


def double_of(value):
    if value is MINUS_ZERO:
        return -0.0
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise Malformed("double") from None
    if type(value) is not float or math.isinf(value):
        raise Malformed("double")
    return value


def row_of(trade, timestamp):
    """symbol, ts, price, qty, side of an acceptable record; raises Malformed."""
    symbol = trade.get("symbol")
    if type(symbol) is not str:
        raise Malformed("symbol")
    ts = long_of(trade.get("ts"))
    if abs(ts) > GREATEST_INSTANT_MS:
        raise Malformed("instant")
    price = double_of(trade.get("price"))
    qty = double_of(trade.get("qty"))
    side = trade.get("side")
    if side is not None and type(side) is not str:
        raise Malformed("side")
    if timestamp is not None and ts > timestamp + MAX_AHEAD_MS:
        raise Malformed("ahead")
    return symbol, ts, price, qty, side


# Where records come from: (partition, offset, timestamp, key, value, parsed value)


def murmur2(data):
    """Kafka's hash of keys, as an unsigned 32-bit integer (org.apache.kafka.common.utils.Utils.murmur2)."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & mask
        k = (k ^ (k >> 24)) * m & mask
        h = (h * m & mask) ^ k
    if len(data) > whole:
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return h ^ (h >> 15)


def default_partition(key, partitions):
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def records_of_input(path, partitions):
    next_offset = [0] * partitions
    chosen = {}
    with open(path, "rb") as lines:
        for number, line in enumerate(lines):
            value = line[:-1] if line.endswith(b"\n") else line
            trade = parse_object(value)
            symbol = trade.get("symbol") if trade is not None else None
            if type(symbol) is str:
                if symbol not in chosen:
                    encoded = symbol.encode("utf-8")
                    chosen[symbol] = encoded, default_partition(encoded, partitions)
                key, partition = chosen[symbol]
            else:
                key, partition = None, number % partitions
            offset = next_offset[partition]
            next_offset[partition] += 1
            yield partition, offset, None, key, value, trade


def decoded(text):
    return None if text is None else a2b_base64(text)


def timestamp_of(record):
    timestamp = record.get("timestamp")
    return None if timestamp == NO_TIMESTAMP else timestamp


def records_of_events(path, topic):
    next_offset = {}
    with open(path, "rb") as lines:
        for line in lines:
            for batch in json.loads(line)["records"].values():
                for record in batch:
                    if record["topic"] != topic:
                        raise SystemExit(f"Cannot compute: expected records of topic {topic}, found {record['topic']}.")
                    partition, offset = record["partition"], record["offset"]
                    if offset < next_offset.get(partition, 0):
                        continue
                    next_offset[partition] = offset + 1
                    value = decoded(record.get("value"))
                    yield partition, offset, timestamp_of(record), decoded(record.get("key")), value, parse_object(value)


def records_of_dump(path):
    with open(path, "rb") as lines:
        for line in lines:
            record = json.loads(line)
            value = decoded(record["value"])
            yield record["partition"], record["offset"], timestamp_of(record), decoded(record["key"]), value, parse_object(value)


# Tables


def exact_sum(values):
    """The sum of doubles without error, rounded once; never -0."""
    try:
        total = math.fsum(values)
    except OverflowError:
        exact = sum(map(Fraction, values))
        try:
            total = float(exact)
        except OverflowError:
            total = math.inf if exact > 0 else -math.inf
    return total + 0.0


def greatest(values):
    value = max(values)
    return value if value != 0 else max((v for v in values if v == 0), key=lambda zero: math.copysign(1, zero))


def least(values):
    value = min(values)
    return value if value != 0 else min((v for v in values if v == 0), key=lambda zero: math.copysign(1, zero))


class Window:
    __slots__ = ("first", "last", "open", "close", "prices", "quantities")

    def __init__(self):
        self.first = self.last = None
        self.prices = array("d")
        self.quantities = array("d")

    def add(self, order, price, qty):
        if self.first is None or order < self.first:
            self.first, self.open = order, price
        if self.last is None or order > self.last:
            self.last, self.close = order, price
        self.prices.append(price)
        self.quantities.append(qty)


def micros(ms):
    return "-" if ms is None else str(ms * 1000)


def compute(records, topic, partitions, until_end):
    """Lines of the four tables by name."""
    tables = {table: [] for table in TABLES}
    raw, late, dead = tables["raw_trades"], tables["agg_1m_late"], tables["dead_letters"]
    windows = {}
    greatest_time = dict.fromkeys(partitions)
    texts = {None: "-"}
    topic_text = of_string(topic)

    def text_of(value):
        if value not in texts:
            texts[value] = of_string(value)
        return texts[value]

    for partition, offset, timestamp, key, value, trade in records:
        try:
            if trade is None:
                raise Malformed("not an object")
            symbol, ts, price, qty, side = row_of(trade, timestamp)
        except Malformed:
            dead.append("\t".join((topic_text, str(partition), str(offset), micros(timestamp), of_binary(key), of_binary(value))))
            continue
        trade_text = f"{text_of(symbol)}\t{ts}\t{of_double(price)}\t{of_double(qty)}\t{text_of(side)}\t{ts * 1000}"
        raw.append(f"{trade_text}\t{partition}\t{offset}")
        start = ts - ts % WINDOW_MS
        end = start + WINDOW_MS
        before = greatest_time.get(partition)
        if before is not None and end <= before - DELAY_MS:
            late.append(
                f"{trade_text}\t{topic_text}\t{partition}\t{offset}\t{micros(timestamp)}"
                f"\t{start * 1000}\t{end * 1000}\t{(before - DELAY_MS) * 1000}"
            )
        else:
            window = windows.get((symbol, start))
            if window is None:
                window = windows[symbol, start] = Window()
            window.add((ts, partition, offset), price, qty)
        if before is None or ts > before:
            greatest_time[partition] = ts

    if until_end:
        watermark = math.inf
    else:
        times = greatest_time.values()
        watermark = -math.inf if not times or None in times else min(times) - DELAY_MS
    for (symbol, start), window in windows.items():
        if start + WINDOW_MS > watermark:
            continue
        count = len(window.prices)
        doubles = (
            window.open,
            greatest(window.prices),
            least(window.prices),
            window.close,
            exact_sum(window.quantities),
        )
        tables["agg_1m"].append(
            "\t".join(
                (
                    text_of(symbol),
                    micros(start),
                    micros(start + WINDOW_MS),
                    *map(of_double, doubles),
                    of_int(count),
                    of_double(exact_sum(window.prices) / count),
                )
            )
        )
    return tables


def main():
    parser = argparse.ArgumentParser(description="Computes the tables of pipeline trades from its input.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--input")
    source.add_argument("--events")
    source.add_argument("--dump")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--topic", default="trades")
    parser.add_argument("--open", action="store_true")
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    partitions = ()
    if args.input:
        partitions = range(args.partitions)
        records = records_of_input(args.input, args.partitions)
    elif args.events:
        records = records_of_events(args.events, args.topic)
    else:
        partitions = range(args.partitions)
        records = records_of_dump(args.dump)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    tables = compute(records, args.topic, partitions, until_end=not args.open)
    for table, lines in tables.items():
        lines.sort()
        with open(out / f"{table}.tsv", "w") as file:
            file.writelines(f"{line}\n" for line in lines)
    print(json.dumps({table: len(lines) for table, lines in tables.items()}))


if __name__ == "__main__":
    sys.set_int_max_str_digits(0)  # a number of 5,000 digits is a number
    sys.setrecursionlimit(NESTING)
    threading.stack_size(STACK_BYTES)
    failures = []

    def guarded():
        try:
            main()
        except BaseException as failure:  # carried over to the main thread, which alone sets the exit code
            failures.append(failure)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    for failure in failures:
        raise failure
