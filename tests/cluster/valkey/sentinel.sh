#!/bin/sh
# Start a sentinel. It keeps what it knows in its volume, and asks the others if that is empty.
set -eu
master=
if [ ! -e /data/sentinel.conf ]; then
    for number in 0 1 2; do
        [ -n "$master" ] || master=$(timeout 1 valkey-cli ${SENTINEL_CLI:-} -h "sentinel-$number.sentinel" -p 26379 \
            SENTINEL GET-MASTER-ADDR-BY-NAME mymaster 2>/dev/null | head -n 1)
    done
    [ -n "$master" ] || master=valkey-0.valkey.$NAMESPACE.svc.cluster.local
    # A name that has no address would end the sentinel.
    until getent hosts "$master" >/dev/null; do sleep 0.5; done
    cat >/data/sentinel.conf <<END
port 26379
dir /data
protected-mode no
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $HOSTNAME.sentinel.$NAMESPACE.svc.cluster.local
sentinel monitor mymaster $master 6379 2
sentinel down-after-milliseconds mymaster 1500
sentinel failover-timeout mymaster 10000
END
    cat /etc/valkey/sentinel.conf >>/data/sentinel.conf
fi
exec valkey-server /data/sentinel.conf --sentinel "$@"
