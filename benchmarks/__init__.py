"""Measurements of the service, and of minimal apps (floors) on the same stack to compare with.

They are not part of the tests, because a slow machine must not fail a build. Importing the package patches the standard
library with gevent, before anything opens a socket.
"""

import gevent.monkey

gevent.monkey.patch_all()
