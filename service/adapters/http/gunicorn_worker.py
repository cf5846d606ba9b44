"""gunicorn's gevent worker, with problem details for what never reaches the app, and a kinder end.

Each connection is a greenlet: it costs memory while it waits, and no thread.
"""

import gc
import json
import os
import signal
from contextlib import nullcontext
from functools import partial
from heapq import nsmallest
from time import monotonic
from typing import Any

import gevent
from gevent.event import Event
from gunicorn import util
from gunicorn.http import wsgi
from gunicorn.http.message import HeaderPolicy
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.ggevent import GeventWorker

from service.adapters.http.context import new_request_id
from service.adapters.http.gunicorn_connection import Listener, Peer, Response, write
from service.adapters.http.problems import CONTENT_TYPE, STATUS_OF, document
from service.application.context import request_id

PUBLIC_CONNECTIONS = 900
"""Of the public listener, in one worker: a flood of it leaves room for callers and probes."""

CALLBACKS = "/callbacks/"
"""Where requests are answered before any other, and keep their connection the longest."""

PUBLIC_ACCEPTS = 32
"""Connections that the public listener takes at once."""

LINGER_SECONDS = 2.0
"""After the last answer, for the other side to close (RFC 9112, 9.6); and for idle connections on the way out."""

COLLECTED_AFTER = 20_000
"""Objects: those of a hundred requests, if nothing of them had gone by itself."""

_LEAVING_TICK_SECONDS = 0.05
_REASONS = {400: "Bad Request", 500: "Internal Server Error"}


