#!/usr/bin/env bash
# Installs what the service tests need, once: jars of the broker, of DynamoDB Local and Spark's Iceberg jars, a Python environment
# with the readers and another with ministack.
#   install.sh [kafka|spark|dynamodb-local|python|ministack ...]      (default: all)
# A part is installed again only when its list of versions changes.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
PYTHON_FALLBACK=python3
MIN_JAVA=17

need() { command -v "$1" >/dev/null || fail "Cannot install the test services: expected the command $1, found none. Install $2."; }

# Runs an installer unless the stamp says that it already ran for these very versions.
once() { # name directory versions-file installer...
  local name="$1" directory="$2" versions="$3" start
  shift 3
  if cmp -s "$versions" "$directory/.versions"; then
    echo "install $name: kept, $(du -sm "$directory" | cut -f1) MB"
    return
  fi
  start=$(now_ms)
  rm -rf "$directory"
  mkdir -p "$directory"
  "$@"
  cp "$versions" "$directory/.versions"
  echo "install $name: $(($(now_ms) - start)) ms, $(du -sm "$directory" | cut -f1) MB"
}

copy_jars() { # name
  "$MVN" -q -B -f "$SERVICES_SRC/$1/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$FRAZIL_SERVICES/jars-$1"
}

make_venv() { # directory requirements
  "$PYTHON" -m venv "$1"
  "$1/bin/pip" install -q --disable-pip-version-check -r "$2"
}

venv() { # name directory requirements
  need "$PYTHON" 'Python 3.10 or newer'
  once "$1" "$2" "$3" make_venv "$2" "$3"
}

jars() { # name
  need "$JAVA" "Java $MIN_JAVA or newer"
  need "$MVN" 'Apache Maven'
  local major
  major=$("$JAVA" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -1)
  [ "${major:-0}" -ge "$MIN_JAVA" ] || fail "Cannot install the test services: expected Java $MIN_JAVA or newer, found ${major:-none}."
  once "$1" "$FRAZIL_SERVICES/jars-$1" "$SERVICES_SRC/$1/pom.xml" copy_jars "$1"
}

command -v "$PYTHON" >/dev/null || PYTHON=$PYTHON_FALLBACK
for part in "${@:-kafka spark dynamodb-local python ministack}"; do
  for name in $part; do
    case "$name" in
    kafka | spark | dynamodb-local) jars "$name" ;;
    python) venv python "$VENV" "$SERVICES_SRC/requirements.txt" ;;
    ministack) venv ministack "$FRAZIL_SERVICES/venv-ministack" "$SERVICES_SRC/requirements-ministack.txt" ;;
    *) fail "Cannot install $name: expected kafka, spark, dynamodb-local, python or ministack." ;;
    esac
  done
done
