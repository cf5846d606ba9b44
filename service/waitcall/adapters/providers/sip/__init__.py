"""SIP proxy in ``sip/``: calls to our own numbers on a trunk."""
