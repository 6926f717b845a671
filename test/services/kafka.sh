#!/usr/bin/env bash
# One real Kafka broker (KRaft, one node) from the jars that install.sh copied. No distribution archive, no docker.
#   kafka.sh start | stop | status | destroy
#   kafka.sh create-topic NAME [PARTITIONS=4]
#   kafka.sh offsets NAME
# State of one broker: FRAZIL_KAFKA_DIR (default $FRAZIL_SERVICES/kafka). Ports: FRAZIL_KAFKA_PORT (default 19092) and the
# next one for its controller. Two brokers with their own directories and ports do not meet.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
DIR="${FRAZIL_KAFKA_DIR:-$FRAZIL_SERVICES/kafka}"
PORT="${FRAZIL_KAFKA_PORT:-19092}"
CONTROLLER_PORT="${FRAZIL_KAFKA_CONTROLLER_PORT:-$((PORT + 1))}"
HEAP="${FRAZIL_KAFKA_HEAP:-512m}"
JARS="$FRAZIL_SERVICES/jars-kafka"
START_LIMIT_MS=60000
STOP_LIMIT_MS=30000

configure() {
  mkdir -p "$DIR"
  cat >"$DIR/log4j2.properties" <<P
status=error
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %p %c{1} %m%n
P
  cat >"$DIR/server.properties" <<P
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$CONTROLLER_PORT
listeners=PLAINTEXT://127.0.0.1:$PORT,CONTROLLER://127.0.0.1:$CONTROLLER_PORT
advertised.listeners=PLAINTEXT://127.0.0.1:$PORT
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$DIR/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
# Trades carry the event times of years ago as their timestamps: nothing may expire, nothing may be refused for its age.
log.retention.ms=-1
log.retention.bytes=-1
P
}

tool() { "$JAVA" -Xmx256m -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile="$DIR/log4j2.properties" -cp "$JARS/*" "$@"; }

# A pid alone may have been given to another process since: its start time tells them apart.
started_at() { ps -o lstart= -p "$1" 2>/dev/null || true; }
running_pid() {
  local pid started
  [ -f "$DIR/pid" ] || return 1
  { read -r pid && read -r started; } <"$DIR/pid" || return 1
  [ -n "$started" ] && [ "$(started_at "$pid")" = "$started" ] && echo "$pid"
}

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; }
memory_mb() { ps -o rss= -p "$1" | awk '{print int($1 / 1024)}'; }

start() {
  local pid began
  if pid=$(running_pid); then
    echo "kafka: already up, pid $pid"
    return
  fi
  "$SERVICES_SRC/install.sh" kafka >/dev/null
  ! port_open || fail "Cannot start Kafka: expected port $PORT to be free, found it in use. Set FRAZIL_KAFKA_PORT."
  configure
  began=$(now_ms)
  [ -f "$DIR/data/meta.properties" ] ||
    tool kafka.tools.StorageTool format -t "$(tool kafka.tools.StorageTool random-uuid | tail -1)" -c "$DIR/server.properties" >"$DIR/format.log" 2>&1 ||
    fail "Cannot format Kafka's storage: $(tail -5 "$DIR/format.log")"
  nohup "$JAVA" -Xms128m "-Xmx$HEAP" -XX:+UseG1GC -Dlog4j2.configurationFile="$DIR/log4j2.properties" -cp "$JARS/*" \
    kafka.Kafka "$DIR/server.properties" >"$DIR/kafka.log" 2>&1 </dev/null &
  pid=$!
  printf '%s\n%s\n' "$pid" "$(started_at "$pid")" >"$DIR/pid"
  until port_open; do
    running_pid >/dev/null || fail "Cannot start Kafka: its process ended. $(tail -20 "$DIR/kafka.log")"
    [ $(($(now_ms) - began)) -lt "$START_LIMIT_MS" ] || fail "Cannot start Kafka: port $PORT did not open in $START_LIMIT_MS ms. See $DIR/kafka.log."
    sleep 0.1
  done
  echo "kafka: up on 127.0.0.1:$PORT after $(($(now_ms) - began)) ms, pid $pid, $(memory_mb "$pid") MB"
}

stop() {
  local pid began
  if ! pid=$(running_pid); then
    rm -f "$DIR/pid"
    echo 'kafka: not running'
    return
  fi
  began=$(now_ms)
  kill "$pid"
  while running_pid >/dev/null; do
    # Its data is of no further use to a test that waits this long.
    [ $(($(now_ms) - began)) -lt "$STOP_LIMIT_MS" ] || kill -9 "$pid" 2>/dev/null || true
    sleep 0.1
  done
  rm -f "$DIR/pid"
  echo "kafka: stopped in $(($(now_ms) - began)) ms"
}

case "${1:-}" in
start) start ;;
stop) stop ;;
status)
  if pid=$(running_pid); then echo "kafka: up on 127.0.0.1:$PORT, pid $pid, $(memory_mb "$pid") MB"; else
    echo 'kafka: not running'
    exit 1
  fi
  ;;
destroy)
  stop
  rm -rf "$DIR"
  ;;
create-topic)
  tool org.apache.kafka.tools.TopicCommand --bootstrap-server "127.0.0.1:$PORT" --create --if-not-exists \
    --topic "${2:?name of the topic}" --partitions "${3:-4}" --replication-factor 1
  ;;
offsets) tool org.apache.kafka.tools.GetOffsetShell --bootstrap-server "127.0.0.1:$PORT" --topic "${2:?name of the topic}" ;;
*)
  sed -n '2,7p' "${BASH_SOURCE[0]}" >&2
  exit 2
  ;;
esac
