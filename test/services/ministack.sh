#!/usr/bin/env bash
# ministack: S3, DynamoDB, Glue, Lambda (handlers as subprocesses, no docker), SQS and more on one port, all in memory.
#   ministack.sh install | start | stop | status
# State of one: FRAZIL_MINISTACK_DIR (default $FRAZIL_SERVICES/ministack). Port: FRAZIL_MINISTACK_PORT (default 14566).
# Clients reach it at http://127.0.0.1:PORT; tests read that from FRAZIL_TEST_AWS_ENDPOINT.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
. "$SERVICES_SRC/daemon.sh"
NAME=ministack
DIR="${FRAZIL_MINISTACK_DIR:-$FRAZIL_SERVICES/ministack}"
PORT="${FRAZIL_MINISTACK_PORT:-14566}"
PORT_VARIABLE=FRAZIL_MINISTACK_PORT

# Its Lambdas run on the first `node` on PATH: ours. They get its environment, and know their own variables of Frazil only.
mkdir -p "$DIR/home"
# A package of its own: what it writes there is CommonJS, and the package around it may be of modules.
echo '{}' >"$DIR/package.json"
unset_frazil=()
for name in $(compgen -e FRAZIL_); do unset_frazil+=(-u "$name"); done
daemon "${1:-}" env "${unset_frazil[@]}" PATH="$(dirname "$NODE"):$PATH" HOME="$DIR/home" TMPDIR="$DIR" BIND_HOST=127.0.0.1 GATEWAY_PORT="$PORT" \
  MINISTACK_HOST=127.0.0.1 LAMBDA_EXECUTOR=local LOG_LEVEL="${LOG_LEVEL:-WARNING}" "$FRAZIL_SERVICES/venv-ministack/bin/ministack"
