# Sourced, after env.sh, by the scripts of services that are one process: started in the background, found again by a pid
# file in DIR, up when they answer. The script sets NAME, DIR and PORT, and calls `daemon VERB COMMAND...`.
START_LIMIT_MS=60000
STOP_LIMIT_MS=30000

# A pid alone may have been given to another process since: its start time tells them apart.
started_at() { ps -o lstart= -p "$1" 2>/dev/null || true; }
running_pid() {
  local pid started
  [ -f "$DIR/pid" ] || return 1
  { read -r pid && read -r started; } <"$DIR/pid" || return 1
  [ -n "$started" ] && [ "$(started_at "$pid")" = "$started" ] && echo "$pid"
}

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; }
# Any HTTP status is an answer; nothing or half a line is none.
answers() {
  local line=''
  { exec 3<>"/dev/tcp/127.0.0.1/$PORT"; } 2>/dev/null || return 1
  printf 'GET / HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' >&3
  read -r -t 5 line <&3 || true
  exec 3>&-
  [[ "$line" == HTTP/* ]]
}
memory_mb() { ps -o rss= -p "$1" | awk '{print int($1 / 1024)}'; }

daemon_start() { # command...
  local pid began
  if pid=$(running_pid); then
    echo "$NAME: already up on 127.0.0.1:$PORT, pid $pid"
    return
  fi
  ! port_open || fail "Cannot start $NAME: expected port $PORT to be free, found it in use. Set $PORT_VARIABLE."
  mkdir -p "$DIR"
  began=$(now_ms)
  nohup "$@" >"$DIR/$NAME.log" 2>&1 </dev/null &
  pid=$!
  printf '%s\n%s\n' "$pid" "$(started_at "$pid")" >"$DIR/pid"
  until answers; do
    running_pid >/dev/null || fail "Cannot start $NAME: its process ended. $(tail -20 "$DIR/$NAME.log")"
    [ $(($(now_ms) - began)) -lt "$START_LIMIT_MS" ] || fail "Cannot start $NAME: port $PORT did not answer in $START_LIMIT_MS ms. See $DIR/$NAME.log."
    sleep 0.05
  done
  echo "$NAME: up on 127.0.0.1:$PORT after $(($(now_ms) - began)) ms, pid $pid, $(memory_mb "$pid") MB"
}

daemon_stop() {
  local pid began
  if ! pid=$(running_pid); then
    rm -f "$DIR/pid"
    echo "$NAME: not running"
    return
  fi
  began=$(now_ms)
  kill "$pid"
  while running_pid >/dev/null; do
    # What it holds is of no further use to a test that waits this long.
    [ $(($(now_ms) - began)) -lt "$STOP_LIMIT_MS" ] || kill -9 "$pid" 2>/dev/null || true
    sleep 0.05
  done
  rm -f "$DIR/pid"
  echo "$NAME: stopped in $(($(now_ms) - began)) ms"
}

daemon() { # verb command...
  local verb="$1" pid
  shift
  case "$verb" in
  install) "$SERVICES_SRC/install.sh" "$NAME" ;;
  start)
    running_pid >/dev/null || "$SERVICES_SRC/install.sh" "$NAME" >/dev/null
    daemon_start "$@"
    ;;
  stop) daemon_stop ;;
  status)
    if pid=$(running_pid); then echo "$NAME: up on 127.0.0.1:$PORT, pid $pid, $(memory_mb "$pid") MB"; else
      echo "$NAME: not running"
      exit 1
    fi
    ;;
  *)
    sed -n '2,/^set /{/^#/p}' "$0" >&2
    exit 2
    ;;
  esac
}
