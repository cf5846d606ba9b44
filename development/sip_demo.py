"""``make sip-demo``: a verification by a call over SIP. SIPp calls a real Kamailio, which reports to the stack."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from development.ports import Ports, free_port
from development.processes import StartFailed
from development.stack import ROOT, Stack, answers
from development.steps import Step

POLICY = ROOT / "examples" / "own_numbers.toml"
SCENARIO = ROOT / "development" / "sip_call.xml"
ENDED = "busy, and the proxy reports the call"


@dataclass(frozen=True)
class SipCall(Step):
    """Step that calls over SIP instead of sending a request. The URL is the proxy's address."""

    def perform(self, found: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Call the number from the phone with SIPp. The call must end busy."""
        table = f"SEQUENTIAL\n{found['phone']};{found['number']}\n".encode()
        address = self.url.removeprefix("sip:")
        command = ["sipp", address, "-sf", str(SCENARIO), "-inf", "/dev/stdin", "-m", "1", "-i", "127.0.0.1"]
        ran = subprocess.run(
            [*command, "-nostdin", "-timeout", "20"], input=table, capture_output=True, check=False
        )
        return (486, {"call": ENDED}) if ran.returncode == 0 else (500, {"sipp": ran.stderr.decode()})

    def curl(self) -> str:
        """Return the command in words, because it is no request."""
        return f"sipp {self.url.removeprefix('sip:')} -sf {SCENARIO.relative_to(ROOT)} ..."


class SipStack(Stack):
    """Stack with numbers on a SIP trunk, and the proxy at its end.

    Attributes:
        sip: host and port at which the proxy takes calls.
        sip_metrics: host and port of the proxy's metrics.
    """

    def __init__(self, ports: Ports, environ: Mapping[str, str] | None = None) -> None:
        """Make the stack. ``environ``: settings of the service; by default with the policy of the example.

        Raises:
            StartFailed: Kamailio or SIPp is not installed.
        """
        if lost := [tool for tool in ("kamailio", "sipp") if shutil.which(tool) is None]:
            raise StartFailed(f"Not installed: {', '.join(lost)}. `make sip-tools` installs them, as root.")
        super().__init__(ports, {"WAITCALL_POLICY": str(POLICY)} | dict(environ or {}))
        self.sip, self.sip_metrics = (f"127.0.0.1:{free_port()}" for _ in range(2))

    def _start(self) -> None:
        super()._start()
        environ = {
            "PATH": os.environ["PATH"],
            "WAITCALL_URL": self.callback,
            "WAITCALL_SIP_SECRET": self.own.settings["WAITCALL_SIP_SECRETS"],
            "WAITCALL_SIP_TRUNK": "127.0.0.1",
            "WAITCALL_SIP_STATE": str(self.directory / "sip"),
            "WAITCALL_SIP_UDP": f"udp:{self.sip}",
            "WAITCALL_SIP_TCP": f"tcp:{self.sip}",
            "WAITCALL_SIP_METRICS": f"tcp:{self.sip_metrics}",
        }
        self.processes.start("sip", [str(ROOT / "sip" / "start.sh")], environ)
        self.processes.wait_until("sip", lambda: answers(f"http://{self.sip_metrics}/healthz"))

    def call(self) -> SipCall:
        """Return the step that calls the number."""
        return SipCall("call {number} over SIP", "POST", f"sip:{self.sip}", (486, "call", ENDED))
