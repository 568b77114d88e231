#!/usr/bin/env bash
# twohosts.sh up|down|sockets|kill NAME: two Docker hosts on this machine, each an engine in a network
# namespace of its own.
#
# For trying, and testing, more than one executor-manager. As root. `up` prints each one's name,
# socket and address; this machine is 10.77.0.1 to them. `kill` is a host that lost its power: its
# engine and all its containers at once. `down` ends both.
#   TWOHOSTS_DIR   their data, logs and sockets; kept short     /var/tmp/twohosts
# Images are theirs alone: `docker save IMAGE | docker -H unix://SOCKET load`.
set -euo pipefail

dir=${TWOHOSTS_DIR:-/var/tmp/twohosts}
bridge=br77
net=10.77.0
hosts=(ha hb)
within=60

fail() {
  echo "twohosts: $1" >&2
  exit 1
}

address() { # of the n-th
  echo "$net.$(($1 + 2))"
}

answers() {
  timeout 5 python3 -c '
import socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(sys.argv[1])
    connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
    sys.exit(b" 200 " not in connection.recv(4096))' "$1" 2>/dev/null
}

forwarding() { # -I or -D: an engine of this machine drops what it does not know
  local rule
  for rule in "-i $bridge" "-o $bridge"; do
    # shellcheck disable=SC2086
    if [ "$1" = -D ] || ! iptables -C FORWARD $rule -j ACCEPT 2>/dev/null; then
      iptables "$1" FORWARD $rule -j ACCEPT 2>/dev/null || true
    fi
  done
  iptables -t nat "${1/-I/-A}" POSTROUTING -s "$net.0/24" ! -o "$bridge" -j MASQUERADE 2>/dev/null || true
}

start_host() { # n name
  local number=$1 name=$2 home=$dir/$2
  ip netns add "$name"
  ip link add "v$name" type veth peer name eth0 netns "$name"
  ip link set "v$name" master "$bridge" up
  nsenter --net="/run/netns/$name" sh -c "
    ip link set lo up
    ip addr add $(address "$number")/24 dev eth0
    ip link set eth0 up
    ip route add default via $net.1
    sysctl -qw net.ipv4.ip_forward=1"
  mkdir -p "$home"
  rm -f "$home/docker.pid"
  printf '{}\n' > "$home/daemon.json"
  setsid nsenter --net="/run/netns/$name" unshare --uts sh -c "
    hostname $name
    exec dockerd --config-file $home/daemon.json --data-root $home/data --exec-root $home/run \
      --pidfile $home/docker.pid -H unix://$home/docker.sock \
      --bip 172.2$((number + 2)).0.1/16 --default-address-pool base=10.9$number.0.0/16,size=24" \
    </dev/null >"$home/log" 2>&1 &
}

wait_for() { # name
  local ends=$((SECONDS + within))
  until answers "$dir/$1/docker.sock"; do
    [ "$SECONDS" -lt "$ends" ] || fail "$1 does not answer: $(tail -n 3 "$dir/$1/log")"
    sleep 0.2
  done
}

up() {
  [ "$(id -u)" -eq 0 ] || fail "network namespaces and engines need root"
  [ ! -e "/run/netns/${hosts[0]}" ] || fail "they are up already: $0 down"
  ip link add "$bridge" type bridge
  ip addr add "$net.1/24" dev "$bridge"
  ip link set "$bridge" up
  sysctl -qw net.ipv4.ip_forward=1
  forwarding -I
  local number
  for number in "${!hosts[@]}"; do start_host "$number" "${hosts[$number]}"; done
  for number in "${!hosts[@]}"; do wait_for "${hosts[$number]}"; done
  sockets
}

sockets() {
  local number
  for number in "${!hosts[@]}"; do
    echo "${hosts[$number]} $dir/${hosts[$number]}/docker.sock $(address "$number")"
  done
}

processes() { # name: its engine, that one's parts, and everything in its containers
  python3 - "$dir/$1/" <<'LIST'
import pathlib, sys

below, parents, found = sys.argv[1].encode(), {}, set()
for entry in pathlib.Path("/proc").iterdir():
    if not entry.name.isdecimal():
        continue
    try:
        state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        words = (entry / "cmdline").read_bytes()
    except OSError:
        continue
    if state == "Z":  # ended: whoever is pid 1 may reap slowly
        continue
    parents[int(entry.name)] = int(parent)
    program = words.partition(b"\0")[0].rpartition(b"/")[2]
    if program.startswith((b"dockerd", b"containerd")) and below in words:
        found.add(int(entry.name))
more = found
while more:
    more = {pid for pid, parent in parents.items() if parent in found} - found
    found |= more
print(*sorted(found))
LIST
}

kill_host() {
  local found
  found=$(processes "$1")
  # shellcheck disable=SC2086
  [ -z "$found" ] || kill -KILL $found
}

down() {
  local name ends=$((SECONDS + within))
  for name in "${hosts[@]}"; do
    kill "$(cat "$dir/$name/docker.pid" 2>/dev/null)" 2>/dev/null || true
  done
  for name in "${hosts[@]}"; do
    until [ -z "$(processes "$name")" ]; do
      if [ "$SECONDS" -ge "$ends" ]; then kill_host "$name"; fi
      sleep 0.2
    done
    # what a killed engine left: its containers' file systems, and its data on itself
    awk -v below="$dir/$name/" 'index($2, below) == 1 {print $2}' /proc/mounts \
      | sort -r | while read -r mounted; do umount -q "$mounted" 2>/dev/null || true; done
    ip link del "v$name" 2>/dev/null || true
    ip netns del "$name" 2>/dev/null || true
  done
  ip link del "$bridge" 2>/dev/null || true
  forwarding -D
}

case ${1:-} in
  up | down | sockets) "$1" ;;
  kill) kill_host "${2:?kill NAME}" ;;
  *) fail "one of up, down, sockets, kill NAME" ;;
esac
