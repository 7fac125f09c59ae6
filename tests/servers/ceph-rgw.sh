#!/usr/bin/env bash
# Ceph's S3 gateway, from Debian: one monitor, one OSD that keeps its objects in memory, one gateway, all on loopback.
source "$(dirname "$0")/common.sh"
port="${PFLOW_CEPH_PORT:-9003}"
export DEBIAN_FRONTEND=noninteractive
{ command -v radosgw && command -v ceph-osd && command -v ceph-mon && command -v ceph; } > /dev/null || {
    { apt-get update -q && apt-get install -y -q --no-install-recommends radosgw ceph-mon ceph-osd ceph-common; } >> "$log" 2>&1 ||
        give_up "it cannot be installed"
}
installed
mkdir -p "$data"/{mon,osd,gateway,run}
export CEPH_CONF="$data/ceph.conf"
keyring="$data/keyring"
cat > "$CEPH_CONF" << END
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon host = [v2:127.0.0.1:13300,v1:127.0.0.1:13301]
mon initial members = only
public network = 127.0.0.0/8
ms bind ipv4 = true
ms bind ipv6 = false
keyring = $keyring
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
auth allow insecure global id reclaim = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
log file = $data/run/\$name.log
admin socket = $data/run/\$name.asok
pid file = $folder/pids/\$name.pid
run dir = $data/run
[mon]
mon data = $data/mon
[osd]
osd data = $data/osd
osd objectstore = memstore
memstore device bytes = 4294967296
osd memory target = 1073741824
[client.rgw.only]
rgw data = $data/gateway
rgw frontends = beast endpoint=127.0.0.1:$port
rgw enable usage log = false
rgw dynamic resharding = false
END
everything=(--cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *')
{
    ceph-authtool --create-keyring "$keyring" --gen-key -n mon. --cap mon 'allow *'
    ceph-authtool "$keyring" --gen-key -n client.admin "${everything[@]}"
    ceph-authtool "$keyring" --gen-key -n client.rgw.only "${everything[@]}"
    ceph-authtool "$keyring" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
    monmaptool --create --fsid "$(sed -n 's/^fsid = //p' "$CEPH_CONF")" \
        --addv only '[v2:127.0.0.1:13300,v1:127.0.0.1:13301]' "$data/monmap"
    ceph-mon --mkfs -i only --monmap "$data/monmap" --keyring "$keyring"
} >> "$log" 2>&1 || give_up "the monitor cannot be made"
# These put themselves into the background and write their own pid files.
ceph-mon -i only >> "$log" 2>&1 || give_up "the monitor does not start"
osd="$(cat /proc/sys/kernel/random/uuid)"
{
    ceph --connect-timeout 30 osd new "$osd"
    ceph-osd -i 0 --mkfs --osd-uuid "$osd"
    ceph-osd -i 0
} >> "$log" 2>&1 || give_up "the OSD does not start"
wait_for 60 "the OSD" bash -c "ceph --connect-timeout 5 osd stat | grep -q '1 up'"
serve radosgw -n client.rgw.only -f
wait_for 120 "the gateway" curl -s -o /dev/null "http://127.0.0.1:$port/"
radosgw-admin user create --uid=test --display-name=test --access-key=test --secret=testtest >> "$log" 2>&1 ||
    give_up "the user could not be made"
make_bucket "http://127.0.0.1:$port" test:testtest
# One with versions, which this Ceph breaks: it must be refused.
make_bucket "http://127.0.0.1:$port" test:testtest versions
versioned="<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>Enabled</Status></VersioningConfiguration>"
[ "$(put_s3 "http://127.0.0.1:$port/versions?versioning=" test:testtest "$versioned")" = 200 ] || give_up "a bucket got no versions"
echo "PFLOW_TEST_S3_ENDPOINT=http://127.0.0.1:$port"
