#!/bin/sh
# Check the settings, prepare the folder of state, and become Kamailio.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
set -a
. "$here/settings.sh"
set +a

fail() {
    echo "waitcall-sip: $*" >&2
    exit 1
}
# The value may be the service's, which has the previous secret after a comma while the secret is rotated.
WAITCALL_SIP_SECRET=${WAITCALL_SIP_SECRET%%,*}
[ "${#WAITCALL_SIP_SECRET}" -ge 32 ] || fail "WAITCALL_SIP_SECRET must have at least 32 characters."
[ -n "$WAITCALL_SIP_TRUNK$WAITCALL_SIP_TLS_CERTIFICATE" ] ||
    fail "Nobody may call: set WAITCALL_SIP_TRUNK, or the settings of TLS."
case $WAITCALL_SIP_ANSWER in 486 | 603) ;; *) fail "WAITCALL_SIP_ANSWER must be 486 or 603." ;; esac
# The memory that Kamailio gets below holds so many of the longest events.
[ "$WAITCALL_SIP_QUEUE" -le 20000 ] || fail "WAITCALL_SIP_QUEUE must be at most 20000."
case $WAITCALL_URL in */) fail "WAITCALL_URL must not end with a slash." ;; esac

# The proxy knows a request of its metrics by the port.
export WAITCALL_SIP_METRICS_PORT="${WAITCALL_SIP_METRICS##*:}"
options=
if [ -n "$WAITCALL_SIP_TLS_CERTIFICATE" ]; then
    [ -n "$WAITCALL_SIP_TLS_CLIENTS" ] || fail "TLS needs the names of the clients: WAITCALL_SIP_TLS_CLIENTS."
    for file in "$WAITCALL_SIP_TLS_CERTIFICATE" "$WAITCALL_SIP_TLS_KEY" "$WAITCALL_SIP_TLS_CLIENT_CA"; do
        [ -r "$file" ] || fail "TLS needs three files, and '$file' cannot be read."
    done
    options="-A WITH_TLS"
fi
if [ -n "$WAITCALL_SIP_IDENTITY_ROOTS$WAITCALL_SIP_IDENTITY_HOSTS" ]; then
    [ -r "$WAITCALL_SIP_IDENTITY_ROOTS" ] || fail "WAITCALL_SIP_IDENTITY_ROOTS cannot be read."
    [ -n "$WAITCALL_SIP_IDENTITY_HOSTS" ] || fail "WAITCALL_SIP_IDENTITY_HOSTS is empty."
    options="$options -A WITH_IDENTITY"
fi

mkdir -p "$WAITCALL_SIP_STATE/certificates" "$WAITCALL_SIP_STATE/run"
# Kamailio's format is: group, address, bits of the network.
for network in $WAITCALL_SIP_TRUNK; do
    case $network in
    */*) echo "1 ${network%/*} ${network#*/}" ;;
    *:*) echo "1 $network 128" ;;
    *) echo "1 $network 32" ;;
    esac
done >"$WAITCALL_SIP_STATE/run/trunk"
# Kamailio 5.6 saves a table only if it has read a row from it, so there is always one. It is removed at the start.
sqlite3 "$WAITCALL_SIP_STATE/queue.sqlite" "
    CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY, key_name TEXT NOT NULL, key_type INTEGER NOT NULL,
        value_type INTEGER NOT NULL, key_value TEXT NOT NULL, expires INTEGER NOT NULL DEFAULT 0);
    INSERT INTO events (key_name, key_type, value_type, key_value) VALUES ('first', 0, 0, '{}');"

# Without eatmydata SQLite would wait for the disk at each row: minutes at the end for a long queue. What is written outlives the
# process, though not a loss of power.
# shellcheck disable=SC2086  # options are words
exec eatmydata kamailio -m 128 -M 128 -DD -E -f "$here/kamailio.cfg" -Y "$WAITCALL_SIP_STATE/run" -w "$WAITCALL_SIP_STATE/run" $options "$@"
