"""Rows as lines of text that are equal only if the rows are: how the oracle writes tables and how readers compare them.

A line is a row's columns, joined by tabs: strings as JSON, bytes in hex, timestamps in microseconds, doubles in Python's
repr (shortest text that reads back as the same 64 bits; -0.0 and 0.0 differ), null as a hyphen. Files are sorted.
"""

import json
import math
import struct
import sys
from collections import Counter
from pathlib import Path

# Name, type, required: the tables of pipeline `trades` (the contract of pipelines/trades.ts).
INPUT = [
    ("symbol", "string", True),
    ("ts", "long", True),
    ("price", "double", True),
    ("qty", "double", True),
    ("side", "string", False),
    ("event_time", "timestamptz", True),
]
KAFKA = [
    ("kafka_topic", "string", True),
    ("kafka_partition", "int", True),
    ("kafka_offset", "long", True),
    ("kafka_timestamp", "timestamptz", False),
]
TABLES = {
    "raw_trades": [*INPUT, ("kafka_partition", "int", True), ("kafka_offset", "long", True)],
    "agg_1m": [
        ("symbol", "string", True),
        ("window_start", "timestamptz", True),
        ("window_end", "timestamptz", True),
        ("open", "double", True),
        ("high", "double", True),
        ("low", "double", True),
        ("close", "double", True),
        ("volume", "double", True),
        ("trade_count", "long", True),
        ("avg_price", "double", True),
    ],
    "agg_1m_late": [
        *INPUT,
        *KAFKA,
        ("window_start", "timestamptz", True),
        ("window_end", "timestamptz", True),
        ("watermark", "timestamptz", True),
    ],
    "dead_letters": [
        *KAFKA,
        ("key", "binary", False),
        ("value", "binary", False),
        ("reason", "string", True),
        ("detail", "string", True),
    ],
}
# What is said of a dead letter is for people; it must be there, its words are free.
NOT_COMPARED = {("dead_letters", "reason"), ("dead_letters", "detail")}
DIFFERENCES_SHOWN = 5


def compared(table):
    return [(name, kind) for name, kind, _ in TABLES[table] if (table, name) not in NOT_COMPARED]


def of_string(value):
    return "-" if value is None else json.dumps(value)


def of_double(value):
    if value is None:
        return "-"
    if math.isnan(value):
        return "nan:" + struct.pack(">d", value).hex()
    return repr(value)


def of_int(value):
    return "-" if value is None else str(value)


def of_binary(value):
    return "-" if value is None else f"x{bytes(value).hex()}"


def lines_of_arrow(table, arrow):
    """The sorted lines of an Arrow table. Timestamps may be timestamps of any unit or microseconds as integers."""
    import pyarrow as pa

    columns = []
    for name, kind in compared(table):
        column = arrow.column(name)
        if kind == "timestamptz" and pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("us", tz=column.type.tz)).cast(pa.int64())
        values = column.to_pylist()
        if kind == "string":
            texts = {value: of_string(value) for value in set(values)}
            columns.append([texts[value] for value in values])
        else:
            write = {"double": of_double, "binary": of_binary}.get(kind, of_int)
            columns.append(list(map(write, values)))
    return sorted(map("\t".join, zip(*columns)))


def check_schema(table, found):
    """Complaints about a table's columns; `found` maps a name to (type, required)."""
    complaints = []
    for name, kind, required in TABLES[table]:
        if name not in found:
            complaints.append(f"{table}: column {name} is missing")
        elif found[name] != (kind, required):
            complaints.append(f"{table}.{name}: expected {(kind, required)}, found {found[name]}")
    complaints += [f"{table}: column {name} is not in the contract" for name in found if name not in {n for n, _, _ in TABLES[table]}]
    return complaints


def check_texts(table, arrow):
    """Complaints about dead letters that do not say why."""
    if table != "dead_letters":
        return []
    return [f"{table}.{name}: empty or null" for name in ("reason", "detail") if not all(arrow.column(name).to_pylist())]


def compare(table, found, expected_dir):
    """Complaints about the difference between sorted lines and the oracle's file, the first differences among them."""
    expected = Path(expected_dir, f"{table}.tsv").read_text().split("\n")[:-1]
    if found == expected:
        return []
    found_count, expected_count = Counter(found), Counter(expected)
    missing = sorted((expected_count - found_count).elements())
    extra = sorted((found_count - expected_count).elements())
    complaints = [f"{table}: {len(missing)} rows missing, {len(extra)} rows too many or different"]
    complaints += [f"  expected {row}" for row in missing[:DIFFERENCES_SHOWN]]
    complaints += [f"  found    {row}" for row in extra[:DIFFERENCES_SHOWN]]
    return complaints


def check_offsets(offsets):
    """Complaints unless each (partition, offset) of raw trades and dead letters comes once."""
    repeated = [offset for offset, count in Counter(offsets).items() if count > 1]
    return [f"offsets: {len(repeated)} came more than once, such as {repeated[:DIFFERENCES_SHOWN]}"] if repeated else []


def run_reader(name, read, expected_dir):
    """Compares all tables and tells whether they are equal; differences go to stderr.

    `read(table)` returns an Arrow table, a schema for check_schema (or None) and a note for people.
    """
    complaints = []
    offsets = []
    for table in TABLES:
        arrow, schema, note = read(table)
        wrong = check_schema(table, schema) if schema is not None else []
        if not wrong:
            wrong = check_texts(table, arrow) + compare(table, lines_of_arrow(table, arrow), expected_dir)
        if "kafka_offset" in arrow.column_names and table != "agg_1m_late":
            offsets += zip(arrow.column("kafka_partition").to_pylist(), arrow.column("kafka_offset").to_pylist())
        print(f"{name}: {table}: {arrow.num_rows} rows, {'differs' if wrong else 'equal'}{note}")
        complaints += wrong
    complaints += check_offsets(offsets)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return not complaints
