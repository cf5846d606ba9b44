"""Measure the SIP proxy: CPU time of a call, and the time until its end, at 50 calls a second.

The calls come from SIPp over loopback and the events go to a receiver that records them, both on the same cores.
"""

import os
import statistics
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import trustme

from benchmarks.subject import cpu_seconds
from development.stack import ROOT
from tests.sip.passports import Authority, Signer, Site, pem, serving, write
from tests.sip.proxy import POOL, Caller, Proxy, Receiver, missing, receiving, sipp

RATE = 50
SCENARIO = ROOT / "development/sip_call.xml"
IDENTITY = "Identity: [field2];info=<{}>;alg=ES256;ppt=shaken\n"


def measure(seconds: int) -> dict[str, Any]:
    """Call without and with a signed caller ID. Each event must arrive, and each signed one must be attested."""
    if lost := missing():
        return {"skipped": f"Not installed: {', '.join(lost)}."}
    found: dict[str, Any] = {"calls_per_second": RATE, "seconds": seconds, "load_before": os.getloadavg()}
    root = Authority("root")
    holder, tls, site = Authority("carrier", root, ca=False), trustme.CA(), Site()
    site.files["/carrier.pem"] = pem(holder.certificate)
    signer = Signer(site, holder.key, "/carrier.pem")
    with tempfile.TemporaryDirectory() as name, serving(site, tls):
        folder = Path(name)
        settings = {
            "WAITCALL_SIP_IDENTITY_ROOTS": write(folder, "roots.pem", pem(root.certificate)),
            "WAITCALL_SIP_IDENTITY_HOSTS": f"127.0.0.1:{site.port}",
            "SSL_CERT_FILE": write(folder, "tls.pem", tls.cert_pem.bytes()),
        }
        for kind in ("plain", "signed"):
            with receiving(Receiver()) as receiver:
                proxy = Proxy(folder / kind, receiver.url, **settings)
                try:
                    found[kind] = _round(proxy, receiver, signer if kind == "signed" else None, seconds)
                finally:
                    proxy.stop()
    return found | {"load_after": os.getloadavg()}


def _round(proxy: Proxy, receiver: Receiver, signer: Signer | None, seconds: int) -> dict[str, float]:
    proxy.start()
    folder, calls = proxy.state.parent, RATE * seconds
    numbers = [f"+1202{number:07}" for number in range(calls)]
    rows = [f"{number};{POOL}" for number in numbers]
    scenario = SCENARIO
    if signer:
        scenario = folder / "signed.xml"
        identity = IDENTITY.format(signer.site.url(signer.path))
        text = SCENARIO.read_text(encoding="utf-8").replace("Max-Forwards", identity + "Max-Forwards", 1)
        scenario.write_text(text, encoding="utf-8")
        # Signed for the middle of the run, because a minute before and after are accepted.
        claims = {"iat": int(time.time()) + seconds // 2}
        rows = [f"{row};{signer.identity(claims=claims | {'orig': {'tn': number[1:]}}).partition(';')[0]}"
                for row, number in zip(rows, numbers, strict=True)]  # fmt: skip
    before = cpu_seconds(proxy.pids())
    with ThreadPoolExecutor() as pool:
        running = pool.submit(sipp, proxy, folder, scenario, rows, r=RATE)
        ends = _ends(proxy, running)
        running.result()
    proxy.settle()
    spent = cpu_seconds(proxy.pids()) - before
    called = calls + len(ends)
    events = receiver.events()
    attested = sum(event["attestation"] == "A" for event in events)
    if len(events) != called or attested != (calls if signer else 0):
        raise RuntimeError(f"{called} calls became {len(events)} events, and {attested} were attested.")
    return {
        "cpu_ms_per_call": 1000 * spent / called,
        "posts_per_call": len(receiver.posts) / called,
        "end_ms_median": 1000 * statistics.median(ends),
        "end_ms_p99": 1000 * statistics.quantiles(ends, n=100)[98],
    }


def _ends(proxy: Proxy, running: Future[None]) -> list[float]:
    """Call ten times a second in addition to the others. Return the seconds from the INVITE to the end of each call."""
    times: list[float] = []
    with Caller(proxy.port) as caller:
        while not wait([running], timeout=0.1).done:
            began = time.perf_counter()
            caller.call(from_=f"<sip:+1303{len(times):07}@carrier.example>;tag=1")
            times.append(time.perf_counter() - began)
    return times
