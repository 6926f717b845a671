#!/usr/bin/env bash
# DynamoDB Local, AWS's own, in memory, from the jars that install.sh copied: the second judge of what DynamoDB does.
#   dynamodb-local.sh install | start | stop | status
# State of one: FRAZIL_DYNAMODB_DIR (default $FRAZIL_SERVICES/dynamodb-local). Port: FRAZIL_DYNAMODB_PORT (default 18000).
# Clients reach it at http://127.0.0.1:PORT; tests read that from FRAZIL_TEST_DYNAMODB_ENDPOINT.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
. "$SERVICES_SRC/daemon.sh"
NAME=dynamodb-local
DIR="${FRAZIL_DYNAMODB_DIR:-$FRAZIL_SERVICES/dynamodb-local}"
PORT="${FRAZIL_DYNAMODB_PORT:-18000}"
PORT_VARIABLE=FRAZIL_DYNAMODB_PORT
JARS="$FRAZIL_SERVICES/jars-dynamodb-local"

# -sharedDb: one set of tables for all, whatever the caller's region and credentials. The native SQLite lies beside the jars.
daemon "${1:-}" "$JAVA" "-Xmx${FRAZIL_DYNAMODB_HEAP:-384m}" -XX:+UseSerialGC "-Djava.library.path=$JARS" -cp "$JARS/*" \
  software.amazon.dynamodb.services.local.main.ServerRunner -inMemory -sharedDb -disableTelemetry -port "$PORT"
