#!/usr/bin/env bash
# Azure's own emulator, from npm, on this computer alone; then tests/stores.rs on it.
#
#   tests/servers/azurite.sh [words for cargo test]
#
# FOLDER (default: target/azurite) holds it and its data. It takes about two minutes to install, once.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=${FOLDER:-$PWD/target/azurite}
port=${PORT:-10100}
mkdir -p "$work"
[ -x "$work/node_modules/.bin/azurite-blob" ] || (cd "$work" && npm install --silent --no-audit --no-fund azurite@3.37.0)
rm -rf "$work/data"
"$work/node_modules/.bin/azurite-blob" --blobHost 127.0.0.1 --blobPort "$port" --location "$work/data" --skipApiVersionCheck --silent &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
for _ in $(seq 60); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.5; done
# The account and key that every copy of the emulator has, as its documentation publishes them.
account=devstoreaccount1
key='Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=='
STASH_TEST_AZURE="http://127.0.0.1:$port/$account $account $key" cargo test --locked --test stores suite "$@"
