#!/bin/sh
# Start a server behind Sentinel in the role that the sentinels give it.
set -eu
me=$HOSTNAME.valkey.$NAMESPACE.svc.cluster.local
named=

# Ask the sentinels for the master; nothing if none answers.
ask() {
    for number in 0 1 2; do
        named=$(timeout 1 valkey-cli ${SENTINEL_CLI:-} -h "sentinel-$number.sentinel" -p 26379 \
            SENTINEL GET-MASTER-ADDR-BY-NAME mymaster 2>/dev/null | head -n 1)
        [ -z "$named" ] || return 0
    done
}

# A master that returns without its data would empty its replicas too. So it waits until the sentinels name another one.
# If they name none within a minute, all servers were down.
for _ in $(seq 120); do
    ask
    [ "$named" = "$me" ] || break
    sleep 0.5
done
# Before there are sentinels, the first server is the master.
[ -n "$named" ] || named=valkey-0.valkey.$NAMESPACE.svc.cluster.local
set -- --dir /data --protected-mode no --repl-diskless-sync-delay 0 --replica-announce-ip "$me" "$@"
[ "$named" = "$me" ] || set -- --replicaof "$named" 6379 "$@"
# Sentinel changes the configuration.
cp /etc/valkey/redis.conf /data/valkey.conf
exec valkey-server /data/valkey.conf "$@"
