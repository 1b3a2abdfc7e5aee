#!/usr/bin/env python3
"""Uses the gateway as an agent through the official Python SDK of A2A: revisions 1.0 and 0.3, JSON-RPC and HTTP+JSON, with
and without streaming. Needs Python; installs everything else."""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]
from peers import Missing, gateway_binary, install_python  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", help="the binary; built when absent")
    options = parser.parse_args()
    python = install_python("a2a", HERE / "requirements.txt")
    check = [python, HERE / "check.py", gateway_binary(options.gateway)]
    return subprocess.run([str(part) for part in check]).returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Missing as error:
        sys.exit(str(error))
