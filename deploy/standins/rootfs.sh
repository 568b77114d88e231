#!/usr/bin/env bash
# rootfs.sh python|postgres|ceph OUT.tar: the root file system of an image, from Debian packages.
#
# For hosts without a container registry. Needs root and mmdebstrap; packages come from the mirror
# that mmdebstrap uses by default. This host's CA certificates are installed as well, so that pip
# and apt work in builds as they do here. deploy/images.py makes images of what is written.
set -euo pipefail

kind=$1
out=$2
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CA_BUNDLE=${CA_BUNDLE:-/etc/ssl/certs/ca-certificates.crt}

# As local sources too: or the next `update-ca-certificates` would drop them. What Debian ships
# already is left out.
cat > "$work/certificates" <<'HOOK'
#!/bin/sh
set -e
own="$1/usr/local/share/ca-certificates/host"
mkdir -p "$own"
awk -v d="$own" '/BEGIN CERT/{n++; f=sprintf("%s/host-%03d.crt",d,n)} n{print > f} /END CERT/{close(f)}' "$CA_BUNDLE"
cat "$1"/usr/share/ca-certificates/mozilla/*.crt | tr -d '\r' \
  | awk 'BEGIN{RS="-----END CERTIFICATE-----"} /BEGIN CERT/{sub(/.*-----BEGIN CERTIFICATE-----/,""); gsub(/[ \n]/,""); print}' \
  | sort -u > "$1/known"
for file in "$own"/*.crt; do
  if grep -qxF "$(sed '/CERTIFICATE/d' "$file" | tr -d '\n\r ')" "$1/known"; then rm "$file"; fi
done
rm "$1/known"
chroot "$1" update-ca-certificates >/dev/null 2>&1
HOOK
chmod 755 "$work/certificates"

debian() { # SUITE PACKAGES [HOOK ARGUMENTS...]
  local suite=$1 packages=$2
  shift 2
  mmdebstrap --quiet --variant=minbase \
    --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --include="ca-certificates,$packages" --customize-hook="$work/certificates \"\$1\"" \
    "$@" "$suite" "$out"
}

case $kind in
  python)
    debian bookworm python3,python3-pip,python3-venv,libexpat1,tzdata,netbase \
      --customize-hook='rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED' \
      --customize-hook='ln -sf python3 "$1/usr/bin/python"' \
      --customize-hook='ln -sf /usr/bin/python3 "$1/usr/local/bin/python3"' \
      --customize-hook='ln -sf /usr/bin/python3 "$1/usr/local/bin/python"' \
      --customize-hook='ln -sf /usr/bin/pip3 "$1/usr/local/bin/pip"'
    ;;
  postgres)
    debian bookworm postgresql-15,gosu,tzdata \
      --customize-hook='rm -rf "$1"/var/lib/postgresql/* "$1"/etc/postgresql/*' \
      --customize-hook='chroot "$1" install -d /docker-entrypoint-initdb.d' \
      --customize-hook='chroot "$1" install -d -o postgres -g postgres -m 2775 /var/run/postgresql' \
      --customize-hook="copy-in $here/postgres-entrypoint.sh /usr/local/bin"
    ;;
  ceph)
    debian trixie radosgw,ceph-mon,ceph-osd,ceph-mgr,ceph-common,curl \
      --customize-hook='chroot "$1" groupadd --gid 10001 store' \
      --customize-hook='chroot "$1" useradd --uid 10001 --gid 10001 --home-dir /data --no-create-home store' \
      --customize-hook='chroot "$1" install -d -o store -g store -m 0750 /data' \
      --customize-hook='rm -rf "$1/etc/ceph" && ln -s /data/etc "$1/etc/ceph"' \
      --customize-hook="copy-in $here/ceph-entrypoint.sh /usr/local/bin"
    ;;
  *)
    echo "rootfs.sh: $kind: one of python, postgres, ceph" >&2
    exit 2
    ;;
esac
