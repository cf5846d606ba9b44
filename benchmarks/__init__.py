"""Measurements of the service against floors of the same stack.

Never part of the tests: a slow machine must not fail a build. Under gevent, patched in before anything opens a socket.
"""

import gevent.monkey

gevent.monkey.patch_all()
