"""The judge is judged by cases worked out by hand, and by Kafka's own vectors for its hash."""

import json
import math
import random
import sys
import unittest
from base64 import b64encode
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parent))
import oracle

START = 1_705_641_600_000  # a full minute


def trade(ts, price=1.0, qty=1.0, symbol="A"):
    return f'{{"symbol":"{symbol}","ts":{ts},"price":{price},"qty":{qty}}}'.encode()


def judge(value, timestamp=None):
    parsed = oracle.parse_object(value)
    if parsed is None:
        return None
    try:
        return oracle.row_of(parsed, timestamp)
    except oracle.Malformed:
        return None


def compute(*values, until_end=True):
    records = [(0, i, None, b"A", value, oracle.parse_object(value)) for i, value in enumerate(values)]
    return oracle.compute(records, "trades", (0,), until_end)


class Decoding(unittest.TestCase):
    def accepted(self, text, expected):
        self.assertEqual(repr(judge(text.encode("latin1"))), repr(expected), text)

    def refused(self, text):
        self.assertIsNone(judge(text.encode("latin1")), text)

    def test_a_value_that_is_not_one_strict_json_object_is_refused(self):
        good = '"symbol":"A","ts":1,"price":1,"qty":1'
        for text in ("", " ", "null", "[]", "1", '"x"', f"{{{good}", f"{{{good},}}", f"{{{good}}} x", f"\xef\xbb\xbf{{{good}}}"):
            self.refused(text)
        for bad in ("NaN", "Infinity", "01", "1.", ".5", "+1", "-", "0x1", "\xff", '"\xc0\xaf"', '"\xed\xa0\x80"', '"\\ud800"', '"a\nb"'):
            self.refused(f'{{"x":{bad},{good}}}')
            self.refused(f'{{"x":[{bad}],{good}}}')

    def test_numbers_follow_the_rules_of_their_column(self):
        self.accepted('{"symbol":"","ts":-0,"price":-0,"qty":-0.0}', ("", 0, -0.0, -0.0, None))
        self.accepted('{"symbol":"A","ts":1,"price":9007199254740993,"qty":1e-400}', ("A", 1, 9007199254740992.0, 0.0, None))
        for ts in ("1.0", "1e3", '"1"', "true", "null", "9223372036854775808", "8640000000000001", "9" * 5000):
            self.refused(f'{{"symbol":"A","ts":{ts},"price":1,"qty":1}}')
        for price in ("1e309", "9" * 400, '"1"', "null", "false", "[1]"):
            self.refused(f'{{"symbol":"A","ts":1,"price":{price},"qty":1}}')

    def test_the_last_of_duplicate_keys_wins_and_unknown_keys_are_ignored(self):
        self.accepted('{"qty":"x","symbol":"A","ts":1,"price":1,"qty":2,"__proto__":{"a":1e999}}', ("A", 1, 1.0, 2.0, None))

    def test_an_event_time_far_beyond_the_kafka_timestamp_is_refused(self):
        self.assertIsNotNone(judge(trade(START + 600_000), START))
        self.assertIsNone(judge(trade(START + 600_001), START))
        self.assertIsNotNone(judge(trade(START + 600_001), None))


class Tables(unittest.TestCase):
    def test_a_record_is_late_when_its_window_ended_at_or_before_the_watermark_before_it(self):
        on_time = compute(trade(START), trade(START + 64_999), trade(START + 1))
        self.assertEqual(on_time["agg_1m_late"], [])
        late = compute(trade(START), trade(START + 65_000), trade(START + 1))
        self.assertEqual(len(late["agg_1m_late"]), 1)
        self.assertTrue(late["agg_1m_late"][0].endswith(f"{START}000\t{START + 60_000}000\t{START + 60_000}000"))
        self.assertEqual(len(late["raw_trades"]), 3)

    def test_dead_letters_do_not_move_the_watermark(self):
        tables = compute(trade(START), b'{"symbol":"A","ts":%d,"price":"x","qty":1}' % (START + 3_600_000), trade(START + 1))
        self.assertEqual((len(tables["agg_1m_late"]), len(tables["dead_letters"])), (0, 1))

    def test_first_and_last_go_by_event_time_then_offset(self):
        row = compute(trade(START + 9, 1.0), trade(START, 2.0), trade(START + 9, 3.0), trade(START, 4.0))["agg_1m"][0].split("\t")
        self.assertEqual(row[3:], ["2.0", "4.0", "1.0", "3.0", "4.0", "4", "2.5"])

    def test_minus_zero_lies_below_zero_and_sums_are_never_minus_zero(self):
        row = compute(trade(START, "0.0", "-0.0"), trade(START, "-0.0", "-0.0"))["agg_1m"][0].split("\t")
        self.assertEqual(row[3:], ["0.0", "0.0", "-0.0", "-0.0", "0.0", "2", "0.0"])

    def test_times_before_1970_floor(self):
        self.assertTrue(compute(trade(-1))["agg_1m"][0].startswith('"A"\t-60000000\t0\t'))

    def test_only_windows_that_every_partition_has_passed_close_before_the_end(self):
        values = trade(START), trade(START + 65_000)
        self.assertEqual(len(compute(*values, until_end=False)["agg_1m"]), 1)
        self.assertEqual(len(compute(*values)["agg_1m"]), 2)

    def test_sums_are_exact_and_rounded_once(self):
        chance = random.Random(1)
        for _ in range(200):
            values = [math.ldexp(chance.uniform(-1, 1), chance.randrange(-60, 60)) for _ in range(chance.randrange(1, 200))]
            self.assertEqual(oracle.exact_sum(values), float(sum(map(Fraction, values))))
        self.assertEqual(oracle.exact_sum([1.7e308, 1.7e308, -1.7e308]), 1.7e308)
        self.assertEqual(oracle.exact_sum([1.7e308, 1.7e308]), math.inf)


class Sources(unittest.TestCase):
    def test_the_hash_is_kafkas(self):
        vectors = {
            b"21": -973932308,
            b"foobar": -790332482,
            b"a-little-bit-long-string": -985981536,
            b"a-little-bit-longer-string": -1486304829,
            b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
            b"abc": 479470107,
        }
        for data, signed in vectors.items():
            self.assertEqual(oracle.murmur2(data), signed & 0xFFFFFFFF, data)

    def test_a_record_that_was_delivered_before_counts_once(self):
        def event(*offsets):
            records = [{"topic": "t", "partition": 0, "offset": o, "key": None, "value": b64encode(trade(o)).decode()} for o in offsets]
            return json.dumps({"records": {"t-0": records}})

        with TemporaryDirectory() as directory:
            path = Path(directory, "events")
            path.write_text("\n".join((event(5, 6), event(5, 6), event(6, 7), event(7), event(9))))
            self.assertEqual([record[1] for record in oracle.records_of_events(path, "t")], [5, 6, 7, 9])

    def test_a_value_without_a_readable_symbol_goes_by_its_line_number(self):
        with TemporaryDirectory() as directory:
            path = Path(directory, "input")
            path.write_bytes(b"\n".join((b"{}", b"x", b"{}", trade(1, symbol="foobar"))) + b"\n")
            found = [(record[0], record[1], record[3]) for record in oracle.records_of_input(path, 2)]
            partition = (-790332482 & 0x7FFFFFFF) % 2
            self.assertEqual(found, [(0, 0, None), (1, 0, None), (0, 1, None), (partition, [2, 1][partition], b"foobar")])


if __name__ == "__main__":
    sys.set_int_max_str_digits(0)
    unittest.main()
