"""Worker of `make run`: like `waitcall worker`, but with development secrets allowed."""

import os
import sys

from waitcall.composition import build_worker, configure_logging
from waitcall.configuration.settings import SettingsMistakes, load_settings


def main() -> int:
    """Run the worker until SIGTERM. Return 2 if the settings have mistakes."""
    try:
        settings = load_settings(os.environ, development=True)
    except SettingsMistakes as error:
        print(error, file=sys.stderr)
        return 2
    configure_logging(settings)
    build_worker(settings).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
