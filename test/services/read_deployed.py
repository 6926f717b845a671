#!/usr/bin/env python3
"""Reads the tables of deploy.ts with PyIceberg, of Glue at AWS_ENDPOINT_URL: read_deployed.py EXPECTED_DIR

They are what the oracle computes, and in raw_trades and agg_1m_late stands the column that the update added: optional, null in
rows of before.
"""

import sys

from canonical import run_reader
from read_pyiceberg import NAMESPACE, glue

ADDED = {"raw_trades": "trade_id", "agg_1m_late": "trade_id"}


def main(expected_dir):
    catalog = glue()
    complaints = []

    def read(name):
        table = catalog.load_table((NAMESPACE, name))
        schema = {field.name: (str(field.field_type), field.required) for field in table.schema().fields}
        arrow = table.scan().to_arrow()
        added = ADDED.get(name)
        if added is None:
            return arrow, schema, ""
        found = schema.pop(added, None)
        if found != ("long", False):
            complaints.append(f"{name}.{added}: expected an optional long, found {found}")
            return arrow, schema, ""
        nulls = arrow.column(added).null_count
        if name == "raw_trades" and not 0 < nulls < arrow.num_rows:
            complaints.append(f"{name}.{added}: expected nulls before the update and none after, found {nulls} of {arrow.num_rows}")
        return arrow, schema, f"; {arrow.num_rows - nulls} with {added}"

    equal = run_reader("pyiceberg", read, expected_dir)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return equal and not complaints


if __name__ == "__main__":
    sys.exit(0 if main(*sys.argv[1:]) else 1)
