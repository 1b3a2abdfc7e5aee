#!/usr/bin/env python3
"""Checks that the console's built files in the repository equal a fresh build of its sources, checks its types and
markup, and runs its unit tests. Builds in a copy, without changing the sources."""

import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from peers import PEERS, ROOT, Missing, need, one_at_a_time, run, up_to_date  # noqa: E402

CONSOLE = ROOT / "crates/doorward-console"
APPLICATION = CONSOLE / "app"
# What units of the application read beside it.
CATALOG = Path("doorward-clients/src/catalog.json")


@one_at_a_time
def install():
    """Copies the application's sources with their dependencies. Returns the folder."""
    npm = need("npm", "the application is built by packages of the npm registry")
    folder = PEERS / "built/console/app"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old.name not in ("node_modules", ".locks"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    shutil.copytree(APPLICATION, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
    catalog = folder.parent.parent / CATALOG
    catalog.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(CONSOLE.parent / CATALOG, catalog)
    fresh, remember = up_to_date(folder, APPLICATION / "package.json", APPLICATION / "package-lock.json")
    if not fresh:
        run(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)
        remember()
    return folder


def files(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def main():
    folder = install()
    for step in ("check", "test", "build"):
        run("npm", "run", step, cwd=folder)
        print(f"npm run {step}: done", flush=True)
    built, kept = files(folder.parent / "dist"), files(CONSOLE / "dist")
    differ = sorted(name for name in built.keys() | kept.keys() if built.get(name) != kept.get(name))
    if differ:
        sys.exit(f"error: {CONSOLE.name}/dist is not what its sources build; run 'npm ci && npm run build' in app: {', '.join(differ[:20])}")
    print(f"{len(kept)} built files equal a fresh build")


if __name__ == "__main__":
    try:
        main()
    except Missing as missing:
        sys.exit(f"error: {missing}")
