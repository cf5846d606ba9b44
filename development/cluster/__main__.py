"""Commands: ``up``, ``down``, ``build`` (the programs only), ``kubectl …``."""

import subprocess
import sys

from development.cluster import build, node, places


def main() -> int:
    """Run the command, and return the exit code."""
    command, *words = sys.argv[1:]
    if command == "build":
        build.build()
    elif command == "kubectl":
        kubectl = [str(build.program("kubernetes")), "kubectl", f"--kubeconfig={places.KUBECONFIG}"]
        return subprocess.run([*kubectl, *words], check=False).returncode
    elif command == "down":
        node.stop()
    elif reason := node.missing():
        sys.stderr.write(f"No node is started: {reason}.\n")
        return 1
    else:
        node.start()
        print(f"The node is ready: export KUBECONFIG={places.KUBECONFIG}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
