#!/usr/bin/env python3
"""Checks with a public validator that the description of the admin API is valid OpenAPI 3.1. Needs Python; installs
everything else."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]
from peers import ROOT, install_python  # noqa: E402

python = install_python("description", HERE / "requirements.txt")
validator = python.parent / "openapi-spec-validator"
sys.exit(subprocess.run([validator, ROOT / "docs/admin-api.json"]).returncode)
