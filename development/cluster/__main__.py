"""Commands: ``up``, ``down``, ``build`` (the programs only), ``prepare`` (the programs and images), ``kubectl …``."""

import subprocess
import sys
import time

from development.cluster import build, images, node, places


def main() -> int:
    """Run the command, and return the exit code."""
    command, *words = sys.argv[1:]
    began = time.monotonic()
    if command == "build":
        build.build()
    elif command == "kubectl":
        kubectl = [str(build.program("kubernetes")), "kubectl", f"--kubeconfig={places.KUBECONFIG}"]
        return subprocess.run([*kubectl, *words], check=False).returncode
    elif command == "down":
        node.stop()
    elif reason := node.missing():
        sys.stderr.write(f"No node is started: {reason}.\n")
        # The tests tell the reason too, and are skipped.
        return command != "prepare"
    else:
        build.build()
        images.archive()
        print(f"The programs and images are here after {time.monotonic() - began:.0f} s.", flush=True)
        if command == "up":
            node.start()
            print(
                f"The node is ready after {time.monotonic() - began:.0f} s: export KUBECONFIG={places.KUBECONFIG}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
