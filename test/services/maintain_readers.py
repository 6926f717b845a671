"""Readers agree: what compaction, merged manifests, expiry, the sweep of orphans and retention leave of a warehouse is read alike at
every snapshot by Frazil, PyIceberg and Spark, before and after."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pyiceberg.expressions import GreaterThanOrEqual

from snapshots import NODE, by_frazil, by_pyiceberg, by_spark, figures_of, frazil, open_in_spark, pyiceberg_catalog, run

TABLES = ("raw_trades", "agg_1m", "agg_1m_late", "dead_letters")
DAY_SECONDS = 86_400
# Half an hour before midnight: two days of trades, one of which retention drops.
START_MS = 1705707000000
SPAN_MS = 10_800_000
MIDNIGHT = "2024-01-20T00:00:00+00:00"
# Six hours after that midnight.
BETWEEN_DAYS = 1705730400
LEAST_COMMITS = 30
RETAINED = 3
SPARK_SNAPSHOTS = 4


class Differs(AssertionError):
    pass


def expect(condition, text):
    if not condition:
        raise Differs(text)


def make_warehouse(work, events=1200):
    """A run with as many commits as it can make."""
    file, warehouse = work / "maintain.events", work / "maintained"
    trades = ("--seed", 5, "--start", START_MS, "--span", SPAN_MS, "--late", 0.003, "--poison", 0.003)
    run(NODE, "bench/trades.ts", "--count", events * 20, *trades, "--events", "--timestamps", "--batch", 40, "--out", file)
    run(NODE, "lib/cli/main.ts", "run", "pipelines/trades.ts", "--events", file, "--warehouse", warehouse, "--until-end", "--commit-interval", "1ms")
    return warehouse


def spread(snapshots):
    """So many, evenly spread, and the newest: Spark takes its time to open files."""
    step = max(1, len(snapshots) // SPARK_SNAPSHOTS)
    return sorted({*snapshots[::-step], snapshots[-1]})


class Agreement:
    """What was read of a warehouse so far."""

    def __init__(self, spark, warehouse):
        self.spark = open_in_spark(spark, warehouse)
        self.warehouse = warehouse
        self.catalog = pyiceberg_catalog(warehouse)
        self.known = {name: {} for name in TABLES}
        self.current = {}

    def look(self, step, changes_rows=False):
        """Reads every retained snapshot, by Spark a few while they are many; what was there before must be as it was."""
        began = time.monotonic()
        tables = by_frazil(self.warehouse)
        seconds = {"frazil": time.monotonic() - began, "pyiceberg": 0, "spark": 0}
        compared = 0
        for name in TABLES:
            ours, current = tables[name]["snapshots"], tables[name]["current"]
            at = time.monotonic()
            theirs = by_pyiceberg(self.catalog, f"trades.{name}")
            seconds["pyiceberg"] += time.monotonic() - at
            at = time.monotonic()
            sample = spread(list(ours))
            sparks = by_spark(self.spark, f"frazil.trades.{name}", sample)
            seconds["spark"] += time.monotonic() - at
            expect(ours == theirs, f"{step}: {name}: Frazil reads {ours}, PyIceberg {theirs}")
            ours_of_those = {snapshot: ours[snapshot] for snapshot in sample}
            expect(ours_of_those == sparks, f"{step}: {name}: Frazil reads {ours_of_those}, Spark {sparks}")
            for snapshot, figures in ours.items():
                before = self.known[name].setdefault(snapshot, figures)
                expect(before == figures, f"{step}: {name} at {snapshot}: {before} before, {figures} after")
            compared += len(ours)
            now = ours[int(current)]
            expect(changes_rows or self.current.get(name, now) == now, f"{step}: {name}: {self.current.get(name)} before, {now} after")
            self.current[name] = now
        sizes = {name: tables[name]["size"] for name in TABLES}
        print(json.dumps({"step": step, "snapshots": compared, "seconds": {k: round(v, 1) for k, v in seconds.items()}, "tables": sizes}))
        return tables

    def each(self, *command):
        one = lambda name: frazil(*command, f"trades.{name}", "--warehouse", self.warehouse, "--apply")
        with ThreadPoolExecutor(2) as threads:
            return dict(zip(TABLES, threads.map(one, TABLES)))


def plant(tables):
    """Strays of six days beside each table's files, and one of now; returns both."""
    old, young = [], []
    for name, table in tables.items():
        for path in ("data/00000-7-stray.parquet", "data/event_time_day=2024-01-19/stray.parquet", "metadata/stray-m0.avro"):
            file = Path(table) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"nobody's")
            at = time.time() - 6 * DAY_SECONDS
            os.utime(file, (at, at))
            old.append(file)
        file = Path(table) / "data/00000-8-young.parquet"
        file.write_bytes(b"of a commit under way")
        young.append(file)
    return old, young


