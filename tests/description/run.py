#!/usr/bin/env python3
"""Whether a public validator takes the description of the admin API for OpenAPI 3.1. Needs Python; installs all else."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]
from peers import ROOT, install_python  # noqa: E402

python = install_python("description", HERE / "requirements.txt")
validator = python.parent / "openapi-spec-validator"
sys.exit(subprocess.run([validator, ROOT / "docs/admin-api.json"]).returncode)
