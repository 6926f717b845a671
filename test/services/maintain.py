#!/usr/bin/env python3
"""Maintenance before foreign engines: maintain.py DIR [readers|writers ...]

`readers`: every operation leaves what three readers agree on. `writers`: Spark writes to the table while it is maintained. One Spark
for both: its start takes longer than either.
"""

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import maintain_readers
import maintain_writers
from snapshots import spark_session


def main(directory, *parts):
    work = Path(tempfile.mkdtemp(prefix="maintain-", dir=directory))
    with ThreadPoolExecutor() as threads:
        made = threads.submit(maintain_readers.make_warehouse, work)
        spark = spark_session()
        warehouse = made.result()
    try:
        for part in parts or ("readers", "writers"):
            began = time.monotonic()
            if part == "readers":
                maintain_readers.readers_agree(spark, warehouse)
            else:
                maintain_writers.writers_agree(spark, warehouse)
            print(f"ok {part} ({time.monotonic() - began:.1f} s)")
    finally:
        spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