def check_order(agreement, tables):
    """The files of the sorted table say to PyIceberg and Spark, too, that they are sorted, and are."""
    size = tables["agg_1m"]["size"]
    expect(size["sortedFiles"] == size["files"], f"{size['sortedFiles']} of {size['files']} files are sorted")
    rows = agreement.spark.sql("SELECT sort_order_id, file_path FROM frazil.trades.agg_1m.files").collect()
    expect({row.sort_order_id for row in rows} == {1}, f"Spark sees sort orders {rows}")
    ids = set(agreement.catalog.load_table("trades.agg_1m").inspect.files()["sort_order_id"].to_pylist())
    expect(ids == {1}, f"PyIceberg sees sort orders {ids}")
    for row in rows:
        found = agreement.spark.read.parquet(row.file_path).select("symbol", "window_start").collect()
        expect(found == sorted(found), f"{row.file_path} is not sorted")


def spark_goes_on(agreement):
    """Spark's metadata tables can be read, and its own maintenance works on what ours left."""
    spark, counts = agreement.spark, {}
    for name in TABLES:
        for kind in ("files", "manifests", "snapshots", "refs", "history", "entries", "partitions", "metadata_log_entries", "all_data_files"):
            counts[f"{name}.{kind}"] = len(spark.sql(f"SELECT * FROM frazil.trades.{name}.{kind}").collect())
        expect(counts[f"{name}.snapshots"] == len(agreement.catalog.load_table(f"trades.{name}").snapshots()), f"{name}: Spark sees other snapshots")
        for kind in ("files", "manifests", "refs", "history"):
            expect(counts[f"{name}.{kind}"] > 0, f"{name}: Spark sees no {kind}")
        before = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() - 2 * DAY_SECONDS))
        of_table = f"table => 'trades.{name}'"
        stray = spark.sql(f"CALL frazil.system.remove_orphan_files({of_table}, older_than => TIMESTAMP '{before}', dry_run => true)").collect()
        expect(stray == [], f"{name}: Spark finds orphans {stray}")
        spark.sql(f"CALL frazil.system.rewrite_manifests({of_table}, use_caching => false)").collect()
        spark.sql(f"CALL frazil.system.expire_snapshots({of_table}, older_than => TIMESTAMP '2100-01-01 00:00:00', retain_last => 1)").collect()
    return counts


def readers_agree(spark, warehouse):
    agreement = Agreement(spark, warehouse)
    first = agreement.look("written")
    commits = first["raw_trades"]["size"]["snapshots"]
    expect(commits >= LEAST_COMMITS, f"expected at least {LEAST_COMMITS} commits, found {commits}")
    agreement.each("compact", "--hot", "--min-input-files", "2")
    compacted = agreement.look("compacted")
    for name in TABLES:
        before, after = first[name]["size"], compacted[name]["size"]
        expect(after["files"] < before["files"] and after["files"] <= 2, f"{name}: {before['files']} files became {after['files']}")
        expect(after["bytes"] < before["bytes"], f"{name}: {before['bytes']} bytes became {after['bytes']}")
    check_order(agreement, compacted)
    agreement.each("compact", "--hot", "--manifests")
    merged = agreement.look("manifests merged")
    for name in TABLES:
        expect(merged[name]["size"]["manifests"] == 1, f"{name}: {merged[name]['size']['manifests']} manifests")
    agreement.each("expire", "--older-than", "1ms", "--retain-last", RETAINED)
    expired = agreement.look("expired")
    for name in TABLES:
        expect(expired[name]["size"]["snapshots"] <= RETAINED + 1, f"{name}: {expired[name]['size']['snapshots']} snapshots")
        expect(expired[name]["size"]["storedBytes"] < merged[name]["size"]["storedBytes"], f"{name}: storage did not shrink")
    old, young = plant({name: agreement.warehouse / "trades" / name for name in TABLES})
    said = agreement.each("orphans", "--older-than", "3d", "--quarantine", "1h")
    expect(all(file.exists() for file in old), "a stray went before its quarantine ended")
    expect(all(len(one["quarantined"]) == 3 for one in said.values()), f"strays were not found: {said}")
    agreement.each("orphans", "--older-than", "3d", "--quarantine", "0s")
    expect([file for file in old if file.exists()] == [], "strays were left")
    expect(all(file.exists() for file in young), "a young file was deleted")
    for file in young:
        file.unlink()
    swept = agreement.look("orphans swept")
    raw = agreement.catalog.load_table("trades.raw_trades")
    stays = figures_of(raw.scan(row_filter=GreaterThanOrEqual("event_time", MIDNIGHT)).to_arrow())
    hours = int((time.time() - BETWEEN_DAYS) // 3600)
    frazil("expire", "trades.raw_trades", "--warehouse", warehouse, "--older-than", "7d", "--rows-older-than", f"{hours}h", "--apply")
    dropped = agreement.look("old days dropped", changes_rows=True)
    expect(0 < stays[0] < first["raw_trades"]["snapshots"][int(first["raw_trades"]["current"])][0], "retention had nothing to choose from")
    expect(agreement.current["raw_trades"] == stays, f"{agreement.current['raw_trades']} stayed, expected {stays}")
    expect(dropped["raw_trades"]["size"]["files"] < swept["raw_trades"]["size"]["files"], "no file was dropped")
    print(json.dumps({"spark_metadata_rows": spark_goes_on(agreement)}))
    agreement.look("Spark's own maintenance")
