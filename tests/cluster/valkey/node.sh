#!/bin/sh
# Start a node of the cluster. Its volume has its data and its name, and it tells the others its new address.
set -eu
exec valkey-server /etc/valkey/redis.conf --dir /data --protected-mode no --repl-diskless-sync-delay 0 \
    --cluster-enabled yes --cluster-config-file /data/nodes.conf --cluster-node-timeout 2000 \
    --cluster-announce-ip "$ADDRESS" --cluster-preferred-endpoint-type hostname \
    --cluster-announce-hostname "$HOSTNAME.valkey.$NAMESPACE.svc.cluster.local" "$@"
