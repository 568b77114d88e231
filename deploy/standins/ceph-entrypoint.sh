#!/usr/bin/env bash
# A Ceph cluster of one in one container: a monitor, an OSD on a sparse file, the S3 gateway. All of
# it lies in /data and is found again after a restart. Takes the variables of the store that
# docker-compose.yml names: RUSTFS_ACCESS_KEY and RUSTFS_SECRET_KEY, each also as *_FILE, and
# RUSTFS_ADDRESS (":9000"). For tests and closed networks: one copy of everything, no redundancy.
set -euo pipefail

fsid=11111111-1111-1111-1111-111111111111
osd=22222222-2222-2222-2222-222222222222
port=${RUSTFS_ADDRESS:-:9000}
port=${port##*:}
run=$(mktemp -d)

setting() { # NAME: its value, or its file's
  local file=${1}_FILE
  if [ -n "${!file:-}" ]; then cat "${!file}"; else printf '%s' "${!1:-}"; fi
}
access_key=$(setting RUSTFS_ACCESS_KEY)
secret_key=$(setting RUSTFS_SECRET_KEY)
if [ -z "$access_key" ] || [ -z "$secret_key" ]; then
  echo "RUSTFS_ACCESS_KEY and RUSTFS_SECRET_KEY are needed, or *_FILE with files that hold them" >&2
  exit 1
fi

mkdir -p /data/mon /data/osd /data/etc
cat > /data/etc/ceph.conf <<CONF
[global]
fsid = $fsid
mon_host = v2:127.0.0.1:3300
mon_initial_members = a
public_addr = 127.0.0.1
auth_allow_insecure_global_id_reclaim = false
osd_pool_default_size = 1
osd_pool_default_min_size = 1
mon_allow_pool_size_one = true
osd_crush_chooseleaf_type = 0
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_pool_default_pg_autoscale_mode = off
mon_data = /data/mon
mon_data_avail_warn = 1
mon_data_avail_crit = 1
mon_cluster_log_to_file = false
osd_data = /data/osd
osd_objectstore = bluestore
bluestore_block_create = true
bluestore_block_size = 21474836480
bluestore_block_wal_create = false
osd_memory_target = 939524096
run_dir = $run
admin_socket = $run/\$name.asok
log_to_file = false
log_to_stderr = true
err_to_stderr = true
rgw_frontends = beast port=$port
rgw_thread_pool_size = 64
rgw_enable_usage_log = false
debug_rgw = 0
debug_ms = 0
[client]
keyring = /data/admin.keyring
CONF

# Each step is done once, and again if a start was cut off in it.
if [ ! -e /data/admin.keyring ]; then
  rm -rf /data/mon/*
  ceph-authtool --create-keyring "$run/keyring" --gen-key -n mon. --cap mon 'allow *' >/dev/null
  ceph-authtool "$run/keyring" --gen-key -n client.admin \
    --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *' >/dev/null
  monmaptool --create --addv a '[v2:127.0.0.1:3300]' --fsid "$fsid" "$run/map" >/dev/null
  ceph-mon --mkfs -i a --monmap "$run/map" --keyring "$run/keyring"
  cp "$run/keyring" /data/admin.keyring.new
  mv /data/admin.keyring.new /data/admin.keyring
fi
ceph-mon -f -i a &
mon=$!
until timeout 5 ceph -s >/dev/null 2>&1; do
  kill -0 "$mon" || exit 1
  sleep 0.2
done

if [ ! -e /data/osd.made ]; then
  rm -rf /data/osd/*
  ceph osd new "$osd" 0 >/dev/null 2>&1 || ceph osd new "$osd" >/dev/null
  ceph auth get-or-create osd.0 mon 'allow profile osd' mgr 'allow profile osd' osd 'allow *' \
    -o /data/osd/keyring
  ceph-osd -i 0 --mkfs --osd-uuid "$osd"
  touch /data/osd.made
fi
ceph-osd -f -i 0 &
osd_process=$!
until ceph osd stat 2>/dev/null | grep -q '1 up'; do
  kill -0 "$osd_process" || exit 1
  sleep 0.2
done

if ! radosgw-admin user info --uid=berth >/dev/null 2>&1; then
  radosgw-admin user create --uid=berth --display-name=berth \
    --access-key="$access_key" --secret-key="$secret_key" >/dev/null
fi
radosgw -f -n client.admin &
gateway=$!

# The end of one is the end of all: the store is either whole or away.
stop() {
  trap - TERM INT
  kill -TERM "$gateway" 2>/dev/null || true
  wait "$gateway" 2>/dev/null || true
  kill -TERM "$osd_process" 2>/dev/null || true
  wait "$osd_process" 2>/dev/null || true
  kill -TERM "$mon" 2>/dev/null || true
  wait "$mon" 2>/dev/null || true
}
trap 'stop; exit 0' TERM INT
wait -n "$mon" "$osd_process" "$gateway" || true
echo "a part of the store has ended" >&2
stop
exit 1
