#!/usr/bin/env python3
"""How long redaction takes: prints one line for each set.

`tests/detection/speed.py [PROGRAM…]`. Without a program, `examples/measure.rs` of doorward-inspect is built and measured; with
several, such as those of two revisions, they take turns. The sets are made here: the documentation in pieces of 10 KB, and 1 MB
of base64 and of random text, each as JSON.
"""

import base64
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PIECE = 10_000
MB = 1 << 20


def sets():
    random.seed(20)
    texts = [path.read_text() for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])]
    pieces = [text[at:at + PIECE] for text in texts for at in range(0, len(text) - PIECE + 1, PIECE)]
    printable = [chr(code) for code in range(32, 127)]
    yield "documentation", 50 * pieces
    yield "base64", [base64.b64encode(random.randbytes(MB // 4 * 3)).decode() for _ in range(21)]
    yield "random text", ["".join(random.choices(printable, k=MB)) for _ in range(21)]


def main():
    programs = sys.argv[1:]
    if not programs:
        command = ["cargo", "build", "--profile", "quick", "-p", "doorward-inspect", "--example", "measure", "--message-format=json"]
        built = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
        programs = [line["executable"] for line in map(json.loads, built.splitlines()) if line.get("executable")]
    with tempfile.TemporaryDirectory() as folder:
        for name, texts in sets():
            file = pathlib.Path(folder, "set.jsonl")
            file.write_text("".join(json.dumps({"content": [{"type": "text", "text": text}]}) + "\n" for text in texts))
            for program in programs:
                run = subprocess.run([program, "redact", file], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                print(f"{name:14} {program}: {re.sub(r'^.*items, ', f'{len(texts)} items, ', run.stderr.strip())}", flush=True)


if __name__ == "__main__":
    main()
