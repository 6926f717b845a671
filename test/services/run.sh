#!/usr/bin/env bash
# npm run test:services: a real Kafka broker in, foreign readers out, kills in between; then the same as functions on AWS, and
# a deployment by cdk and the stack of a laptop.
#   run.sh [--count N] [--no-kill]
# Installs what is missing, starts a broker and emulators of AWS of its own on free ports, and compares what PyIceberg, Spark and
# DuckDB read with an independent computation. In CI a missing Java, Maven or Python fails; elsewhere it skips.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
COUNT=200000
KILL=yes
FILE_ROUNDS=20
EVENT_ROUNDS=6
BROKER_ROUNDS=10
MAINTENANCE_ROUNDS=1
PARTITIONS=4
TOPIC=trades
while [ $# -gt 0 ]; do
  case "$1" in
  --count) COUNT="$2" && shift ;;
  --no-kill) KILL=no ;;
  *) fail "Cannot run the service tests: expected --count N or --no-kill, found $1." ;;
  esac
  shift
done

for tool in "$JAVA" "$MVN"; do
  command -v "$tool" >/dev/null && continue
  [ -z "${CI:-}" ] || fail "Cannot run the service tests: expected the command $tool, found none."
  echo "The service tests need $tool: skipped." >&2
  echo '0 passed, 0 failed, 1 skipped'
  exit 0
done

"$SERVICES_SRC/install.sh"
WORK="$(mktemp -d "$FRAZIL_SERVICES/run-XXXXXX")"
PY="$VENV/bin/python"
free_ports() {
  "$PY" -c 'import socket; held = [socket.create_server(("127.0.0.1", 0)) for _ in range(7)]; print(*(s.getsockname()[1] for s in held))'
}
read -r FRAZIL_KAFKA_PORT FRAZIL_KAFKA_CONTROLLER_PORT FRAZIL_MINISTACK_PORT FRAZIL_DYNAMODB_PORT \
  STACK_KAFKA_PORT STACK_CONTROLLER_PORT STACK_MINISTACK_PORT < <(free_ports)
export FRAZIL_KAFKA_PORT FRAZIL_KAFKA_CONTROLLER_PORT FRAZIL_KAFKA_DIR="$WORK/kafka"
export FRAZIL_MINISTACK_PORT FRAZIL_MINISTACK_DIR="$WORK/ministack" FRAZIL_DYNAMODB_PORT FRAZIL_DYNAMODB_DIR="$WORK/dynamodb"
BROKERS="127.0.0.1:$FRAZIL_KAFKA_PORT"
stack() { # verb options...
  env FRAZIL_STACK_DIR="$WORK/stack" FRAZIL_KAFKA_PORT="$STACK_KAFKA_PORT" FRAZIL_KAFKA_CONTROLLER_PORT="$STACK_CONTROLLER_PORT" \
    FRAZIL_MINISTACK_PORT="$STACK_MINISTACK_PORT" "$NODE" "$REPO/scripts/stack.ts" "$@"
}
passed=0
failed=0

finish() {
  [ ! -d "$WORK/stack/kafka" ] || stack stop >&2 || true
  for service in kafka ministack dynamodb-local; do "$SERVICES_SRC/$service.sh" stop >&2 || true; done
  if [ "$failed" = 0 ]; then rm -rf "$WORK"; else echo "kept: $WORK" >&2; fi
}
trap finish EXIT

step() { # name command...
  local name="$1" began
  shift
  began=$(now_ms)
  echo "== $name"
  if (cd "$REPO" && "$@"); then
    passed=$((passed + 1))
    echo "ok $name ($(($(now_ms) - began)) ms)"
  else
    failed=$((failed + 1))
    echo "FAILED $name ($(($(now_ms) - began)) ms)"
    return 1
  fi
}

