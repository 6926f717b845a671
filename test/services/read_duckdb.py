#!/usr/bin/env python3
"""Reads the four tables with DuckDB's iceberg extension and compares them with the oracle: read_duckdb.py WAREHOUSE EXPECTED_DIR

DuckDB opens metadata files, not SQLite catalogs: where they are is read from the catalog with Python's own sqlite3.
"""

import sqlite3
import sys
from pathlib import Path

import duckdb
import duckdb_extension_avro
import duckdb_extension_iceberg
from canonical import TABLES, run_reader

NAMESPACE = "trades"
FILE_SCHEME = "file://"


def extension(package, name):
    return Path(package.__file__).parent / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"


def main(warehouse, expected_dir):
    catalog = sqlite3.connect(f"file:{Path(warehouse).absolute()}/catalog.db?mode=ro", uri=True)
    engine = duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False})
    engine.execute(f"LOAD '{extension(duckdb_extension_avro, 'avro')}'")
    engine.execute(f"LOAD '{extension(duckdb_extension_iceberg, 'iceberg')}'")
    engine.execute("SET TimeZone = 'UTC'")

    def read(name):
        query = "SELECT metadata_location FROM iceberg_tables WHERE catalog_name = 'frazil' AND table_namespace = ? AND table_name = ?"
        found = catalog.execute(query, (NAMESPACE, name)).fetchone()
        if found is None:
            sys.exit(f"Cannot read {NAMESPACE}.{name}: the catalog has no such table.")
        columns = ", ".join(f"epoch_us({column}) AS {column}" if kind == "timestamptz" else column for column, kind, _ in TABLES[name])
        arrow = engine.execute(f"SELECT {columns} FROM iceberg_scan(?)", [found[0].removeprefix(FILE_SCHEME)]).to_arrow_table()
        return arrow, None, ""

    return run_reader("duckdb", read, expected_dir)


if __name__ == "__main__":
    sys.exit(0 if main(*sys.argv[1:]) else 1)
