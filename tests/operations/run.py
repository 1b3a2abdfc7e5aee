#!/usr/bin/env python3
"""The real systems that operators connect to the gateway: an OTLP receiver built from the official protobuf package,
over HTTP and gRPC; Prometheus with the rules and the dashboard of `deploy/`; rsyslog over TCP and TLS; HTTP receivers
of audit records; and a mail server. Needs Python, openssl, and Debian's prometheus and rsyslog; installs everything
else."""

import argparse
import gzip
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from gateway import Gateway  # noqa: E402
from peers import ROOT, Missing, free_port, gateway_binary, install_python, need, run, running, until, wait_for_port  # noqa: E402

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Recording(Gateway):
    """A gateway that logs in JSON and is ready."""

    def __init__(self, binary, processes, folder, name, config):
        super().__init__(binary, processes, folder, name, config, "--log-format", "json")
        until("it is ready", lambda: self.get("/readyz")[0] == 200)

    def call(self, tool, arguments, headers=(), meta=None):
        return self.ask("tools/call", {"name": tool, "arguments": arguments}, headers=headers, meta=meta, patience=10)


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def spans_of(told):
    for one in told:
        for resource in one["request"].get("resourceSpans", []):
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    yield span


def attributes(span):
    return {it["key"]: next(iter(it["value"].values()), None) for it in span.get("attributes", [])}


def check_telemetry(binary, processes, folder, python):
    """A trace contains client, gateway and server as one; metrics and logs arrive; over both protocols."""
    import base64

    hexed = lambda text: base64.b64decode(text).hex()
    for protocol in ["http", "grpc"]:
        http, grpc = free_port(), free_port()
        out = folder / f"otlp-{protocol}.jsonl"
        collector = processes.start([python, HERE / "collector.py", http, grpc, out], f"collector-{protocol}.log")
        wait_for_port(http, collector, "the collector")
        wait_for_port(grpc, collector, "the collector")
        endpoint = f"http://127.0.0.1:{http if protocol == 'http' else grpc}"
        # The server behind is a gateway as well, and exports its own part of the trace.
        telemetry = f"""
telemetry:
  otlp: {{endpoint: '{endpoint}', protocol: {protocol}}}
  traces: {{sample: 0}}
  metrics: {{every: 1s}}
"""
        inner = Recording(binary, processes, folder, f"inner-{protocol}", f"servers: {{sample: {{sample: true}}}}{telemetry}")
        outer = Recording(
            binary,
            processes,
            folder,
            f"outer-{protocol}",
            f"servers: {{behind: {{url: 'http://127.0.0.1:{inner.port}/mcp/sample'}}}}{telemetry}",
        )
        outer.call("behind__add", {"a": 1, "b": 2})
        outer.call("behind__add", {"a": 1, "b": 2}, {"traceparent": f"00-{TRACE}-{SPAN}-01"})
        other = TRACE.replace("0af", "0bf")
        outer.call("behind__echo", {"text": "hunter2-secret"}, meta={"traceparent": f"00-{other}-{SPAN}-01"})
        told = lambda signal: [one for one in read_lines(out) if one["signal"] == signal]
        spans = lambda trace: [span for span in spans_of(told("traces")) if hexed(span["traceId"]) == trace]
        ends = ("SPAN_KIND_SERVER", "SPAN_KIND_CLIENT")
        whole = lambda it: all(sum(span["kind"] == kind for span in it) == 2 for kind in ends)
        mine = lambda trace: until("all spans have come", lambda: whole(it := spans(trace)) and it)
        for trace, tool in [(TRACE, "add"), (other, "echo")]:
            all_spans = mine(trace)
            by_id = {hexed(span["spanId"]): span for span in all_spans}
            servers = [span for span in all_spans if span["kind"] == "SPAN_KIND_SERVER"]
            clients = [span for span in all_spans if span["kind"] == "SPAN_KIND_CLIENT"]
            assert len(servers) == 2 and len(clients) == 2, [span["name"] for span in all_spans]
            first = next(span for span in servers if hexed(span["parentSpanId"]) == SPAN)
            second = next(span for span in servers if span is not first)
            # Client, gateway, its stages, the call to the server, the server: a single chain of parents.
            above = by_id[hexed(second["parentSpanId"])]
            assert above["kind"] == "SPAN_KIND_CLIENT", above
            stage = by_id[hexed(above["parentSpanId"])]
            assert stage["name"] == "doorward dispatch" and by_id[hexed(stage["parentSpanId"])] is first
            said = attributes(first)
            assert first["name"] == f"tools/call {tool}", first["name"]
            assert said["mcp.method.name"] == "tools/call" and said["gen_ai.tool.name"] == tool
            assert said["gen_ai.operation.name"] == "execute_tool" and said["mcp.protocol.version"] == "2026-07-28"
            assert attributes(above)["server.port"] == str(inner.port), attributes(above)
            assert int(first["startTimeUnixNano"]) <= int(above["startTimeUnixNano"]) <= int(above["endTimeUnixNano"])
        assert "hunter2" not in out.read_text(), "an argument was told"
        # The audit record contains the trace id.
        found = outer.told("audit", "search", "--text", TRACE, "--json")
        assert found.strip(), "the record does not name the trace"
        names = lambda: {
            metric["name"]
            for one in told("metrics")
            for resource in one["request"]["resourceMetrics"]
            for scope in resource["scopeMetrics"]
            for metric in scope["metrics"]
        }
        wanted = {"mcp.server.operation.duration", "mcp.client.operation.duration", "doorward.calls"}
        until("the metrics have come", lambda: wanted <= names())
        logs = lambda: [
            record["body"]["stringValue"]
            for one in told("logs")
            for resource in one["request"]["resourceLogs"]
            for scope in resource["scopeLogs"]
            for record in scope["logRecords"]
        ]
        until("the log has come", lambda: "ready" in logs())
        assert all(one["over"] == protocol for one in read_lines(out))
        print(f"OTLP over {protocol}: {len(list(spans_of(told('traces'))))} spans, {len(names())} metrics, {len(logs())} lines")
        # Without a collector, calls continue.
        collector.kill()
        for _ in range(20):
            outer.call("behind__add", {"a": 1, "b": 2}, {"traceparent": f"00-{TRACE}-{SPAN}-01"})


