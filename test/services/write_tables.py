#!/usr/bin/env python3
"""Writes an oracle's tables with PyIceberg, so that the readers can be tried without our writer:
write_tables.py EXPECTED_DIR WAREHOUSE [--spoil last-bit|repeat|lose]

--spoil makes one row wrong in a way that the readers must notice.
"""

import json
import struct
import sys
from pathlib import Path

import pyarrow as pa
from canonical import TABLES, compared
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import DayTransform
from pyiceberg.types import BinaryType, DoubleType, IntegerType, LongType, NestedField, StringType, TimestamptzType

ICEBERG = {
    "string": StringType(),
    "long": LongType(),
    "int": IntegerType(),
    "double": DoubleType(),
    "timestamptz": TimestamptzType(),
    "binary": BinaryType(),
}
ARROW = {
    "string": pa.string(),
    "long": pa.int64(),
    "int": pa.int32(),
    "double": pa.float64(),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "binary": pa.binary(),
}
READ = {
    "string": json.loads,
    "double": float,
    "binary": lambda text: bytes.fromhex(text[1:]),
}
PARTITION_BY = {"raw_trades": "event_time", "agg_1m": "window_start"}


def column_of(texts, kind):
    read = READ.get(kind, int)
    values = [None if text == "-" else read(text) for text in texts]
    if kind == "timestamptz":
        return pa.array(values, pa.int64()).cast(ARROW[kind])
    return pa.array(values, ARROW[kind])


def spoil(how, rows):
    if how == "lose":
        return rows[1:]
    if how == "repeat":
        return [*rows, rows[0]]
    if how == "last-bit":
        first = list(rows[0])
        bits = struct.unpack("<q", struct.pack("<d", float(first[2])))[0]
        first[2] = repr(struct.unpack("<d", struct.pack("<q", bits ^ 1))[0])
        return [first, *rows[1:]]
    return rows


def main(expected_dir, warehouse, *options):
    how = options[1] if options else None
    directory = Path(warehouse).absolute()
    directory.mkdir(parents=True)
    catalog = SqlCatalog("frazil", uri=f"sqlite:///{directory / 'catalog.db'}", warehouse=directory.as_uri())
    catalog.create_namespace("trades")
    for name, fields in TABLES.items():
        rows = [line.split("\t") for line in Path(expected_dir, f"{name}.tsv").read_text().split("\n")[:-1]]
        if name == "raw_trades":
            rows = spoil(how, rows)
        columns = {column: column_of(texts, kind) for (column, kind), texts in zip(compared(name), zip(*rows))}
        if name == "dead_letters":
            columns |= {column: pa.array([column] * len(rows), pa.string()) for column in ("reason", "detail")}
        ids = {column: number for number, (column, _, _) in enumerate(fields, 1)}
        schema = Schema(*(NestedField(ids[column], column, ICEBERG[kind], required=required) for column, kind, required in fields))
        by = PARTITION_BY.get(name)
        spec = PartitionSpec(PartitionField(ids[by], 1000, DayTransform(), f"{by}_day")) if by else PartitionSpec()
        table = catalog.create_table(("trades", name), schema, partition_spec=spec)
        if rows:
            arrow_schema = pa.schema([pa.field(column, ARROW[kind], nullable=not required) for column, kind, required in fields])
            table.append(pa.Table.from_pydict(columns, schema=arrow_schema))


if __name__ == "__main__":
    main(*sys.argv[1:])
