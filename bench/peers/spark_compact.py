#!/usr/bin/env python3
"""Compacts the table bench.trades of a warehouse by Spark's rewrite_data_files, and prints what it took: spark_compact.py WAREHOUSE sort|binpack

Two cores in one process, as a job of its own has them. CPU seconds are those of this process and of the JVM from their start to
their end; memory is that of the JVM. The table has a sort order, and so Spark's binpack comes out sorted, too.
"""

import json
import os
import resource
import sys
from pathlib import Path

from pyspark.sql import SparkSession

TARGET_BYTES = 128 << 20


def main(warehouse, strategy):
    directory = Path(warehouse).absolute()
    jars = Path(os.environ["FRAZIL_SERVICES"], "jars-spark")
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    settings = {
        "spark.driver.extraClassPath": f"{jars}/*",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "2g",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        "spark.sql.catalog.frazil": "org.apache.iceberg.spark.SparkCatalog",
        "spark.sql.catalog.frazil.catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
        "spark.sql.catalog.frazil.uri": f"jdbc:sqlite:{directory / 'catalog.db'}",
        "spark.sql.catalog.frazil.jdbc.schema-version": "V1",
        "spark.sql.catalog.frazil.warehouse": directory.as_uri(),
    }
    builder = SparkSession.builder.master("local[2]").appName("compact")
    for key, value in settings.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    order = ", sort_order => 'symbol ASC NULLS FIRST, ts ASC NULLS FIRST'" if strategy == "sort" else ""
    done = spark.sql(
        f"CALL frazil.system.rewrite_data_files(table => 'bench.trades', strategy => '{strategy}'{order}, options => map('target-file-size-bytes', '{TARGET_BYTES}'))"
    ).collect()[0]
    after = spark.sql("SELECT sum(file_size_in_bytes) FROM frazil.bench.trades.files").collect()[0][0]
    gateway = spark.sparkContext._gateway
    spark.stop()
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait()
    mine, jvm = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        json.dumps(
            {
                "cpu_seconds": mine.ru_utime + mine.ru_stime + jvm.ru_utime + jvm.ru_stime,
                "peak_rss_mb": jvm.ru_maxrss / 1024,
                "filesBefore": done.rewritten_data_files_count,
                "filesAfter": done.added_data_files_count,
                "bytesBefore": done.rewritten_bytes_count,
                "bytesAfter": after,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
