"""Every table at every snapshot by three readers: rows, and a sum over them that no order changes and hardly any change of a row keeps.

The sum is over CRC-32 of a row's text: its columns joined by tabs, null as a hyphen, strings as they are, binary in hex, timestamps in
microseconds, doubles as the floor of 2^20 times the value. test/services/snapshots.ts computes the same with Frazil's reader.
"""

import json
import math
import os
import subprocess
import zlib
from pathlib import Path

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan

REPO = Path(__file__).parents[2]
NODE = REPO / "node_modules/.bin/node"
UNIT = 2**20


def run(*command):
    """What a command printed. Its failure is ours."""
    done = subprocess.run(list(map(str, command)), cwd=REPO, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def frazil(*arguments):
    return json.loads(run(NODE, "lib/cli/main.ts", *arguments, "--json").splitlines()[-1])


def by_frazil(warehouse):
    """All that snapshots.ts tells, by table."""
    tables = json.loads(run(NODE, "test/services/snapshots.ts", warehouse))
    for table in tables.values():
        table["snapshots"] = {int(snapshot): (rows, int(total)) for snapshot, (rows, total) in table["snapshots"].items()}
    return tables


def pyiceberg_catalog(warehouse):
    directory = Path(warehouse).absolute()
    return SqlCatalog("frazil", uri=f"sqlite:///{directory / 'catalog.db'}", warehouse=directory.as_uri(), init_catalog_tables="false")


def texts(column):
    values = column.to_pylist() if not pa.types.is_timestamp(column.type) else column.cast(pa.int64()).to_pylist()
    kind = column.type
    if pa.types.is_floating(kind):
        write = lambda value: str(math.floor(value * UNIT))
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        write = bytes.hex
    else:
        write = str
    return ["-" if value is None else write(value) for value in values]


def figures_of(arrow):
    lines = map("\t".join, zip(*(texts(column) for column in arrow.columns)))
    return arrow.num_rows, sum(zlib.crc32(line.encode()) for line in lines)


def by_pyiceberg(catalog, name):
    """Each file is read once: a snapshot's rows are those of its files. Not for tables with delete files."""
    table = catalog.load_table(name)
    read = ArrowScan(table.metadata, table.io, table.schema(), AlwaysTrue())
    known, found = {}, {}
    for snapshot in table.snapshots():
        rows = total = 0
        for task in table.scan(snapshot_id=snapshot.snapshot_id).plan_files():
            path = task.file.file_path
            if path not in known:
                known[path] = figures_of(read.to_table([task]))
            rows, total = rows + known[path][0], total + known[path][1]
        found[snapshot.snapshot_id] = (rows, total)
    return found


def spark_text(field):
    name, kind = f"`{field.name}`", field.dataType.simpleString()
    text = {
        "double": f"cast(floor({name} * {UNIT}) AS string)",
        "binary": f"lower(hex({name}))",
        "timestamp": f"cast(unix_micros({name}) AS string)",
    }.get(kind, f"cast({name} AS string)")
    return f"coalesce({text}, '-')"


def by_spark(spark, name, snapshots):
    """One query for many snapshots; Spark plans and reads each whole."""
    columns = ", ".join(map(spark_text, spark.table(name).schema.fields))
    branches = [
        f"SELECT {snapshot} AS snapshot, crc32(cast(concat_ws('\\t', {columns}) AS binary)) AS crc FROM {name} VERSION AS OF {snapshot}"
        for snapshot in snapshots
    ]
    rows = spark.sql(f"SELECT snapshot, count(*) AS n, sum(crc) AS total FROM ({' UNION ALL '.join(branches)}) GROUP BY snapshot").collect()
    return {row.snapshot: (row.n, row.total) for row in rows}


def spark_session():
    from pyspark.sql import SparkSession

    jars = Path(os.environ["FRAZIL_SERVICES"], "jars-spark")
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
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
        "spark.sql.shuffle.partitions": "1",
        # Queries are many and small: compiling each takes longer than what it does.
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
    }
    builder = SparkSession.builder.master("local[2]").appName("frazil-maintain")
    for key, value in settings.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("OFF")
    return spark


def open_in_spark(spark, warehouse):
    """A new session with the warehouse as catalog `frazil`: JdbcCatalog looks its tables up by that very name."""
    directory = Path(warehouse).absolute()
    session = spark.newSession()
    settings = {
        "": "org.apache.iceberg.spark.SparkCatalog",
        ".catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
        ".uri": f"jdbc:sqlite:{directory / 'catalog.db'}?busy_timeout=20000",
        ".jdbc.schema-version": "V1",
        ".warehouse": directory.as_uri(),
        ".cache-enabled": "false",
    }
    for key, value in settings.items():
        session.conf.set(f"spark.sql.catalog.frazil{key}", value)
    return session
