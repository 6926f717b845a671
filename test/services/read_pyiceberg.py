#!/usr/bin/env python3
"""Reads the four tables with PyIceberg and compares them with the oracle: read_pyiceberg.py WAREHOUSE EXPECTED_DIR

WAREHOUSE is a directory, or `glue`: the tables that Glue names at AWS_ENDPOINT_URL.
"""

import os
import sys
from pathlib import Path

from canonical import run_reader
from pyiceberg.catalog.glue import GlueCatalog
from pyiceberg.catalog.sql import SqlCatalog

NAMESPACE = os.environ.get("NAMESPACE", "trades")
PIPELINE = "trades"


def glue():
    endpoint, region = os.environ["AWS_ENDPOINT_URL"], os.environ["AWS_REGION"]
    keys = {"access-key-id": os.environ["AWS_ACCESS_KEY_ID"], "secret-access-key": os.environ["AWS_SECRET_ACCESS_KEY"]}
    of = lambda service: {f"{service}.{key}": value for key, value in {**keys, "endpoint": endpoint, "region": region}.items()}
    return GlueCatalog("frazil", **of("glue"), **of("s3"))


def sqlite(warehouse):
    directory = Path(warehouse).absolute()
    database = directory / "catalog.db"
    if not database.exists():
        sys.exit(f"Cannot read {database}: expected a SQLite catalog, found no file.")
    return SqlCatalog("frazil", uri=f"sqlite:///{database}", warehouse=directory.as_uri(), init_catalog_tables="false")


def main(warehouse, expected_dir):
    catalog = glue() if warehouse == "glue" else sqlite(warehouse)

    def read(name):
        table = catalog.load_table((NAMESPACE, name))
        schema = {field.name: (str(field.field_type), field.required) for field in table.schema().fields}
        snapshot = table.current_snapshot()
        summary = snapshot.summary.additional_properties if snapshot and snapshot.summary else {}
        files, size = summary.get("total-data-files", "0"), int(summary.get("total-files-size", "0"))
        marker = table.properties.get(f"frazil.{PIPELINE}.marker", "none")
        partitioned = ", ".join(f"{field.transform}({table.schema().find_column_name(field.source_id)})" for field in table.spec().fields)
        note = f"; {len(table.snapshots())} snapshots, {files} files, {size / 1e6:.2f} MB, partitioned by {partitioned or 'nothing'}, marker {marker}"
        return table.scan().to_arrow(), schema, note

    return run_reader("pyiceberg", read, expected_dir)


if __name__ == "__main__":
    sys.exit(0 if main(*sys.argv[1:]) else 1)
