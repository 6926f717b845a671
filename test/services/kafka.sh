#!/usr/bin/env bash
# One real Kafka broker (KRaft, one node) from the jars that install.sh copied. No distribution archive, no docker.
#   kafka.sh start | stop | status | destroy
#   kafka.sh create-topic NAME [PARTITIONS=4]
#   kafka.sh offsets NAME
# State of one broker: FRAZIL_KAFKA_DIR (default $FRAZIL_SERVICES/kafka). Ports: FRAZIL_KAFKA_PORT (default 19092) and the
# next one for its controller. Two brokers with their own directories and ports do not meet.
# FRAZIL_KAFKA_SECURE_PORT adds two listeners: there TLS with a login (PLAIN or SCRAM), on the next port TLS with a client's
# certificate. Their keys, made by openssl, are in DIR/tls.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
. "$SERVICES_SRC/daemon.sh"
NAME=kafka
DIR="${FRAZIL_KAFKA_DIR:-$FRAZIL_SERVICES/kafka}"
PORT="${FRAZIL_KAFKA_PORT:-19092}"
CONTROLLER_PORT="${FRAZIL_KAFKA_CONTROLLER_PORT:-$((PORT + 1))}"
PORT_VARIABLE=FRAZIL_KAFKA_PORT
HEAP="${FRAZIL_KAFKA_HEAP:-512m}"
JARS="$FRAZIL_SERVICES/jars-kafka"
SECURE_PORT="${FRAZIL_KAFKA_SECURE_PORT:-}"
# Of no secret: they guard a broker that lives for a test.
LOGIN_USER=frazil
LOGIN_PASSWORD=test-password
KEY_PASSWORD=test-key

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
  [ -z "$SECURE_PORT" ] || secure
}

# PEM: a key and its certificate, signed by an authority of our own.
certificate() { # name subject
  openssl req -newkey rsa:2048 -nodes -keyout "$DIR/tls/$1.plain" -subj "/CN=$2" -out "$DIR/tls/$1.csr" 2>>"$DIR/tls/log"
  openssl pkcs8 -topk8 -in "$DIR/tls/$1.plain" -passout "pass:$KEY_PASSWORD" -v1 PBE-SHA1-3DES -out "$DIR/tls/$1.key" 2>>"$DIR/tls/log"
  openssl x509 -req -in "$DIR/tls/$1.csr" -CA "$DIR/tls/ca.pem" -CAkey "$DIR/tls/ca.key" -CAcreateserial -days 30 \
    -extfile <(echo "subjectAltName=IP:127.0.0.1,DNS:localhost") -out "$DIR/tls/$1.pem" 2>>"$DIR/tls/log"
}
secure() {
  local listener
  mkdir -p "$DIR/tls"
  openssl req -x509 -newkey rsa:2048 -nodes -keyout "$DIR/tls/ca.key" -subj /CN=frazil-test -days 30 -out "$DIR/tls/ca.pem" 2>"$DIR/tls/log"
  certificate broker localhost
  certificate client frazil
  cat "$DIR/tls/broker.key" "$DIR/tls/broker.pem" >"$DIR/tls/broker.both.pem"
  sed -i -e "s|^listeners=.*|&,LOGIN://127.0.0.1:$SECURE_PORT,MUTUAL://127.0.0.1:$((SECURE_PORT + 1))|" \
    -e "s|^advertised.listeners=.*|&,LOGIN://127.0.0.1:$SECURE_PORT,MUTUAL://127.0.0.1:$((SECURE_PORT + 1))|" \
    -e "s|^listener.security.protocol.map=.*|&,LOGIN:SASL_SSL,MUTUAL:SSL|" "$DIR/server.properties"
  for listener in login mutual; do
    cat >>"$DIR/server.properties" <<P
listener.name.$listener.ssl.keystore.type=PEM
listener.name.$listener.ssl.keystore.location=$DIR/tls/broker.both.pem
listener.name.$listener.ssl.key.password=$KEY_PASSWORD
listener.name.$listener.ssl.truststore.type=PEM
listener.name.$listener.ssl.truststore.location=$DIR/tls/ca.pem
P
  done
  cat >>"$DIR/server.properties" <<P
listener.name.mutual.ssl.client.auth=required
listener.name.login.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.login.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_$LOGIN_USER="$LOGIN_PASSWORD";
listener.name.login.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.login.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
P
}

tool() { "$JAVA" -Xmx256m -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile="$DIR/log4j2.properties" -cp "$JARS/*" "$@"; }

# A broker speaks no HTTP: up when its port is open.
answers() { port_open; }

format_storage() {
  local scram=()
  [ -z "$SECURE_PORT" ] || scram=(
    --add-scram "SCRAM-SHA-256=[name=$LOGIN_USER,password=$LOGIN_PASSWORD]"
    --add-scram "SCRAM-SHA-512=[name=$LOGIN_USER,password=$LOGIN_PASSWORD]"
  )
  [ -f "$DIR/data/meta.properties" ] ||
    tool kafka.tools.StorageTool format -t "$(tool kafka.tools.StorageTool random-uuid | tail -1)" -c "$DIR/server.properties" "${scram[@]}" >"$DIR/format.log" 2>&1 ||
    fail "Cannot format Kafka's storage: $(tail -5 "$DIR/format.log")"
}

case "${1:-}" in
start)
  if ! running_pid >/dev/null; then
    "$SERVICES_SRC/install.sh" kafka >/dev/null
    configure
    format_storage
  fi
  daemon start "$JAVA" -Xms128m "-Xmx$HEAP" -XX:+UseG1GC -Dlog4j2.configurationFile="$DIR/log4j2.properties" -cp "$JARS/*" \
    kafka.Kafka "$DIR/server.properties"
  ;;
destroy)
  daemon_stop
  rm -rf "$DIR"
  ;;
create-topic)
  tool org.apache.kafka.tools.TopicCommand --bootstrap-server "127.0.0.1:$PORT" --create --if-not-exists \
    --topic "${2:?name of the topic}" --partitions "${3:-4}" --replication-factor 1
  ;;
offsets) tool org.apache.kafka.tools.GetOffsetShell --bootstrap-server "127.0.0.1:$PORT" --topic "${2:?name of the topic}" ;;
*) daemon "${1:-}" ;;
esac
