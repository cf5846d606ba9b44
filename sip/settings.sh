# All settings of the SIP proxy. An environment variable of the same name comes first; a value here is the default.

# Public address of waitcall, without a path. Events go to $WAITCALL_URL/callbacks/sip.
: "${WAITCALL_URL:=http://127.0.0.1:8081}"
# Secret that signs the events, at least 32 characters: the first of the service's WAITCALL_SIP_SECRETS. What follows a comma
# is ignored. Better in the environment than here.
: "${WAITCALL_SIP_SECRET:=}"
# File with the certificates of the authorities that sign waitcall's certificate.
: "${WAITCALL_SIP_CA:=/etc/ssl/certs/ca-certificates.crt}"

# Addresses and networks of the trunk, separated by spaces. Requests from others get no answer.
: "${WAITCALL_SIP_TRUNK:=}"
# Where to listen for SIP and, on an address of its own, for /metrics and /healthz.
: "${WAITCALL_SIP_UDP:=udp:0.0.0.0:5060}"
: "${WAITCALL_SIP_TCP:=tcp:0.0.0.0:5060}"
: "${WAITCALL_SIP_METRICS:=tcp:0.0.0.0:9094}"

# SIP over TLS, where callers show a client certificate. It is off without a certificate of the proxy's own.
: "${WAITCALL_SIP_TLS:=tls:0.0.0.0:5061}"
: "${WAITCALL_SIP_TLS_CERTIFICATE:=}"
: "${WAITCALL_SIP_TLS_KEY:=}"
# File with the authorities of client certificates, and the common names that may call, separated by commas.
: "${WAITCALL_SIP_TLS_CLIENT_CA:=}"
: "${WAITCALL_SIP_TLS_CLIENTS:=}"

# How a call ends: 486 (busy) or 603 (declined). Take the one that your carrier does not send on to a second destination.
: "${WAITCALL_SIP_ANSWER:=486}"

# Calls of one number, or of all withheld numbers together, that are reported in a minute. Further ones end in the same way.
: "${WAITCALL_SIP_CALLS_PER_MINUTE:=20}"
# Events that may wait for waitcall, at most 20000. Further ones are dropped and counted.
: "${WAITCALL_SIP_QUEUE:=20000}"
# Seconds that an event is offered to waitcall: the longest life of a verification.
: "${WAITCALL_SIP_WINDOW:=900}"

# Caller IDs signed by STIR/SHAKEN. They are checked only if both are set: the roots of the country's authorities (PEM),
# and the hosts (HOST or HOST:PORT, separated by commas) that certificates may be fetched from.
: "${WAITCALL_SIP_IDENTITY_ROOTS:=}"
: "${WAITCALL_SIP_IDENTITY_HOSTS:=}"

# Folder for the queue of a stopped proxy and for fetched certificates. Only this folder is written.
: "${WAITCALL_SIP_STATE:=/var/lib/waitcall-sip}"
# Processes that read SIP from each UDP address, and as many for TCP and TLS.
: "${WAITCALL_SIP_WORKERS:=4}"