def check_prometheus(binary, processes, folder):
    """The metrics pass promtool's lint, and Prometheus loads and evaluates the rules and the dashboard's queries."""
    gateway = Recording(binary, processes, folder, "measured", "servers: {sample: {sample: true}}\nrate_limits: {rules: {few: {window: 5/h}}}")
    for _ in range(4):
        gateway.call("sample__add", {"a": 1, "b": 2})
    promtool = need("promtool", "it comes with Debian's prometheus")
    text = gateway.get("/metrics")[1]
    lint = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)
    assert lint.returncode == 0 and not lint.stderr.strip(), lint.stderr + lint.stdout
    assert gateway.get("/metrics", "application/openmetrics-text")[1].endswith("# EOF\n")
    assert 'doorward_calls_total{server="sample",tool="add",outcome="ok"} 4' in text, text
    assert "local" not in "".join(line for line in text.splitlines() if "doorward_calls_total" in line)
    rules = ROOT / "deploy/prometheus/alerts.yaml"
    run(promtool, "check", "rules", rules)
    config = (ROOT / "deploy/prometheus/prometheus.yaml").read_text()
    config = config.replace("127.0.0.1:7301", f"127.0.0.1:{gateway.admin}").replace("15s", "500ms")
    (folder / "prometheus.yaml").write_text(config.replace("alerts.yaml", str(rules)))
    port = free_port()
    command = [need("prometheus", "Debian has it"), "--config.file", folder / "prometheus.yaml"]
    command += ["--storage.tsdb.path", folder / "tsdb", "--web.listen-address", f"127.0.0.1:{port}"]
    prometheus = processes.start(command, "prometheus.log")
    wait_for_port(port, prometheus, "Prometheus")

    def is_ready():
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5).status == 200
        except urllib.error.HTTPError:
            return False

    until("Prometheus is ready", is_ready)

    def ask(query):
        url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(query)}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.loads(answer.read())["data"]["result"]

    until("it is scraped", lambda: ask("doorward_calls_total"))
    dashboard = json.loads((ROOT / "deploy/grafana/doorward.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    time.sleep(2)
    for _ in range(3):
        try:
            gateway.call("sample__add", {"a": 1, "b": 2})
        except urllib.error.HTTPError as error:
            assert error.code == 429
        time.sleep(1)
    silent = []
    for query in queries:
        query = query.replace("$server", ".*").replace("$__rate_interval", "10s")
        if not ask(query):
            silent.append(query)
    # Nothing was denied here, and the built-in server has no upstream latency.
    allowed = ("denied", "failure", "dry_run", "upstream")
    assert all(any(word in query for word in allowed) for query in silent), silent
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/rules", timeout=5) as answer:
        groups = json.loads(answer.read())["data"]["groups"]
    states = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
    until("the rules are evaluated", lambda: True)
    assert len(states) == 20 and set(states.values()) <= {"ok", "unknown"}, states
    print(f"Prometheus: {len(queries)} queries of the dashboard, {len(states)} rules")


def certificate(folder):
    """A key and certificate for localhost, and the authority that signed it."""
    key, cert, ca_key, ca = (folder / name for name in ["syslog.key", "syslog.crt", "ca.key", "ca.crt"])
    new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes"]
    run(*new, "-x509", "-days", "2", "-keyout", ca_key, "-out", ca, "-subj", "/CN=tests")
    run(*new, "-keyout", key, "-out", folder / "syslog.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text("subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n")
    sign = ["openssl", "x509", "-req", "-in", folder / "syslog.csr", "-CA", ca, "-CAkey", ca_key, "-CAcreateserial"]
    run(*sign, "-days", "2", "-out", cert, "-extfile", folder / "names")
    return key, cert


def check_exports(binary, processes, folder):
    """Records arrive at each kind of destination at least once, even if it was unreachable for a while."""
    tcp, out = free_port(), folder / "syslog.out"
    # Octet counting and plain TCP, without escaping.
    (folder / "rsyslog.conf").write_text(
        f"""
global(workDirectory="{folder}" maxMessageSize="64k")
module(load="imtcp" MaxFrameSize="65536")
template(name="raw" type="string" string="%pri% %app-name% %msgid% %msg%\\n")
ruleset(name="take") {{ action(type="omfile" file="{out}" template="raw") }}
input(type="imtcp" port="{tcp}" address="127.0.0.1" ruleset="take")
"""
    )
    rsyslogd = need("rsyslogd", "it comes with Debian's rsyslog")
    start = lambda: processes.start([rsyslogd, "-n", "-f", folder / "rsyslog.conf", "-i", folder / "rsyslog.pid"], "rsyslog.log")
    syslog = start()
    wait_for_port(tcp, syslog, "rsyslog")
    received = {"splunk": [], "datadog": [], "plain": []}
    away = threading.Event()

    class Sink(BaseHTTPRequestHandler):
        def do_POST(self):
            body = gzip.decompress(self.rfile.read(int(self.headers["content-length"]))).decode()
            kind = self.path.strip("/")
            if away.is_set():
                self.send_response(503)
                self.send_header("content-length", "0")
                self.end_headers()
                return
            if kind == "splunk":
                assert self.headers["authorization"] == "Splunk splunk-token-0123456789"
                events, decoder, at = [], json.JSONDecoder(), 0
                while at < len(body):
                    one, at = decoder.raw_decode(body, at)
                    events.append(one["event"])
                    at += len(body[at:]) - len(body[at:].lstrip())
            elif kind == "datadog":
                assert self.headers["dd-api-key"] == "datadog-key-0123456789"
                events = [json.loads(one["message"]) for one in json.loads(body)]
            else:
                assert self.headers["authorization"] == "Bearer plain-token-0123456789"
                events = [json.loads(line) for line in body.splitlines()]
            received[kind].extend(events)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    sink = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{sink.server_port}"
    tls_port = free_port()
    key, cert = certificate(folder)
    tls_out = folder / "syslog-tls.out"
    with open(tls_out, "w") as taken:
        # A TLS server that writes what it receives to a file, since rsyslog's own TLS support is a separate package.
        command = ["openssl", "s_server", "-quiet", "-accept", tls_port, "-cert", cert, "-key", key]
        tls = subprocess.Popen([str(part) for part in command], stdout=taken, stdin=subprocess.PIPE)
    processes.started.append(tls)
    wait_for_port(tls_port, tls, "the TLS server")
    http = lambda kind, token: f"{{http: {{url: '{url}/{kind}', type: {kind}, token: {token}}}, every: 200ms}}"
    gateway = Recording(
        binary,
        processes,
        folder,
        "exporting",
        f"""
servers: {{sample: {{sample: true}}}}
audit:
  reads: before
  exports:
    file: {{file: {{path: audit.jsonl, rotate_at: 8KiB, keep: 50}}, every: 200ms, batch: 10}}
    ocsf: {{format: ocsf, file: {{path: ocsf.jsonl}}, every: 200ms}}
    syslog: {{syslog: {{address: '127.0.0.1:{tcp}'}}, every: 200ms}}
    secure: {{syslog: {{address: 'localhost:{tls_port}', tls: true, ca: ca.crt}}, every: 200ms}}
    splunk: {http("splunk", "splunk-token-0123456789")}
    datadog: {http("datadog", "datadog-key-0123456789")}
    plain: {http("plain", "plain-token-0123456789")}
""",
    )
    calls = 0
    for phase in range(3):
        if phase == 1:
            away.set()
            syslog.kill()
            syslog.wait()
        for _ in range(20):
            gateway.call("sample__add", {"a": 1, "b": 2})
            calls += 1
        if phase == 1:
            until("that is told", lambda: "doorward_audit_failing_exports 0" not in gateway.get("/metrics")[1])
            away.clear()
            # rsyslog does not start if a stale pid file exists.
            (folder / "rsyslog.pid").unlink(missing_ok=True)
            syslog = start()
            wait_for_port(tcp, syslog, "rsyslog")
    until("the exports work again", lambda: "doorward_audit_failing_exports 0" in gateway.get("/metrics")[1], 60)
    gateway.process.terminate()
    gateway.process.wait(20)
    exported = folder / "all.jsonl"
    run(binary, "audit", "export", "--store", gateway.store, "-o", exported)
    wanted = {(one["writer"], one["seq"]) for one in read_lines(exported)}
    ids = lambda events: [(one["writer"], one["seq"]) for one in events]
    native = []
    for packed in sorted(folder.glob("audit.*.jsonl.gz")):
        native += [json.loads(line) for line in gzip.open(packed, "rt")]
    native += read_lines(folder / "audit.jsonl")
    places = {"file": native, **received}
    syslogged = [json.loads(line[line.index("{") :]) for line in out.read_text().splitlines()]
    places["syslog"] = syslogged
    decoder, text, secured = json.JSONDecoder(), tls_out.read_text(), []
    while (at := text.find("{")) >= 0:
        one, end = decoder.raw_decode(text, at)
        secured.append(one)
        text = text[end:]
    places["secure"] = secured
    for name, events in places.items():
        missing = wanted - set(ids(events))
        assert not missing, (name, len(missing), sorted(missing)[:3])
        again = len(events) - len(set(ids(events)))
        assert name.startswith("sys") or name == "secure" or again == 0 or name in received, (name, again)
        print(f"{name}: {len(wanted)} records, {len(events)} arrived, none missing, {again} again")
    classes = {one["class_uid"] for one in read_lines(folder / "ocsf.jsonl")}
    assert {6003, 6002} <= classes, classes
    key = run(binary, "audit", "key", "--store", gateway.store).split()[0]
    whole = folder / "whole.jsonl"
    whole.write_text("".join(json.dumps(one) for one in []) + "\n".join(exported.read_text().splitlines()) + "\n")
    assert "the audit log is intact" in run(binary, "audit", "verify", "--public-key", key, whole)
    assert calls == sum(1 for one in native if one.get("target") == "add" and one["kind"] in ("opened", "call")), calls


def check_mail(binary, processes, folder, python):
    """Approvers get mail through a server that requires TLS and a login, even after it was unreachable; without
    these, no mail is sent."""
    key, cert = certificate(folder)
    port, out = free_port(), folder / "mails.jsonl"
    command = [python, HERE / "mailserver.py", port, cert, key, out]
    (folder / "hold.cedar").write_text(
        """permit (principal, action in Action::"use", resource);
@reason("Adding needs a lead") @approval("role:lead")
forbid (principal, action == Action::"call", resource == Tool::"sample/add");
"""
    )
    settings = {"server": "localhost", "port": port, "user": "doorward", "password": "a-password-0123456789"}
    settings |= {"from": "doorward@example.com", "to": ["ops@example.com"], "retry_pause": "100ms"}
    settings["approvers"] = {"role:lead": ["dana@example.com"]}
    config = {"servers": {"sample": {"sample": True}}, "policy": {"files": ["hold.cedar"]}, "email": settings}
    os.environ["SSL_CERT_FILE"] = str(folder / "ca.crt")
    try:
        gateway = Recording(binary, processes, folder, "mail", json.dumps(config))
    finally:
        del os.environ["SSL_CERT_FILE"]
    key = gateway.told("keys", "create", "--user", "ann").strip()

    def call():
        return gateway.ask("tools/call", {"name": "add", "arguments": {"a": 1, "b": 2}}, "/mcp/sample", [("authorization", f"Bearer {key}")])

    def held():
        try:
            return call()["error"]["data"].get("approval")
        except urllib.error.HTTPError as answer:
            return json.load(answer).get("error", {}).get("data", {}).get("approval") if answer.code != 401 else None

    approval = until("the call waits", held)
    # The mail server is unreachable at first.
    until("it was tried", lambda: '"attempts":2' in gateway.told("webhooks", "deliveries", "--json").replace(" ", ""))
    wait_for_port(port, processes.start(command, "mailserver.log"), "the mail server")
    mails = until("the mail has come", lambda: out.exists() and read_lines(out))
    assert mails[0]["to"] == ["dana@example.com"] and mails[0]["tls"] and mails[0]["user"] == "doorward", mails
    assert f"/approvals/{approval}" in mails[0]["text"] and "Adding needs a lead" in mails[0]["text"], mails
    gateway.told("approvals", "approve", approval)
    mails = until("the decision has come", lambda: len(read_lines(out)) == 2 and read_lines(out))
    assert mails[1]["to"] == ["ops@example.com"] and "approved" in mails[1]["subject"], mails
    print(f"mails: {len(mails)} over TLS with a login, none lost while the server was away")


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--gateway", help="a gateway's binary; when absent, it is built")
    options.add_argument("--only", choices=["telemetry", "prometheus", "exports", "mail"])
    options = options.parse_args()
    checks = {
        "telemetry": lambda *world: check_telemetry(*world, install_python("operations", HERE / "requirements.txt")),
        "mail": lambda *world: check_mail(*world, install_python("operations", HERE / "requirements.txt")),
        "prometheus": check_prometheus,
        "exports": check_exports,
    }
    binary = gateway_binary(options.gateway)
    # Do not use the settings of the user who runs the tests.
    for name in [name for name in os.environ if name.startswith("DOORWARD_")]:
        del os.environ[name]
    for name, check in checks.items():
        if options.only not in (None, name):
            continue
        with running() as (folder, processes):
            check(binary, processes, folder)


if __name__ == "__main__":
    try:
        main()
    except Missing as missing:
        sys.exit(f"cannot run: {missing}")
