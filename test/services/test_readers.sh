#!/usr/bin/env bash
# Tries the readers on tables that PyIceberg wrote: right ones must pass, each kind of wrong one must be noticed.
#   test_readers.sh [READER ...]     (default: pyiceberg duckdb spark)
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
READERS=("${@:-pyiceberg}")
[ $# -gt 0 ] || READERS=(pyiceberg duckdb spark)
COUNT=20000
WORK="$(mktemp -d)"
trap 'rm -rf "$WORK"' EXIT
PY="$VENV/bin/python"
passed=0
failed=0

check() { # name expected-exit command...
  local name="$1" expected="$2" code=0
  shift 2
  "$@" >"$WORK/log" 2>&1 || code=$?
  if [ "$code" = "$expected" ]; then passed=$((passed + 1)) && echo "ok $name"; else
    failed=$((failed + 1))
    echo "FAILED $name: expected exit $expected, found $code"
    tail -20 "$WORK/log"
  fi
}

# PyIceberg's writer knows no instants past the year 9999: those are left to the tables that we write.
"$NODE" "$REPO/bench/trades.ts" --count "$COUNT" --poison 0.01 --odd 0.05 --out "$WORK/trades.ndjson"
"$PYTHON" "$SERVICES_SRC/oracle.py" --input "$WORK/trades.ndjson" --partitions 4 --out "$WORK/expected"
for spoiled in nothing last-bit repeat lose; do
  options=()
  [ "$spoiled" = nothing ] || options=(--spoil "$spoiled")
  "$PY" "$SERVICES_SRC/write_tables.py" "$WORK/expected" "$WORK/$spoiled" ${options[@]+"${options[@]}"}
  for reader in "${READERS[@]}"; do
    if [ "$spoiled" = nothing ]; then expected=0; else expected=1; fi
    check "$reader reads tables with $spoiled wrong" "$expected" "$PY" "$SERVICES_SRC/read_$reader.py" "$WORK/$spoiled" "$WORK/expected"
  done
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
