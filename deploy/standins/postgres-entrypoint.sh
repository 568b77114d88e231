#!/usr/bin/env bash
# What the official image's entrypoint does, as far as a deployment of ours needs it: POSTGRES_USER,
# POSTGRES_PASSWORD and POSTGRES_DB, each also as *_FILE; POSTGRES_INITDB_ARGS;
# POSTGRES_HOST_AUTH_METHOD; /docker-entrypoint-initdb.d/*.{sh,sql}.
set -eo pipefail

: "${PGDATA:=/var/lib/postgresql/data}"
for name in POSTGRES_PASSWORD POSTGRES_USER POSTGRES_DB; do
  file=${name}_FILE
  if [ -n "${!file:-}" ]; then
    value=$(< "${!file}")
    export "$name=$value"
    unset "$file"
  fi
done
: "${POSTGRES_USER:=postgres}"
: "${POSTGRES_DB:=$POSTGRES_USER}"

if [ "${1:0:1}" = - ]; then set -- postgres "$@"; fi
if [ "$1" != postgres ]; then exec "$@"; fi

if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA" /var/run/postgresql
  chmod 700 "$PGDATA"
  find "$PGDATA" /var/run/postgresql \! -user postgres -exec chown postgres:postgres {} +
  exec gosu postgres "$0" "$@"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "${POSTGRES_HOST_AUTH_METHOD:-}" != trust ]; then
    echo "POSTGRES_PASSWORD is not set: give it, or name a file in POSTGRES_PASSWORD_FILE" >&2
    exit 1
  fi
  read -ra arguments <<< "${POSTGRES_INITDB_ARGS:-}"
  initdb -D "$PGDATA" -U "$POSTGRES_USER" --pwfile=<(printf '%s\n' "${POSTGRES_PASSWORD:-x}") \
    "${arguments[@]}" >/dev/null
  echo "host all all all ${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >> "$PGDATA/pg_hba.conf"
  pg_ctl -D "$PGDATA" -o "-c listen_addresses=''" -w start >/dev/null
  ask=(psql -v ON_ERROR_STOP=1 --no-psqlrc -q -h /var/run/postgresql -U "$POSTGRES_USER")
  if [ "$POSTGRES_DB" != postgres ]; then
    "${ask[@]}" -d postgres -v name="$POSTGRES_DB" <<< 'CREATE DATABASE :"name"'
  fi
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sh) if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
      *.sql) "${ask[@]}" -d "$POSTGRES_DB" -f "$file" ;;
    esac
  done
  pg_ctl -D "$PGDATA" -m fast -w stop >/dev/null
fi
unset POSTGRES_PASSWORD
exec "$@" -c listen_addresses='*'
