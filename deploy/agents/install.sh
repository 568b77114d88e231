#!/bin/sh
# install.sh DIRECTORY: what its package-lock.json names, and only what this machine can run.
set -eu
cd "$1"
node /opt/nodejs/lib/node_modules/npm/bin/npm-cli.js ci \
  --omit=dev --ignore-scripts --no-audit --no-fund --no-update-notifier --cache /tmp/npm --loglevel=error
rm -rf /tmp/npm
# The same program once more, for another C library.
rm -rf node_modules/*-musl node_modules/@*/*-musl
# For a microphone.
rm -rf node_modules/@openai/*/vendor/*/codex-resources/voice
find node_modules -name '*.map' -o -name '*.md' -not -iname 'license*' -o -name '*.d.ts' -o -name '*.d.mts' | xargs -r rm -f