def problem_response(status: int) -> bytes:
    """A whole HTTP response that is one problem, for a connection that ends with it."""
    code = "internal_error" if status >= 500 else "invalid_request"  # noqa: PLR2004  the class of our own errors
    request_id.set(new_request_id())
    body = json.dumps(document(code, "The request cannot be read as HTTP.")).encode()
    head = (
        f"HTTP/1.1 {STATUS_OF[code]} {_REASONS[STATUS_OF[code]]}\r\n"
        "Connection: close\r\n"
        f"Content-Type: {CONTENT_TYPE}\r\n"
        "Cache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        f"X-Request-ID: {request_id.get()}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    request_id.set(None)
    return head.encode() + body


class Worker(GeventWorker):  # type: ignore[misc]  # gunicorn ships no types
    """The worker class of config/gunicorn.conf.py."""

    wsgi: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._peers: dict[gevent.Greenlet, Peer] = {}
        self._draining = False
        self._app: Any = None
        self._strangers: set[Peer] = set()

    def init_process(self) -> None:
        """Take over the error page, the answers and the pace of reading; gunicorn has no hooks for them."""
        # Who spawned whom is remembered for debuggers, at a kilobyte or two a connection.
        gevent.config.track_greenlet_tree = False
        util.write_error = self._write_error
        util.write = write
        util.close = self._close
        wsgi.Response = Response
        errors = wsgi.WSGIErrorsWrapper(self.cfg)
        wsgi.WSGIErrorsWrapper = lambda _: errors
        SocketUnreader.chunk = lambda unreader, size_hint=None: self._peers[gevent.getcurrent()].read(  # noqa: ARG005  gunicorn's
            unreader, self.cfg.keepalive
        )
        # A worker that is told to leave while gevent is loaded has nothing to finish; gunicorn's handlers come later.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        # Each request asks for a score of settings, which nothing changes any more.
        self.cfg.__dict__.update({name: setting.get() for name, setting in self.cfg.settings.items()})
        if not self.cfg.forwarded_allow_ips:
            # Nobody is trusted; gunicorn would take each peer's address apart before it finds that.
            HeaderPolicy._peer_is_trusted_proxy = lambda _: False  # noqa: SLF001  there is no setting for it
        super().init_process()

    def load_wsgi(self) -> None:
        """Load the app, then start what runs beside its requests."""
        gevent.get_hub().print_exception = self._log_exception
        super().load_wsgi()
        self._app = self.wsgi
        # Calling an object takes a turn through C, whose stack each waiting request keeps: half a kilobyte.
        self.wsgi = self._app.__call__
        start = getattr(self._app, "start", None)
        if start is not None:
            start()
        # What is there now stays: the collector need not walk over it again and again. And what requests make goes without
        # it, so it may come seldom.
        gc.collect()
        gc.freeze()
        gc.set_threshold(COLLECTED_AFTER)

    def run(self) -> None:
        """Accept until told to leave; then answer what is under way, and be patient with nobody else."""
        self._told = Event()
        listeners = [self._listen(each) for each in self.sockets]
        while self.alive:
            self.notify()
            self._told.wait(1.0)
        for listener in listeners:
            listener.close()
        began = monotonic()
        while self._peers and monotonic() - began < self.cfg.graceful_timeout:
            self.notify()
            if monotonic() - began >= LINGER_SECONDS:
                for peer in list(self._peers.values()):
                    if not peer.answering:
                        peer.end()
            gevent.sleep(_LEAVING_TICK_SECONDS)
        if self._peers:
            self.log.warning("left with %d connections open", len(self._peers))

    def handle(self, listener: Any, client: Any, addr: Any, *, public: bool = False) -> None:
        """One connection, from its first byte to its end."""
        current, peer = gevent.getcurrent(), Peer(client)
        self._peers[current] = peer
        try:
            if public:
                self._admit(peer)
            super().handle(listener, client, addr)
        finally:
            self._strangers.discard(peer)
            del self._peers[current]

    def _admit(self, peer: Peer) -> None:
        """Let a connection in at the public listener, where need be in the place of others."""
        if len(self._strangers) >= PUBLIC_CONNECTIONS:
            # Some at once, because finding them costs as much as finding one.
            for least in nsmallest(PUBLIC_ACCEPTS, self._strangers, key=Peer.worth):
                self._strangers.discard(least)
                least.end()
        self._strangers.add(peer)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> Any:
        """One request, whose head has been read."""
        peer = self._peers[gevent.getcurrent()]
        peer.begin(req, urgent=req.path.startswith(CALLBACKS))
        try:
            return super().handle_request(listener_name, req, sock, addr)
        finally:
            peer.answering, peer.until, peer.since = False, None, monotonic()

    def timeout_ctx(self) -> Any:
        """None: the pace of reading bounds it."""
        return nullcontext()

    def handle_exit(self, sig: int, frame: Any) -> None:  # noqa: ARG002  gunicorn's
        """SIGTERM. A signal's handler may not wait for anything."""
        gevent.spawn(self._leave)

    def _leave(self) -> None:
        """Requests that wait for a change are answered with the current state, not cut off.

        Where the whole replica goes, ``/readyz`` says so and the listeners stay open for a while, so that a
        balancer can look elsewhere before a connection is refused. Who is told twice leaves at once.
        """
        # A worker may be told to leave before it has loaded the app.
        stop = getattr(self._app, "stop", None)
        seconds = stop() if stop is not None else 0
        if seconds and not self._draining:
            self._draining = True
            gevent.sleep(seconds)
        self.alive = False
        self._told.set()

    def _listen(self, sock: Any) -> Listener:
        sock.setblocking(1)
        public = str(sock.getsockname()[1]) in getattr(self._app, "public_ports", ())
        handle = partial(self.handle, sock, public=public)
        listener = Listener(sock, handle, self.worker_connections, self.log)
        if self.cfg.workers > 1:
            # One by one, so that the other workers have their share; but a crowd of strangers must not be a long queue.
            listener.max_accept = PUBLIC_ACCEPTS if public else 1
        listener.start()
        return listener

    def _close(self, sock: Any) -> None:
        """Close our half, and the rest when the other side has (RFC 9112, 9.6), or the last answer may be lost."""
        util.close_graceful(sock, LINGER_SECONDS)

    def _log_exception(self, _context: Any, kind: Any, value: Any, traceback: Any) -> None:
        self.log.error("unexpected error", exc_info=(kind, value, traceback))

    def _write_error(self, sock: Any, status_int: int, _reason: str, _message: str) -> None:
        # gunicorn's message echoes the request, so it is dropped. Its 501 for an unknown transfer coding is
        # the request's fault like the others.
        status = 500 if status_int == 500 else 400  # noqa: PLR2004  ours or theirs
        unreadable = getattr(self._app, "unreadable", None)
        if unreadable is not None:
            unreadable(status)
        util.write_nonblock(sock, problem_response(status))
