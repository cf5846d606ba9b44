"""Embedded stack with both example apps."""

import os
import secrets
import sys
import tomllib
from base64 import b64encode

from development.compose_env import policy_of_examples
from development.ports import Ports
from development.stack import API_KEY, Stack, answers


class Examples(Stack):
    """Embedded stack with the examples' policy, and the example apps."""

    SERVERS = (*Stack.SERVERS, "login", "reset")

    def __init__(self, ports: Ports) -> None:
        self.login, self.reset = (f"http://127.0.0.1:{port}" for port in (ports.login, ports.reset))
        self._served = {"login": ports.login, "password_reset": ports.reset}
        self._secret = "whsec_" + b64encode(secrets.token_bytes(32)).decode()
        super().__init__(ports, {"WAITCALL_WEBHOOK_SECRETS": f"web/login={self._secret}"})
        policy = self.directory / "policy.toml"
        text = policy_of_examples(self.login, self.login)
        policy.write_text(text, encoding="utf-8")
        self.environ["WAITCALL_POLICY"] = str(policy)
        self._text_numbers = tomllib.loads(text)["text_in"]["numbers"]

    @property
    def demonstration(self) -> str:
        """URL of the handset page, which leads to both examples."""
        return f"{self.control}/"

    def _simulator_command(self) -> list[str]:
        # `waitcall doctor` fails on a number of the policy that the account does not rent.
        rented = (word for number in self._text_numbers for word in ("--rented", number))
        examples = ("--example", f"Log in={self.login}/", "--example", f"Reset a password={self.reset}/")
        return [*super()._simulator_command(), *rented, *examples]

    def _start(self) -> None:
        super()._start()
        for name, port in self._served.items():
            environ = os.environ | {
                "PORT": str(port),
                "WAITCALL_API": self.api,
                "WAITCALL_KEY": API_KEY,
                "WAITCALL_PAGES": self.callback,
                "WEBHOOK_SECRET": self._secret,
                "LOGIN_URL": self.login,
                "RESET_URL": self.reset,
                "HANDSET_URL": self.control,
            }
            self.processes.start(name, [sys.executable, "-m", "examples", name], environ)
            self.processes.wait_until(name, lambda port=port: answers(f"http://127.0.0.1:{port}/"))  # type: ignore[misc]  # mypy cannot infer a lambda with a default, which keeps this port
