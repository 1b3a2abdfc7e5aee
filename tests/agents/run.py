#!/usr/bin/env python3
"""Popular agents, as published on npm, each with a scripted model: Claude Code, Codex and Gemini CLI connect to the
gateway's merged endpoint, list its tools, whose original names model APIs reject, and call each of them. They
authenticate with nothing, with a key, and, if the agent can log in without a person, with OAuth. Each also lists the
server that `doorward clients setup` has written into its file, and lists it no longer after `undo`.

Only the model endpoint is not real, since a real model costs money and does not repeat its responses.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
OIDC = HERE.parent / "oidc"
sys.path[:0] = [str(HERE.parent), str(OIDC / "python")]
from front import Front  # noqa: E402
from front import install_node as install_provider  # noqa: E402
from gateway import Gateway  # noqa: E402
from model import Model  # noqa: E402
from names import NAMES  # noqa: E402
from peers import PEERS, Missing, gateway_binary, install_sdk, need, run, running, up_to_date  # noqa: E402

PROMPT = "Call every tool once."


def install_agents():
    need("node", "the agents run on Node 20 or newer")
    npm = need("npm", "the agents come from the npm registry")
    folder = PEERS / "agents"
    folder.mkdir(parents=True, exist_ok=True)
    locks = [HERE / "node/package.json", HERE / "node/package-lock.json"]
    fresh, remember = up_to_date(folder, *locks)
    if not fresh:
        for lock in locks:
            (folder / lock.name).write_text(lock.read_text())
        run(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)
        remember()
    return folder / "node_modules"


class Agent:
    """An agent with its own home folder, so that it shares and leaves nothing."""

    def __init__(self, modules, home, model, url, key=None, browser=None):
        self.modules, self.home, self.model, self.url, self.key = modules, home, model, url, key
        self.work = home / "work"
        self.work.mkdir(parents=True)
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "NO_PROXY": "*"}
        self.environment |= {"BROWSER": str(browser)} if browser else {}

    def run(self, *command, **options):
        command = [str(part) for part in command]
        return subprocess.run(
            command, env=self.environment, cwd=self.work, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=180, **options,
        )

    def must(self, *command):
        done = self.run(*command)
        if done.returncode:
            raise AssertionError(f"{command[:4]}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        return done.stdout


class ClaudeCode(Agent):
    dialect, can_log_in = "anthropic", True
    client, settings = "claude-code", ".claude.json"
    # It connects, too.
    listed = "doorward: {url} (HTTP) - ✔ Connected"

    def list_servers(self):
        return self.must(next(self.modules.glob("@anthropic-ai/claude-code-*/claude")), "mcp", "list")

    def prepare(self):
        # On Node before 22, use the native program for this platform.
        self.program = next(self.modules.glob("@anthropic-ai/claude-code-*/claude"))
        self.environment |= {
            "ANTHROPIC_BASE_URL": self.model.url,
            "ANTHROPIC_API_KEY": "of-the-script",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            # Send all tools in the request instead of searching for them.
            "ENABLE_TOOL_SEARCH": "false",
        }
        header = ["--header", f"Authorization: Bearer {self.key}"] if self.key else []
        self.must(self.program, "mcp", "add", "--transport", "http", "doorward", self.url, *header)

    def log_in(self):
        # The agent requires a terminal, which `script` provides.
        command = shlex.join([str(self.program), "mcp", "login", "doorward"])
        self.must("script", "--quiet", "--return", "--command", command, "/dev/null")

    def work_through(self):
        return self.must(self.program, "-p", PROMPT, "--allowedTools", "mcp__doorward")


class Codex(Agent):
    dialect, can_log_in = "openai", True
    client, settings = "codex", ".codex/config.toml"
    listed = "doorward {url} DOORWARD_KEY enabled Bearer token"

    def list_servers(self):
        return self.must("node", self.modules / "@openai/codex/bin/codex.js", "mcp", "list")

    def prepare(self):
        self.program = ["node", self.modules / "@openai/codex/bin/codex.js"]
        self.environment |= {"OF_THE_SCRIPT": "key", "DOORWARD_KEY": self.key or ""}
        bearer = 'bearer_token_env_var = "DOORWARD_KEY"' if self.key else ""
        # Unless a server is required, its tools may not be listed yet at the first request to the model.
        folder = self.home / ".codex"
        folder.mkdir()
        (folder / "config.toml").write_text(f"""
model = "scripted"
model_provider = "script"
approval_policy = "never"
mcp_oauth_credentials_store = "file"

[model_providers.script]
name = "A script"
base_url = "{self.model.url}/v1"
env_key = "OF_THE_SCRIPT"
wire_api = "responses"

