#!/usr/bin/env bash
# A small Ceph cluster (one monitor, three OSDs, one S3 gateway) on this computer alone, from Debian's
# packages, unpacked into a folder of its own: nothing is installed, and no rights are needed.
#
#   tests/servers/ceph.sh test [words for cargo test]   start, run tests/stores.rs on it, stop
#   tests/servers/ceph.sh start | stop | env            the same step by step
#
# FOLDER (default: target/ceph) holds packages, data and logs. About 70 MB are fetched once.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=${FOLDER:-$PWD/target/ceph}
port=${PORT:-7480}
root=$work/root
run=$work/run

unpack() {
    [ -e "$root/usr/bin/radosgw" ] && return
    command -v apt-get >/dev/null || { echo "ceph.sh: no apt-get here, so no Ceph" >&2; exit 3; }
    mkdir -p "$work/packages" "$root"
    # What would be installed beside what is here already.
    list=$(apt-get -s install --no-install-recommends radosgw ceph-mon ceph-osd ceph-common 2>/dev/null | sed -n 's/^Inst \([^ ]*\).*/\1/p') || true
    if [ -z "$list" ]; then
        apt-get update -qq || true
        list=$(apt-get -s install --no-install-recommends radosgw ceph-mon ceph-osd ceph-common | sed -n 's/^Inst \([^ ]*\).*/\1/p')
    fi
    # shellcheck disable=SC2086
    (cd "$work/packages" && apt-get download -qq $list libaio1)
    for package in "$work"/packages/*.deb; do dpkg -x "$package" "$root"; done
}

surroundings() {
    local lib=$root/usr/lib/x86_64-linux-gnu
    export LD_LIBRARY_PATH=$lib:$lib/ceph:$root/lib/x86_64-linux-gnu
    export PYTHONPATH=$root/usr/lib/python3/dist-packages
    export PATH=$root/usr/bin:$root/usr/sbin:$PATH
    export CEPH_CONF=$run/ceph.conf
}

ceph_tool() { /usr/bin/python3 "$root/usr/bin/ceph" "$@"; }

configure() {
    local id=$1 lib=$root/usr/lib/x86_64-linux-gnu
    cat >"$run/ceph.conf" <<CONF
[global]
fsid = $id
mon host = [v2:127.0.0.1:13300,v1:127.0.0.1:16789]
mon initial members = a
public addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 3
osd pool default min size = 2
osd pool default pg num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = bluestore
bluestore block size = 6442450944
osd memory target = 939524096
run dir = $run/out
admin socket = $run/out/\$name.\$pid.asok
log file = $run/out/\$name.log
pid file = $run/out/\$name.pid
mon data = $run/mon
osd data = $run/osd\$id
osd class dir = $lib/rados-classes
erasure code dir = $lib/ceph/erasure-code
plugin dir = $lib/ceph
[client.rgw]
ms mon client mode = crc secure
rgw data = $run/rgw
rgw frontends = beast endpoint=127.0.0.1:$port tcp_nodelay=1
CONF
}

start() {
    unpack
    surroundings
    stop
    rm -rf "$run"
    mkdir -p "$run"/{mon,osd0,osd1,osd2,out,rgw}
    local id
    id=$(cat /proc/sys/kernel/random/uuid)
    configure "$id"
    {
        monmaptool --create --clobber --fsid "$id" --addv a "[v2:127.0.0.1:13300,v1:127.0.0.1:16789]" "$run/monmap"
        ceph-mon --mkfs -i a --monmap "$run/monmap"
        ceph-mon -i a
        for number in 0 1 2; do
            uuid=$(cat /proc/sys/kernel/random/uuid)
            ceph_tool osd new "$uuid" "$number"
            ceph-osd -i "$number" --mkfs --osd-uuid "$uuid"
            ceph-osd -i "$number"
        done
        radosgw-admin user create --uid=t --display-name=t --access-key=AK --secret-key=SK
        radosgw -n client.rgw
    } >"$work/start.log" 2>&1 || { tail -n 20 "$work/start.log" >&2; exit 1; }
    for _ in $(seq 120); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return
        sleep 0.5
    done
    echo "ceph.sh: the gateway does not answer; see $work/start.log" >&2
    exit 1
}

stop() {
    for file in "$run"/out/*.pid; do
        [ -e "$file" ] || continue
        kill "$(cat "$file")" 2>/dev/null || true
    done
    for _ in $(seq 40); do
        local alive=
        for file in "$run"/out/*.pid; do
            [ -e "$file" ] && kill -0 "$(cat "$file")" 2>/dev/null && alive=1
        done
        [ -z "$alive" ] && break
        sleep 0.25
    done
    rm -rf "$run"
}

settings() { echo "STASH_TEST_S3=http://127.0.0.1:$port AK SK us-east-1"; }

case ${1:-} in
    start) start && settings ;;
    stop) stop ;;
    env) settings ;;
    test)
        shift
        trap stop EXIT
        (start) || exit $?
        echo "Ceph answers after $SECONDS s"
        env "$(settings)" cargo test --locked --test stores suite "$@"
        ;;
    *) sed -n '2,9p' "$0" && exit 2 ;;
esac
