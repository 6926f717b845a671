# Sourced by the scripts here. Everything they install or run lives below FRAZIL_SERVICES (git-ignored; keep it between
# runs: it is the cache). Set it, JAVA, MVN or PYTHON to use others.
SERVICES_SRC="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
REPO="$(cd "$SERVICES_SRC/../.." && pwd)"
FRAZIL_SERVICES="${FRAZIL_SERVICES:-$REPO/.frazil-services}"
mkdir -p "$FRAZIL_SERVICES"
FRAZIL_SERVICES="$(cd "$FRAZIL_SERVICES" && pwd)"
export FRAZIL_SERVICES
JAVA="${JAVA:-java}"
MVN="${MVN:-mvn}"
PYTHON="${PYTHON:-python3.11}"
VENV="$FRAZIL_SERVICES/venv"
NODE="$REPO/node_modules/.bin/node"
export PYTHONDONTWRITEBYTECODE=1

fail() {
  echo "$1" >&2
  exit "${2:-2}"
}

now_ms() { echo $(($(date +%s%N) / 1000000)); }