[mcp_servers.doorward]
url = "{self.url}"
startup_timeout_sec = 60
required = true
{bearer}
""")

    def log_in(self):
        self.must(*self.program, "mcp", "login", "doorward")

    def work_through(self):
        options = ["--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
        return self.must(*self.program, "exec", *options, PROMPT)


class GeminiCli(Agent):
    # This agent can log in only from its own screen.
    dialect, can_log_in = "gemini", False
    client, settings = "gemini-cli", ".gemini/settings.json"
    listed = "doorward: {url} (http)"

    def list_servers(self):
        done = self.run("node", self.modules / "@google/gemini-cli/bundle/gemini.js", "mcp", "list")
        return done.stdout + done.stderr

    def prepare(self):
        self.program = ["node", self.modules / "@google/gemini-cli/bundle/gemini.js"]
        self.environment |= {"GEMINI_API_KEY": "of-the-script", "GOOGLE_GEMINI_BASE_URL": self.model.url}
        server = {"httpUrl": self.url, "trust": True}
        if self.key:
            server["headers"] = {"Authorization": f"Bearer {self.key}"}
        folder = self.home / ".gemini"
        folder.mkdir()
        (folder / "settings.json").write_text(json.dumps({
            "mcpServers": {"doorward": server},
            "security": {"auth": {"selectedType": "gemini-api-key"}},
            "privacy": {"usageStatisticsEnabled": False},
            "general": {"disableAutoUpdate": True},
        }))

    def work_through(self):
        return self.must(*self.program, "-p", PROMPT, "--yolo", "-m", "gemini-2.5-flash", "--skip-trust")


AGENTS = {"Claude Code": ClaudeCode, "Codex": Codex, "Gemini CLI": GeminiCli}


def problems(agent, out):
    """What was wrong with a run: every tool of the gateway must be offered, called and answered."""
    model = agent.model
    wrong = []
    if model.refused:
        wrong.append(f"names that the model refuses: {model.refused}")
    if "all done" not in out:
        wrong.append(f"it did not come to an end: {out[-500:]}")
    said = "\n".join(model.results.values())
    wrong += [f"'{name}' was not called" for name in NAMES if f"{name} heard hello" not in said]
    return wrong


def examine(name, way, agent, log_in=False):
    try:
        agent.prepare()
        if log_in:
            agent.log_in()
        out = agent.work_through()
        # On a busy machine an agent may give up waiting for its servers and call the model without their tools.
        for _ in range(2):
            if agent.model.offered:
                break
            out = agent.work_through()
        wrong = problems(agent, out)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        wrong = [str(error)]
    finally:
        agent.model.stop()
    calls = f"{len(agent.model.called)} calls"
    print(f"{name:12} {way:20} {'ok, ' + calls if not wrong else '; '.join(wrong)}", flush=True)
    return not wrong


def examine_setup(name, agent, binary):
    """Whether the agent lists the server that `doorward clients setup` has written, and only as long as it is there."""
    agent.environment |= {"DOORWARD_KEY": agent.key, "GEMINI_API_KEY": "of-the-script"}
    settings = agent.home / agent.settings
    settings.parent.mkdir(parents=True, exist_ok=True)
    before = "# mine\n" if settings.suffix == ".toml" else '{\n  "mcpServers": {}\n}\n'
    settings.write_text(before)

    def lists():
        return agent.listed.format(url=agent.url) in " ".join(agent.list_servers().split())

    try:
        agent.must(binary, "clients", "setup", agent.client, "--url", agent.url, "--key-env", "DOORWARD_KEY")
        wrong = [] if lists() else [f"it does not list the server: {agent.list_servers()[-500:]}"]
        agent.must(binary, "clients", "undo", agent.client)
        wrong += ["it lists the server after 'undo'"] if lists() else []
        if settings.suffix == ".toml" and settings.read_text() != before:
            wrong.append(f"its file is not as it was: {settings.read_text()[:500]}")
    except (AssertionError, subprocess.TimeoutExpired) as error:
        wrong = [str(error)]
    finally:
        agent.model.stop()
    print(f"{name:12} {'set up and undone':20} {'ok' if not wrong else '; '.join(wrong)}", flush=True)
    return not wrong


def write_browser(folder):
    """Writes a replacement for the browser that agents open: it consents and follows redirects."""
    script = folder / "browser"
    visit = f"import sys; sys.path.insert(0, {str(OIDC / 'python')!r}); from browser import visit; "
    # The agent listens on an address of its own on this machine.
    visit += "from urllib.parse import parse_qs, urlsplit; url = sys.argv[1]; "
    visit += "print(visit(url, parse_qs(urlsplit(url).query)['redirect_uri'][0], arrive=True))"
    command = f"exec {shlex.quote(sys.executable)} -c {shlex.quote(visit)}"
    script.write_text(f'#!/bin/sh\n{command} "$1" >>{shlex.quote(str(folder / "browser.log"))} 2>&1\n')
    script.chmod(0o755)
    return script


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--gateway", help="the binary to test (default: built from this checkout)")
    options.add_argument("--only", default="", help="a part of an agent's name")
    options = options.parse_args()
    binary, modules, python = gateway_binary(options.gateway), install_agents(), install_sdk(1)
    agents = {name: agent for name, agent in AGENTS.items() if options.only.lower() in name.lower()}
    awkward = {"awkward.server": {"command": str(python), "args": [str(HERE / "server.py")]}}
    good = True
    with running() as (folder, processes):
        browser = write_browser(folder)

        def agent(name, way, url, key=None):
            home = folder / f"{name}-{way}".replace(" ", "-")
            model = Model(lambda tool: "doorward" in tool)
            return agents[name](modules, home, model, url, key, browser)

        config = json.dumps({"servers": awkward})
        open_to_all = Gateway(binary, processes, folder, "open", config, has_store=False)
        keyed = Gateway(binary, processes, folder, "keyed", config)
        key = keyed.told("keys", "create", "--user", "agent").strip()
        # The agents' client metadata documents are hosted by their makers and cannot be fetched from every machine,
        # so the agents register.
        front = Front(processes, folder, binary, install_provider(), awkward, takes_documents=False)
        for name in agents:
            url = f"http://127.0.0.1:{open_to_all.port}/mcp"
            good &= examine(name, "without a credential", agent(name, "open", url))
            url = f"http://127.0.0.1:{keyed.port}/mcp"
            good &= examine(name, "with a key", agent(name, "key", url, key))
            good &= examine_setup(name, agent(name, "setup", url, key), binary)
            if agents[name].can_log_in:
                good &= examine(name, "by OAuth", agent(name, "oauth", front.url), log_in=True)
        if not good:
            raise SystemExit(1)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Missing as missing:
        sys.exit(f"error: {missing}")
