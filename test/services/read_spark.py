#!/usr/bin/env python3
"""Reads the four tables with Spark and compares them with the oracle: read_spark.py WAREHOUSE EXPECTED_DIR [WAREHOUSE EXPECTED_DIR ...]

One Spark for all of them: its start takes longer than the reading. WAREHOUSE is a directory, or `glue`: the tables that Glue
names at AWS_ENDPOINT_URL.
"""

import os
import sys
from pathlib import Path

from canonical import TABLES, run_reader
from pyspark.sql import SparkSession

NAMESPACE = os.environ.get("NAMESPACE", "trades")
TYPES = {"string": "string", "bigint": "long", "int": "int", "double": "double", "timestamp": "timestamptz", "binary": "binary"}


def session():
    jars = Path(os.environ["FRAZIL_SERVICES"], "jars-spark")
    settings = {
        "spark.driver.extraClassPath": f"{jars}/*",
        # The code runs for seconds: the second compiler costs more than it gains.
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "2g",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
    }
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder = SparkSession.builder.master("local[1]").appName("frazil-read")
    for key, value in settings.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def glue():
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    return {
        ".catalog-impl": "org.apache.iceberg.aws.glue.GlueCatalog",
        ".io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        ".warehouse": "s3://not-used/",
        ".glue.endpoint": endpoint,
        ".s3.endpoint": endpoint,
        ".s3.path-style-access": "true",
        ".client.region": os.environ["AWS_REGION"],
    }


def sqlite(directory):
    return {
        ".catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
        ".uri": f"jdbc:sqlite:{directory / 'catalog.db'}",
        ".jdbc.schema-version": "V1",
        ".warehouse": directory.as_uri(),
    }


def compare(spark, catalog, warehouse, expected_dir):
    """Opens one warehouse as catalog `catalog` (JdbcCatalog looks its tables up by that very name)."""
    settings = {"": "org.apache.iceberg.spark.SparkCatalog", **(glue() if warehouse == "glue" else sqlite(Path(warehouse).absolute()))}
    for key, value in settings.items():
        spark.conf.set(f"spark.sql.catalog.{catalog}{key}", value)

    def read(name):
        frame = spark.table(f"{catalog}.{NAMESPACE}.{name}")
        schema = {field.name: (TYPES.get(field.dataType.simpleString(), field.dataType.simpleString()), not field.nullable) for field in frame.schema.fields}
        # As integers: Arrow conversion must not get to interpret instants.
        columns = [f"unix_micros({column}) AS {column}" if kind == "timestamptz" else column for column, kind, _ in TABLES[name] if column in schema]
        return frame.selectExpr(*columns).toArrow(), schema, ""

    return run_reader("spark", read, expected_dir)


def main(*pairs):
    spark = session()
    spark.sparkContext.setLogLevel("ERROR")
    try:
        equal = True
        for warehouse, expected_dir in zip(pairs[::2], pairs[1::2], strict=True):
            print(f"spark: {Path(warehouse).name}")
            # A session keeps the catalog it opened under a name; each warehouse gets a new session.
            equal = compare(spark.newSession(), "frazil", warehouse, expected_dir) and equal
        return equal
    finally:
        spark.stop()


if __name__ == "__main__":
    sys.exit(0 if main(*sys.argv[1:]) else 1)
