"""Test the spans that the service sends to an OTLP collector on a real socket."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.end_to_end.conftest import Starting
from tests.redis_servers import free_port, wait_for

pytestmark = pytest.mark.slow
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
NUMBER = "79991239201"


class Collector:
    """Collector that accepts OTLP over HTTP."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.bodies.append(body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Log nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def spans(self) -> dict[str, Any]:
        found = {}
        for body in list(self.bodies):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                found |= {span.name: span for scope in resource.scope_spans for span in scope.spans}
        return found


@pytest.fixture
def collector() -> Iterator[Collector]:
    running = Collector()
    yield running
    running.server.shutdown()
    running.server.server_close()


def test_each_step_is_a_span_of_the_clients_trace_without_personal_data(
    starting: Starting, collector: Collector
) -> None:
    service = starting(
        callback_port=str(free_port()),
        WAITCALL_TRACING="otlp",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_EXPORTER_OTLP_COMPRESSION="none",
        OTEL_BSP_SCHEDULE_DELAY="100",
    )
    asked = {"phone_number": f"+{NUMBER}", "purpose": "login", "reference": "flow"}
    parent = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    made = service.ask("POST", f"{service.api}/v1/verifications", asked, **parent).json
    service.call(NUMBER, int(time.time()))
    service.consume(made["id"])
    service.consume(made["id"])

    names = {"verification.create", "provider.order", "callback", "verification.consume"}
    wait_for(lambda: names <= {*collector.spans()})
    spans = collector.spans()
    assert spans["verification.create"].trace_id.hex() == TRACE
    assert spans["provider.order"].trace_id.hex() == TRACE
    assert spans["provider.order"].parent_span_id == spans["verification.create"].span_id
    told = {each.key: each.value for each in spans["verification.consume"].attributes}
    assert told["http.route"].string_value == "/v1/verifications/<verification_id>/consume"
    everything = b"".join(collector.bodies)
    for secret in (NUMBER, made["id"], made["call"]["number"].lstrip("+"), "sha1=", "flow"):
        assert secret.encode() not in everything
    lines = [json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{")]
    traced = {line.get("route") for line in lines if line.get("trace_id") == TRACE}
    assert "/v1/verifications" in traced


def test_requests_succeed_while_the_collector_is_away(starting: Starting) -> None:
    service = starting(
        callback_port=str(free_port()),
        WAITCALL_TRACING="otlp",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        OTEL_BSP_SCHEDULE_DELAY="50",
        # Seconds that the process waits at its end for the collector to take the last spans.
        OTEL_EXPORTER_OTLP_TIMEOUT="1",
    )
    for index in range(20):
        assert service.create(f"+799912393{index:02d}").status == 201
