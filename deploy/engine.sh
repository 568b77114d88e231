#!/usr/bin/env bash
# engine.sh install|start|stop|running: a Docker engine on a bare Debian, without systemd.
#
# As root. `install` gets docker.io from Debian, with what it needs and what deploy/standins needs.
# `start` does nothing where an engine answers; else it starts one in a session of its own, whose
# containers survive its restart. `stop` ends only one that was started here. `running` prints yes or
# no. Where it keeps what can be chosen:
#   ENGINE_DIR     its configuration, log and pid file      /var/lib/berth-engine
#   ENGINE_DATA    images, containers, volumes              /var/lib/docker
#   ENGINE_RUN     what lives as long as it does            /var/run/docker
#   ENGINE_SOCKET                                           /var/run/docker.sock
set -euo pipefail

dir=${ENGINE_DIR:-/var/lib/berth-engine}
data=${ENGINE_DATA:-/var/lib/docker}
run=${ENGINE_RUN:-/var/run/docker}
socket=${ENGINE_SOCKET:-/var/run/docker.sock}
wanted=(docker.io iptables iproute2 mmdebstrap)
within=60

fail() {
  echo "engine: $1" >&2
  exit 1
}

need_root() { [ "$(id -u)" -eq 0 ] || fail "$1 needs root: an engine runs as root on this host"; }

answers() {
  timeout 5 python3 - "$socket" <<'PING' 2>/dev/null
import socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(sys.argv[1])
    connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
    sys.exit(b" 200 " not in connection.recv(4096))
PING
}

install_engine() {
  if command -v dockerd >/dev/null && command -v mmdebstrap >/dev/null; then return; fi
  need_root install
  command -v apt-get >/dev/null || fail "install a Docker engine (20.10 or newer): this is no Debian"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # its post-installation would start the service: on a host without systemd that fails, or hangs
  local policy=/usr/sbin/policy-rc.d made=
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
    made=1
  fi
  apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
  [ -z "$made" ] || rm "$policy"
}

configure() {
  mkdir -p "$dir"
  # small networks, so that many fit; logs are bounded for containers that forget to
  cat > "$dir/daemon.json" <<'JSON'
{
  "live-restore": true,
  "log-driver": "json-file",
  "log-opts": {"max-size": "10m", "max-file": "3"},
  "default-address-pools": [{"base": "10.201.0.0/16", "size": 26}],
  "shutdown-timeout": 30
}
JSON
}

start() {
  if answers; then return; fi
  need_root start
  command -v dockerd >/dev/null || fail "there is no dockerd: run $0 install"
  configure
  rm -f "$dir/docker.pid"
  setsid dockerd --config-file "$dir/daemon.json" --data-root "$data" --exec-root "$run" \
    --pidfile "$dir/docker.pid" -H "unix://$socket" </dev/null >>"$dir/log" 2>&1 &
  local process=$! ends=$((SECONDS + within))
  until answers; do
    kill -0 "$process" 2>/dev/null || fail "it ended: $(tail -n 3 "$dir/log")"
    [ "$SECONDS" -lt "$ends" ] || fail "it does not answer after $within s: see $dir/log"
    sleep 0.2
  done
}

stop() {
  [ -e "$dir/docker.pid" ] || return 0
  local process
  process=$(cat "$dir/docker.pid")
  kill "$process" 2>/dev/null || return 0
  local ends=$((SECONDS + within))
  while kill -0 "$process" 2>/dev/null; do
    # a zombie counts as gone: pid 1 may reap slowly
    case $(sed 's/.*) //' "/proc/$process/stat" 2>/dev/null) in Z*) return ;; esac
    [ "$SECONDS" -lt "$ends" ] || fail "it does not end: see $dir/log"
    sleep 0.2
  done
}

case ${1:-} in
  install) install_engine ;;
  start) start ;;
  stop) stop ;;
  running) if answers; then echo yes; else echo no; fi ;;
  *) fail "one of install, start, stop, running" ;;
esac
