#!/usr/bin/env bash
# moto, an S3 in a Python process whose "make only if nothing is there" is not safe; then
# tests/stores.rs on it.
#
#   tests/servers/moto.sh [words for cargo test]
#
# FOLDER (default: target/moto) holds it. It takes about two minutes to install, once.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=${FOLDER:-$PWD/target/moto}
port=${PORT:-5155}
mkdir -p "$work"
[ -x "$work/bin/moto_server" ] || { python3 -m venv "$work" && "$work/bin/pip" install -q 'moto[server,s3]'; }
"$work/bin/moto_server" -H 127.0.0.1 -p "$port" >"$work/log" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
for _ in $(seq 60); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.5; done
STASH_TEST_S3="http://127.0.0.1:$port AK SK us-east-1" cargo test --locked --test stores suite "$@"
