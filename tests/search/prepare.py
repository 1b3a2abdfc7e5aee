#!/usr/bin/env python3
"""Turns the public material for tool search into the JSON lines that tests/search/run.py reads.

    tests/search/prepare.py DIR --livemcpbench CLONE --metatool CLONE --bfcl WHEEL

CLONE is a Git clone (bare or not) of icip-cas/LiveMCPBench or HowieHwong/MetaTool, WHEEL the package `bfcl-eval` from
PyPI (`pip download --no-deps bfcl-eval`). Nothing of it is part of this repository: its licences differ.

Each set becomes DIR/SET.tools.jsonl (id, server, name, description, schema) and DIR/SET.queries.jsonl (query, and the
names of the tools that answer it). A tool counts as found by its name, because the material names no servers.
"""

import argparse
import csv
import io
import json
import pathlib
import re
import subprocess
import zipfile


def blob(clone, path):
    return subprocess.run(["git", "-C", clone, "show", f"HEAD:{path}"], check=True, capture_output=True).stdout.decode()


def numbered(text):
    """The lines of a numbered list, without the numbers."""
    return [re.sub(r"^\s*\d+[.)]\s*", "", line).strip() for line in text.strip().split("\n") if line.strip()]


def livemcpbench(clone):
    tools = []
    for entry in json.loads(blob(clone, "tools/LiveMCPTool/tools.json")):
        for server, found in entry["tools"].items():
            for tool in found["tools"]:
                schema = json.dumps(tool.get("inputSchema") or {}, ensure_ascii=False)
                tools.append({"server": server, "name": tool["name"], "description": tool.get("description") or "", "schema": schema})
    names = {tool["name"] for tool in tools}
    tasks, steps = [], []
    for task in json.loads(blob(clone, "annotated_data/all_annotations.json")):
        notes = task["Annotator Metadata"]
        needed, described = numbered(notes["Tools"]), numbered(notes["Steps"])
        known = [name for name in needed if name in names]
        if known:
            tasks.append({"query": task["Question"], "tools": known})
        # A step's tool is known where there are as many tools as steps.
        if len(needed) == len(described):
            steps += [{"query": step, "tools": [name]} for step, name in zip(described, needed) if name in names]
    return {"livemcpbench-tasks": (tools, tasks), "livemcpbench-steps": (tools, steps)}


def metatool(clone):
    described = json.loads(blob(clone, "dataset/plugin_des.json")) | json.loads(blob(clone, "dataset/big_tool_des.json"))
    tools = [{"server": "", "name": name, "description": text, "schema": "{}"} for name, text in described.items()]
    rows = csv.DictReader(io.StringIO(blob(clone, "dataset/data/all_clean_data.csv")))
    single = [{"query": row["Query"], "tools": [row["Tool"]]} for row in rows]
    multi = [{"query": row["query"], "tools": row["tool"]} for row in json.loads(blob(clone, "dataset/data/multi_tool_query_golden.json"))]
    return {"metatool-single": (tools, single), "metatool-multi": (tools, multi)}


def bfcl(wheel):
    """All functions of a set as one catalogue. One name may have several versions; the first one counts."""
    sets = {}
    with zipfile.ZipFile(wheel) as archive:
        for kind in ("live_multiple", "multiple"):
            lines = archive.read(f"bfcl_eval/data/BFCL_v4_{kind}.json").decode().splitlines()
            answers = archive.read(f"bfcl_eval/data/possible_answer/BFCL_v4_{kind}.json").decode().splitlines()
            truth = {row["id"]: [next(iter(call)) for call in row["ground_truth"]] for row in map(json.loads, answers)}
            tools, queries = {}, []
            for row in map(json.loads, lines):
                for function in row["function"]:
                    schema = json.dumps(function.get("parameters") or {}, ensure_ascii=False).replace('"dict"', '"object"')
                    tools.setdefault(function["name"], {"server": "", "name": function["name"], "description": function["description"], "schema": schema})
                users = [turn["content"] for turn in row["question"][0] if turn["role"] == "user"]
                queries.append({"query": users[-1], "tools": truth[row["id"]]})
            sets["bfcl-" + kind.replace("_", "-")] = (list(tools.values()), queries)
    return sets


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--livemcpbench")
    parser.add_argument("--metatool")
    parser.add_argument("--bfcl")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for source, read in (("livemcpbench", livemcpbench), ("metatool", metatool), ("bfcl", bfcl)):
        place = getattr(options, source)
        if place is None:
            continue
        for name, (tools, queries) in read(place).items():
            for number, tool in enumerate(tools):
                tool["id"] = str(number)
            for kind, rows in (("tools", tools), ("queries", queries)):
                text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
                (options.folder / f"{name}.{kind}.jsonl").write_text(text)
            print(f"{name}: {len(tools)} tools, {len(queries)} queries")


if __name__ == "__main__":
    main()
