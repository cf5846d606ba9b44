"""Embedded stack with both example apps."""

import os
import secrets
import sys
from base64 import b64encode
from urllib.parse import urlencode

from development.stack import API_KEY, ROOT, Ports, Stack, answers

LOGIN_PORT, RESET_PORT = 8085, 8086


class Examples(Stack):
    """Embedded stack with the examples' policy, and the example apps beside it."""

    def __init__(self, ports: Ports, login_port: int = LOGIN_PORT, reset_port: int = RESET_PORT) -> None:
        self.login, self.reset = (f"http://127.0.0.1:{port}" for port in (login_port, reset_port))
        self._served = {"login": login_port, "password_reset": reset_port}
        self._secret = "whsec_" + b64encode(secrets.token_bytes(32)).decode()
        super().__init__(ports, {"WAITCALL_WEBHOOK_SECRETS": f"web/login={self._secret}"})
        policy = self.directory / "policy.toml"
        text = (ROOT / "examples" / "policy.toml").read_text(encoding="utf-8")
        policy.write_text(text.replace("LOGIN", self.login), encoding="utf-8")
        self.environ |= {"WAITCALL_POLICY": str(policy), "WAITCALL_PUBLIC_URL": self.callback}

    @property
    def demonstration(self) -> str:
        """URL of the handset page, which opens the login beside it."""
        return f"{self.control}/?{urlencode({'login': self.login})}"

    def _start(self) -> None:
        super()._start()
        for name, port in self._served.items():
            environ = os.environ | {
                "PORT": str(port),
                "WAITCALL_API": self.api,
                "WAITCALL_KEY": API_KEY,
                "WAITCALL_PAGES": self.callback,
                "WEBHOOK_SECRET": self._secret,
            }
            self.processes.start(name, [sys.executable, "-m", "examples", name], environ)
            self.processes.wait_until(name, lambda port=port: answers(f"http://127.0.0.1:{port}/"))  # type: ignore[misc]  # mypy cannot infer a lambda with a default, which keeps this port
