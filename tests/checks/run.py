#!/usr/bin/env python3
"""A real Presidio analyzer as an external check, before and after calls. Needs Python; installs everything else.

Presidio's usual models are not on PyPI, so it runs on an empty model, with its pattern recognizers.
"""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]
from peers import Missing, gateway_binary, install_python  # noqa: E402


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--gateway", help="the gateway's program; without it, it is built")
    given = options.parse_args()
    python = install_python("checks", HERE / "requirements.txt")
    check = [sys.executable, HERE / "check.py", gateway_binary(given.gateway), python]
    return subprocess.run([str(part) for part in check]).returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Missing as error:
        sys.exit(str(error))
