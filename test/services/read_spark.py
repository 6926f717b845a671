#!/usr/bin/env python3
"""Reads the four tables with Spark and compares them with the oracle: read_spark.py WAREHOUSE EXPECTED_DIR"""

import os
import sys
from pathlib import Path

from canonical import TABLES, run_reader
from pyspark.sql import SparkSession

NAMESPACE = "trades"
TYPES = {"string": "string", "bigint": "long", "int": "int", "double": "double", "timestamp": "timestamptz", "binary": "binary"}


def session(directory):
    jars = Path(os.environ["FRAZIL_SERVICES"], "jars-spark")
    settings = {
        "spark.driver.extraClassPath": f"{jars}/*",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "2g",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.catalog.frazil": "org.apache.iceberg.spark.SparkCatalog",
        "spark.sql.catalog.frazil.catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
        "spark.sql.catalog.frazil.uri": f"jdbc:sqlite:{directory / 'catalog.db'}",
        "spark.sql.catalog.frazil.jdbc.schema-version": "V1",
        "spark.sql.catalog.frazil.warehouse": directory.as_uri(),
    }
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder = SparkSession.builder.master("local[1]").appName("frazil-read")
    for key, value in settings.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def main(warehouse, expected_dir):
    directory = Path(warehouse).absolute()
    spark = session(directory)
    spark.sparkContext.setLogLevel("ERROR")

    def read(name):
        frame = spark.table(f"frazil.{NAMESPACE}.{name}")
        schema = {field.name: (TYPES.get(field.dataType.simpleString(), field.dataType.simpleString()), not field.nullable) for field in frame.schema.fields}
        # As integers: Arrow conversion must not get to interpret instants.
        columns = [f"unix_micros({column}) AS {column}" if kind == "timestamptz" else column for column, kind, _ in TABLES[name] if column in schema]
        return frame.selectExpr(*columns).toArrow(), schema, ""

    try:
        run_reader("spark", read, expected_dir)
    finally:
        spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
