"""The worker of `make run`: as `waitcall worker`, with the development secrets admitted."""

import os
import sys

from service.bootstrap import build_worker, configure_logging
from service.settings import SettingsMistakes, load_settings


def main() -> int:
    """Work until SIGTERM."""
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