node() { "$NODE" "$@"; }
frazil_run() { node lib/cli/main.ts run pipelines/trades.ts --json --until-end "$@"; }
# As the functions were told, so that readers find Glue; on_glue ENV_FILE COMMAND...
on_glue() {
  local env_file="$1"
  shift
  env $(cat "$env_file") "$@"
}
for_spark=()
readers() { # name warehouse expected
  for reader in pyiceberg duckdb; do
    step "$reader reads what was written from $1" "$PY" "$SERVICES_SRC/read_$reader.py" "$2" "$3" || true
  done
  for_spark+=("$2" "$3")
}
stop_here() {
  echo "$passed passed, $failed failed"
  exit 1
}

SHARES=(--late 0.002 --poison 0.002 --odd 0.002)
AHEAD=(--ahead 0.0005)
EXTREME_COUNT=20000
# Of the calls of functions.
KILL_SHARE=0.4
# Past midnight, so that tables have more than one partition.
START_MS=1705707000000

step 'the oracle is right about cases worked out by hand' "$PYTHON" "$SERVICES_SRC/test_oracle.py" || stop_here

# 1. From a broker: three codecs, transactions, tombstones.
step 'a broker starts' "$SERVICES_SRC/kafka.sh" start || stop_here
step 'a topic is made' "$SERVICES_SRC/kafka.sh" create-topic "$TOPIC" "$PARTITIONS" || stop_here
node "$REPO/bench/trades.ts" --count "$COUNT" --seed 3 --start "$START_MS" "${SHARES[@]}" "${AHEAD[@]}" --out "$WORK/topic.ndjson"
step 'trades are produced' node test/services/produce.ts --brokers "$BROKERS" --topic "$TOPIC" --file "$WORK/topic.ndjson" \
  --compression mixed --transactional --tombstone-every 10000 || stop_here
step 'the topic is read by another client' "$PY" "$SERVICES_SRC/dump_topic.py" "$BROKERS" "$TOPIC" "$WORK/topic.dump" || stop_here
step 'the oracle computes from the topic' "$PYTHON" "$SERVICES_SRC/oracle.py" --dump "$WORK/topic.dump" --partitions "$PARTITIONS" \
  --out "$WORK/topic.expected" || stop_here
if step 'the pipeline runs from the broker' frazil_run --warehouse "$WORK/topic.warehouse" --brokers "$BROKERS"; then
  readers 'the broker' "$WORK/topic.warehouse" "$WORK/topic.expected"
  step 'running again adds nothing' frazil_run --warehouse "$WORK/topic.warehouse" --brokers "$BROKERS" || true
  step 'pyiceberg finds the same as before' "$PY" "$SERVICES_SRC/read_pyiceberg.py" "$WORK/topic.warehouse" "$WORK/topic.expected" || true
fi

# 2. From files: the same trades as values and as events with redeliveries, in other batches. Without Kafka timestamps event
# times far ahead are accepted: the third file takes instants up to the greatest one to the readers.
from_file() { # name form options-of-trades...
  local name="$1" form="$2"
  shift 2
  node "$REPO/bench/trades.ts" --seed 4 --start "$START_MS" "${SHARES[@]}" --out "$WORK/$name.ndjson" "$@"
  "$PYTHON" "$SERVICES_SRC/oracle.py" "--$form" "$WORK/$name.ndjson" --partitions "$PARTITIONS" --out "$WORK/$name.expected"
  if step "the pipeline runs from --$form ($name)" frazil_run --warehouse "$WORK/$name.warehouse" "--$form" "$WORK/$name.ndjson"; then
    readers "--$form ($name)" "$WORK/$name.warehouse" "$WORK/$name.expected"
  fi
}
from_file values input --count "$COUNT"
from_file events events --count "$COUNT" "${AHEAD[@]}" --events --timestamps --duplicates 0.3 --batch 3000
from_file extremes input --count "$EXTREME_COUNT" "${AHEAD[@]}"

