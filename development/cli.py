"""The ``waitcall`` command for a running stack: ``python -m development.cli SETTINGS.json COMMAND …``."""

import json
import os
import sys
from pathlib import Path

from waitcall.cli import main
from waitcall.cli.console import DEVELOPMENT
from waitcall.configuration.settings import PREFIX


def run() -> None:
    """Run a command with the stack's settings instead of those in the environment."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]
    os.environ |= json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    main(sys.argv[2:], prog_name="waitcall", obj=DEVELOPMENT)


if __name__ == "__main__":
    run()
