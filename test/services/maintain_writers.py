"""Spark writes to a table while `frazil compact`, `expire` and `orphans` run on it in a loop of their own: no row is lost, doubled or
resurrected, deletes are left alone and said, a tag outlives all of it."""

import json
import os
import time
from threading import Event, Thread

from maintain_readers import expect
from snapshots import frazil, open_in_spark, pyiceberg_catalog

TABLE = "frazil.trades.raw_trades"
NAME = "trades.raw_trades"
TRIES = 8
ROUNDS = 3
SIX_DAYS_SECONDS = 6 * 86_400
# What a statement says that lost its race: the files it read or meant to replace are no longer the table's.
LOST = ("ValidationException", "CommitFailedException", "CommitStateUnknown", "NotFoundException", "FileNotFound", "Missing required files", "SQLITE_BUSY", "Failed to open input stream", "does not exist")


def rows_of(spark):
    """Rows by what names them: (partition, offset)."""
    found = spark.sql(f"SELECT kafka_partition, kafka_offset, symbol, price FROM {TABLE}").collect()
    rows = {(row[0], row[1]): (row[2], row[3]) for row in found}
    expect(len(rows) == len(found), f"{len(found) - len(rows)} rows are doubled")
    return rows


class Loop:
    """The commands, over and over until it is ended: compact by itself, expire and orphans in turns."""

    def __init__(self, warehouse):
        self.warehouse = warehouse
        self.ended = Event()
        self.counts = {"compact": 0, "expire": 0, "orphans": 0, "gave_up": 0, "left_alone": 0}
        self.failure = None
        self.threads = [Thread(target=self.over_and_over, args=[work]) for work in (self.compact, self.expire_and_sweep)]
        for thread in self.threads:
            thread.start()

    def over_and_over(self, work):
        try:
            while not self.ended.is_set():
                work()
        except BaseException as failure:
            self.failure = failure

    def command(self, name, *options):
        return frazil(name, NAME, "--warehouse", self.warehouse, "--apply", *options)

    def compact(self):
        done = self.command("compact", "--hot", "--min-input-files", "2")
        self.counts["compact"] += done["result"]["filesBefore"] > 0
        self.counts["gave_up"] += len(done["result"]["gaveUp"])
        self.counts["left_alone"] += any(one["why"] == "delete files" for one in done["leftAlone"])

    def expire_and_sweep(self):
        self.counts["expire"] += self.command("expire", "--older-than", "1ms", "--retain-last", "2")["expired"] > 0
        stray = self.warehouse / f"trades/raw_trades/data/stray-{self.counts['orphans']}.parquet"
        stray.write_bytes(b"nobody's")
        at = time.time() - SIX_DAYS_SECONDS
        os.utime(stray, (at, at))
        self.command("orphans", "--older-than", "1h", "--quarantine", "0s")
        expect(not stray.exists(), "a stray was left")
        self.counts["orphans"] += 1

    def end(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()
        if self.failure is not None:
            raise self.failure


class Writer:
    """Spark's statements, each tried again when it lost a race, and the rows that there must be."""

    def __init__(self, spark):
        self.spark = spark
        self.rows = rows_of(spark)
        self.lost = 0

    def do(self, statement, landed=lambda: False):
        """`landed` tells whether a failed try did its work nevertheless: its outcome may have been unknown."""
        for attempt in range(TRIES):
            try:
                return self.spark.sql(statement).collect()
            except Exception as failure:
                if attempt + 1 == TRIES or not any(sign in str(failure) for sign in LOST):
                    raise
                self.lost += 1
                if landed():
                    return None

    def append(self, partition, day, count):
        new = {(partition, offset): (f"S{offset % 7}", float(offset)) for offset in range(count)}
        rows = ", ".join(f"('S{offset % 7}', {offset}D, {offset}L)" for offset in range(count))
        landed = lambda: self.spark.sql(f"SELECT 1 FROM {TABLE} WHERE kafka_partition = {partition} LIMIT 1").count() > 0
        self.do(
            f"INSERT INTO {TABLE} SELECT symbol, unix_millis(t), price, 1D, NULL, t, {partition}, n"
            f" FROM (SELECT col1 AS symbol, col2 AS price, col3 AS n, TIMESTAMP '{day} 12:00:00Z' AS t FROM VALUES {rows})",
            landed,
        )
        self.rows.update(new)

    def delete(self, partition, rest):
        self.do(f"DELETE FROM {TABLE} WHERE kafka_partition = {partition} AND kafka_offset % 10 = {rest}")
        self.rows = {key: row for key, row in self.rows.items() if not (key[0] == partition and key[1] % 10 == rest)}

    def merge(self, partition, to):
        """Rewrites the first, deletes the second, adds a third."""
        self.do(
            f"MERGE INTO {TABLE} t USING (SELECT col1 AS p, col2 AS o, col3 AS price FROM VALUES ({partition}, 1L, {to}D), ({partition}, 2L, -1D), ({partition}, {1000 + to}L, {to}D)) s"
            " ON t.kafka_partition = s.p AND t.kafka_offset = s.o"
            " WHEN MATCHED AND s.price < 0 THEN DELETE WHEN MATCHED THEN UPDATE SET price = s.price"
            " WHEN NOT MATCHED THEN INSERT (symbol, ts, price, qty, side, event_time, kafka_partition, kafka_offset)"
            " VALUES ('NEW', 0, s.price, 1D, NULL, TIMESTAMP '2024-01-20 13:00:00Z', s.p, s.o)"
        )
        if (partition, 1) in self.rows:
            self.rows[partition, 1] = (self.rows[partition, 1][0], float(to))
        self.rows.pop((partition, 2), None)
        self.rows[partition, 1000 + to] = ("NEW", float(to))

    def rewrite(self):
        options = "'rewrite-all', 'true', 'delete-file-threshold', '1', 'remove-dangling-deletes', 'true'"
        self.do(f"CALL frazil.system.rewrite_data_files(table => '{NAME}', options => map({options}))")

    def check(self, step):
        found = rows_of(self.spark)
        lost, more = self.rows.keys() - found.keys(), found.keys() - self.rows.keys()
        other = [key for key in self.rows.keys() & found.keys() if self.rows[key] != found[key]]
        expect(not lost and not more and not other, f"{step}: {len(lost)} rows lost {sorted(lost)[:3]}, {len(more)} too many {sorted(more)[:3]}, {len(other)} others {other[:3]}")


def writers_agree(session, warehouse):
    spark = open_in_spark(session, warehouse)
    on_read = ", ".join(f"'write.{kind}.mode' = 'merge-on-read'" for kind in ("delete", "update", "merge"))
    spark.sql(f"ALTER TABLE {TABLE} SET TBLPROPERTIES ({on_read}, 'commit.retry.num-retries' = '10')")
    writer = Writer(spark)
    loop = Loop(warehouse)
    try:
        for round in range(ROUNDS):
            for step in range(3):
                writer.append(100 + 10 * round + step, f"2024-01-{19 + step}", 50)
            # Of the second day, then of the first: the third has no deletes and is compacted all the time.
            writer.delete(round, 3)
            writer.merge(100 + 10 * round, round + 1)
            if round == 0:
                writer.do(f"ALTER TABLE {TABLE} CREATE TAG kept")
                tagged = rows_of_tag(spark)
            writer.check(f"round {round}, beside the loop")
            if round % 2 == 1:
                writer.rewrite()
                writer.check("Spark's own rewrite, beside the loop")
    finally:
        loop.end()
    expect(loop.counts["compact"] > 0 and loop.counts["expire"] > 0 and loop.counts["left_alone"] > 0, f"the loop had nothing to do: {loop.counts}")

    # Nobody else is there: two small files in a day with deletes.
    for partition in (200, 201):
        writer.append(partition, "2024-01-20", 20)
    writer.delete(200, 4)
    alone = loop.command("compact", "--hot", "--min-input-files", "2")
    expect([one["partition"] for one in alone["leftAlone"] if one["why"] == "delete files"].count("event_time_day=2024-01-20") == 1, f"deletes were not left alone: {alone}")
    writer.check("with deletes")
    loop.command("expire", "--older-than", "1ms", "--retain-last", "1")
    loop.command("orphans", "--older-than", "1h", "--quarantine", "0s")
    writer.check("expired and swept")
    expect(rows_of_tag(spark) == tagged, "the tag reads other rows than when it was made")
    writer.rewrite()
    for partition in (202, 203):
        writer.append(partition, "2024-01-20", 20)
    then = loop.command("compact", "--hot", "--min-input-files", "2")
    expect(then["leftAlone"] == [] and then["result"]["filesBefore"] > 0, f"Spark took the deletes away, but: {then}")
    writer.check("compacted after Spark took the deletes away")
    pyiceberg = pyiceberg_catalog(warehouse).load_table(NAME).scan().to_arrow()
    expect(pyiceberg.num_rows == len(writer.rows), f"PyIceberg reads {pyiceberg.num_rows} rows, expected {len(writer.rows)}")
    print(json.dumps({"rows": len(writer.rows), "spark_tries_lost": writer.lost, **loop.counts}))


def rows_of_tag(spark):
    return {tuple(row) for row in spark.sql(f"SELECT kafka_partition, kafka_offset, symbol, price FROM {TABLE} VERSION AS OF 'kept'").collect()}
