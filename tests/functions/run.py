#!/usr/bin/env python3
"""Validates lists of tools and results of calls with the types of the official SDKs of OpenAI, Anthropic and Google, uses
the REST API through a client that is generated from its description, and sends it requests that are generated from it.
Needs Python; installs everything else."""

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "apis")]
from peers import Missing, gateway_binary, install_python  # noqa: E402


def descriptions(names):
    """Public descriptions of APIs that another suite installs, by name."""
    source = importlib.util.spec_from_file_location("apis", HERE.parent / "apis/run.py")
    apis = importlib.util.module_from_spec(source)
    source.loader.exec_module(apis)
    modules = apis.install_descriptions()
    return [f"{name}={modules / apis.PUBLIC[name]}" for name in names]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", help="the binary; built when absent")
    parser.add_argument("--apis", default="", help="whose tools are listed, too: GitHub, Stripe, Kubernetes")
    options = parser.parse_args()
    python = install_python("functions", HERE / "requirements.txt")
    names = [name for name in options.apis.split(",") if name]
    check = [python, HERE / "check.py", gateway_binary(options.gateway), *(descriptions(names) if names else [])]
    return subprocess.run([str(part) for part in check]).returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Missing as error:
        sys.exit(str(error))