[ ${#for_spark[@]} = 0 ] || step 'spark reads all that was written' "$PY" "$SERVICES_SRC/read_spark.py" "${for_spark[@]}" || true

# 3. Killed at random points.
if [ "$KILL" = yes ]; then
  step "$FILE_ROUNDS runs from a file are killed" node test/services/kill.ts --mode input --rounds "$FILE_ROUNDS" || true
  step "$EVENT_ROUNDS runs from events with redeliveries are killed" node test/services/kill.ts --mode events --rounds "$EVENT_ROUNDS" || true
  step "$BROKER_ROUNDS runs from the broker are killed" node test/services/kill.ts --mode brokers --rounds "$BROKER_ROUNDS" \
    --brokers "$BROKERS" --expected "$WORK/topic.expected" || true
fi

# Maintained: what other engines read of it, and write meanwhile; and killed beside a run. Budgets on two quiet cores: 75 s and 20 s.
step 'readers agree on maintained tables, and Spark writes while they are' "$PY" "$SERVICES_SRC/maintain.py" "$WORK" || true
if [ "$KILL" = yes ]; then
  step 'maintenance is killed beside a run that is killed' node test/services/kill-maintenance.ts --rounds "$MAINTENANCE_ROUNDS" || true
fi

# 4. Functions on AWS: adapters and handlers by their own tests, then the topic through the mapping, ingest, commit and Glue.
step 'an emulator of AWS starts' "$SERVICES_SRC/ministack.sh" start || stop_here
step 'DynamoDB Local starts' "$SERVICES_SRC/dynamodb-local.sh" start || stop_here
export FRAZIL_TEST_AWS_ENDPOINT="http://127.0.0.1:$FRAZIL_MINISTACK_PORT"
export FRAZIL_TEST_DYNAMODB_ENDPOINT="http://127.0.0.1:$FRAZIL_DYNAMODB_PORT" FRAZIL_TEST_BROKERS="$BROKERS"
step 'adapters, functions and the event source mapping' npx vitest run -c vitest.services.config.ts || true
functions() { # name options...
  local name="$1"
  shift
  step "the topic through the functions ($name)" node test/services/functions.ts --brokers "$BROKERS" --topic "$TOPIC" \
    --out "$WORK/$name.env" "$@" || return 0
  step "pyiceberg reads what Glue names ($name)" on_glue "$WORK/$name.env" \
    "$PY" "$SERVICES_SRC/read_pyiceberg.py" glue "$WORK/topic.expected" || true
}
functions undisturbed
functions killed --kill "$KILL_SHARE" --seed 7
functions killed-without-partial-responses --kill "$KILL_SHARE" --seed 8 --no-partial
[ ! -f "$WORK/killed.env" ] || step 'spark reads what Glue names' on_glue "$WORK/killed.env" \
  "$PY" "$SERVICES_SRC/read_spark.py" glue "$WORK/topic.expected" || true

# 5. A deployment by cdk, from its first day to its last, and the stack of a laptop: it deploys cdk/app.ts and waits for the schedule.
step 'a topic for the deployment is made' "$SERVICES_SRC/kafka.sh" create-topic deployed "$PARTITIONS" || stop_here
if step 'cdk bootstraps, deploys, updates, is refused and destroys' node test/services/deploy.ts --brokers "$BROKERS" \
  --topic deployed --out "$WORK/deployed.env"; then
  "$PY" "$SERVICES_SRC/dump_topic.py" "$BROKERS" deployed "$WORK/deployed.dump"
  "$PYTHON" "$SERVICES_SRC/oracle.py" --dump "$WORK/deployed.dump" --topic deployed --partitions "$PARTITIONS" --out "$WORK/deployed.expected"
  step 'pyiceberg reads what the destroyed stack left' on_glue "$WORK/deployed.env" \
    "$PY" "$SERVICES_SRC/read_deployed.py" "$WORK/deployed.expected" || true
fi
step 'npm run stack deploys and shows tables' stack start --count 20000 || true
step 'npm run stack:stop ends it' stack stop || true
step 'the compose file names what there is' "$FRAZIL_SERVICES/venv-ministack/bin/python" "$SERVICES_SRC/test_compose.py" || true

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
