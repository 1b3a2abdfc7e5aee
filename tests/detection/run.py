#!/usr/bin/env python3
"""Measures the scanner and the detectors: recall and false positives by kind, and time.

    tests/detection/run.py                    our own texts (texts.py)
    tests/detection/run.py --material DIR     also public sets in DIR, which are not part of this repository
    tests/detection/run.py --check            fails if a figure is below its floor

In DIR, each set is a file of JSON lines: `clean*.jsonl` and `bad*.jsonl` with definitions, `content-clean*.jsonl` and
`content-bad*.jsonl` with `{"text": …}`. Our own sentences are then spliced into the definitions of `clean.jsonl`.
`docs/detection.md` lists the public sets. The measured program is `examples/measure.rs` of doorward-inspect.
"""

import argparse
import collections
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import texts

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

# The minimum recall or, for harmless texts, the maximum of false positives, in percent.
FLOORS = {
    "spliced, rules made in view": 85,
    "spliced, unseen": 55,
    "spliced, unseen and evasive": 25,
    "obfuscated, unseen": 95,
    "schema, unseen": 93,
    "schema, unseen and evasive": 78,
    "results, rules made in view": 85,
    "definitions, harmless": 0,
    "results, harmless": 0,
    "secrets of known families": 97,
    "secrets of families without a rule": 60,
    "structured ids": 98,
    "ordinary values": 0.3,
}


def build(profile):
    """Builds the example. Returns its path."""
    command = ["cargo", "build", "-q", "--profile", profile, "-p", "doorward-inspect", "--example", "measure", "--message-format=json"]
    lines = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    paths = [message["executable"] for message in map(json.loads, lines) if message.get("executable")]
    return paths[-1]


def measure(binary, kind, items):
    """The items that were detected, and the line about time."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        for item in items:
            own = {name: value for name, value in item.items() if name != "kind"}
            file.write(json.dumps(own) + "\n")
        file.flush()
        done = subprocess.run([binary, kind, file.name], check=True, capture_output=True, text=True)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    return [result["hit"] if "hit" in result else bool(result["found"]) for result in results], done.stderr.strip()


def material(folder):
    """The public sets in a folder."""
    for file in sorted(folder.glob("*.jsonl")):
        items = [json.loads(line) for line in file.read_text().splitlines()]
        match = re.match(r"(content-)?(clean|bad)", file.stem)
        if match:
            yield file.stem, ("content" if match[1] else "definitions", match[2] == "clean", items)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--material", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--profile", default="quick", help="the profile of cargo; times are only of use with one that optimizes")
    parser.add_argument("--binary", help="an example that was built before")
    arguments = parser.parse_args()
    binary = arguments.binary or build(arguments.profile)
    clean = []
    sets = {}
    if arguments.material:
        sets = dict(material(arguments.material))
        definitions = sets.get("clean", (None, None, []))[2]
        clean = [item for item in definitions if 30 < len(item.get("description") or "") < 600]
    below = []
    for name, (kind, harmless, items) in {**sets, **texts.sets(clean)}.items():
        hits, time = measure(binary, kind, items)
        share = 100 * sum(hits) / max(len(hits), 1)
        what = "false alarms" if harmless else "found"
        print(f"{name:36} {sum(hits):5} of {len(hits):5} {what:13} {share:6.2f}%   {time}")
        kinds, of = collections.Counter(), collections.Counter()
        for item, hit in zip(items, hits):
            of[item.get("kind")] += 1
            kinds[item.get("kind")] += hit
        odd = {kind: f"{kinds[kind]}/{of[kind]}" for kind in of if kinds[kind] != (0 if harmless else of[kind])}
        if odd and len(of) > 1:
            print("    " + ", ".join(f"{kind} {count}" for kind, count in odd.items()))
        floor = FLOORS.get(name)
        if floor is not None and (share > floor if harmless else share < floor):
            below.append(f"{name}: {share:.2f}%, floor {floor}%")
    if arguments.check and below:
        sys.exit("\n".join(below))


main()
