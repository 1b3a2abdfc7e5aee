"""Shared by the tests with independent peers: where the peers come from, and how they are started.

The peers are pinned by lock files beside the tests that use them, and installed into `target/peers`.
"""

import contextlib
import fcntl
import functools
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
INTEROP = TESTS / "interop"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PEERS = TARGET / "peers"


class Missing(Exception):
    """This machine lacks something that the tests need."""


def need(program, why):
    found = shutil.which(program)
    if not found:
        raise Missing(f"{program} is missing: {why}")
    return found


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if done.returncode:
        raise Missing(f"{' '.join(map(str, command))} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def until(what, holds, patience=60):
    """Waits until a condition holds, and returns its value."""
    end = time.monotonic() + patience
    while not (found := holds()):
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain until {what}")
        time.sleep(0.05)
    return found


def of_each_era(node, program):
    """A program of the interop suite, on each official SDK in each era: its name and its command."""
    programs = {}
    for major, era in (("1", "legacy"), ("2", "legacy"), ("2", "modern")):
        programs[f"typescript {major} {era}"] = ["node", node / f"{program}.mjs", major, era]
        programs[f"python {major} {era}"] = [install_sdk(int(major)), INTEROP / f"python/{program}.py", major, era]
    return programs


def printed(command, **environment):
    """The last line that a program prints, parsed as JSON, or None; and its whole output."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=90, env={**os.environ, **environment}
    )
    said = f"{done.stdout[-500:]}{done.stderr[-1500:]}"
    try:
        return json.loads(done.stdout.splitlines()[-1]), said
    except (IndexError, ValueError):
        return None, said


def up_to_date(folder, *locks):
    """Whether a folder was installed from exactly these lock files. If not, stores them for the next time."""
    stamp, now = folder / ".locks", "".join(lock.read_text() for lock in locks)
    if stamp.exists() and stamp.read_text() == now:
        return True, lambda: None
    return False, lambda: stamp.write_text(now)


def one_at_a_time(install):
    """Suites that run in parallel share installations: one of them installs, and the others wait."""

    @functools.wraps(install)
    def waiting(*arguments):
        PEERS.mkdir(parents=True, exist_ok=True)
        with open(PEERS / f"{install.__module__}.{install.__qualname__}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return install(*arguments)

    return waiting


def copy_new(file, folder):
    """Copies a file unless it exists already, since another suite may be reading it."""
    there = folder / file.name
    if not there.exists() or there.read_bytes() != file.read_bytes():
        shutil.copy(file, folder)


@one_at_a_time
def install_node():
    need("node", "the TypeScript SDKs run on Node 20 or newer")
    npm = need("npm", "the TypeScript SDKs come from the npm registry")
    folder = PEERS / "node"
    folder.mkdir(parents=True, exist_ok=True)
    locks = [INTEROP / "node/package.json", INTEROP / "node/package-lock.json"]
    fresh, remember = up_to_date(folder, *locks)
    for file in (INTEROP / "node").glob("*.*"):
        if file.is_file():
            copy_new(file, folder)
    if not fresh:
        run(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)
        remember()
    return folder


def install_sdk(major):
    return install_python(f"python{major}", INTEROP / f"python/requirements-{major}.txt")


@one_at_a_time
def install_python(name, lock):
    """A Python environment with the packages that a lock file lists. Returns the program."""
    folder = PEERS / name
    folder.mkdir(parents=True, exist_ok=True)
    fresh, remember = up_to_date(folder, lock)
    python = folder / "bin/python"
    if not fresh:
        run(sys.executable, "-m", "venv", "--clear", folder)
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", lock)
        remember()
    return python


@one_at_a_time
def install_rust():
    cargo = need(os.environ.get("CARGO", "cargo"), "the Rust SDK is built with it")
    run(cargo, "build", "--locked", "--quiet", "--target-dir", PEERS / "rmcp", cwd=ROOT / "tests/rmcp")
    return PEERS / "rmcp/debug"


def gateway_binary(given):
    if given:
        return Path(given)
    run(os.environ.get("CARGO", "cargo"), "build", "--locked", "-p", "doorward", cwd=ROOT)
    return TARGET / "debug/doorward"


def free_port():
    """A free port below the range for outgoing connections: a connection of another suite could take one of those
    before it is bound."""
    while True:
        port = random.randrange(10_000, 32_768)
        with socket.socket() as listener:
            with contextlib.suppress(OSError):
                listener.bind(("127.0.0.1", port))
                return port


@contextlib.contextmanager
def running():
    """A folder, and processes that end with the block. On failure, prints the last lines of their output."""
    with tempfile.TemporaryDirectory() as folder:
        processes = Processes(Path(folder))
        try:
            yield processes.folder, processes
        except BaseException:
            for log in sorted(processes.folder.glob("*.log")):
                print(f"--- {log.name}", log.read_text()[-1500:], sep="\n")
            raise
        finally:
            processes.stop()


def wait_for_port(port, process, what):
    end = time.monotonic() + 90
    while time.monotonic() < end:
        if process.poll() is not None:
            raise Missing(f"{what} ended: {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.05)
    raise Missing(f"{what} does not listen")


class Processes:
    """Processes that live as long as a run, with their output in files of one folder."""

    def __init__(self, folder):
        self.folder = folder
        self.started = []

    def start(self, command, log, env=None):
        with open(self.folder / log, "w") as out:
            command = [str(part) for part in command]
            process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=env)
        self.started.append(process)
        return process

    def listening(self, command, log):
        """Starts a command in which `{port}` stands for a free port. Returns the port once it listens."""
        port = free_port()
        process = self.start([str(part).replace("{port}", str(port)) for part in command], log)
        wait_for_port(port, process, log)
        return port

    def stop(self):
        for process in self.started:
            process.terminate()
        for process in self.started:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
