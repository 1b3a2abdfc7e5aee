#!/usr/bin/env python3
"""How often tool search finds the tools that a question needs.

    tests/search/run.py                      the texts of this folder, by language
    tests/search/run.py --check              the same, and fails if less is found than before
    tests/search/run.py --material DIR       the public sets that tests/search/prepare.py wrote to DIR
    tests/search/run.py --material DIR --speed   and what searching costs

Prints Recall@1, Recall@5 and MRR of each set. Weights were tuned on one half of the public sets, chosen by a hash of the
question; both halves are printed.
"""

import argparse
import hashlib
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PUBLIC = ["livemcpbench-tasks", "livemcpbench-steps", "metatool-single", "metatool-multi", "bfcl-live-multiple", "bfcl-multiple"]
# How many tools are ranked: a tool that is further down counts nothing for MRR.
RANKED = 50
# Recall@5 at least, by language of the questions in own.queries.jsonl.
AT_LEAST = {"en": 90, "de": 90, "fr": 85, "es": 85, "ja": 85, "zh": 85}


def example(name, *arguments, questions=None):
    command = ["cargo", "run", "--quiet", "--release", "--package", "doorward-search", "--example", name, "--", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, stdin=questions, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def ranks(folder, name):
    """Each question, with the ranks of the tools that it needs (counted from 1; None: not found)."""
    tools, queries = folder / f"{name}.tools.jsonl", folder / f"{name}.queries.jsonl"
    names = [tool["name"] for tool in rows(tools)]
    with queries.open() as questions:
        answers = [json.loads(line) for line in example("rank", tools, RANKED, questions=questions).splitlines()]
    asked = rows(queries)
    assert len(answers) == len(asked), f"{name}: {len(answers)} answers to {len(asked)} questions"
    for query, answer in zip(asked, answers):
        found = [names[position] for position in answer]
        yield query, [found.index(tool) + 1 if tool in found else None for tool in dict.fromkeys(query["tools"])]


def figures(results):
    """Recall@1, Recall@5 and MRR (of the first needed tool), in percent."""
    results = list(results)
    recall = lambda most: sum(sum(rank is not None and rank <= most for rank in found) / len(found) for _, found in results)
    first = sum(max((1 / rank for rank in found if rank), default=0) for _, found in results)
    return [100 * total / max(len(results), 1) for total in (recall(1), recall(5), first)]


def line(name, results):
    one, five, mrr = figures(results)
    print(f"{name:24}{len(results):8}{one:10.1f}{five:10.1f}{mrr:8.1f}")
    return five


def half(query):
    return hashlib.sha256(query["query"].encode()).digest()[-1] % 2


def public(folder):
    print(f"{'set':24}{'queries':>8}{'Recall@1':>10}{'Recall@5':>10}{'MRR':>8}")
    sets = {name: list(ranks(folder, name)) for name in PUBLIC}
    mean = sum(line(name, results) for name, results in sets.items()) / len(sets)
    for text, wanted in (("all", (0, 1)), ("tuned on", (0,)), ("held out", (1,))):
        fives = [figures([row for row in results if half(row[0]) in wanted])[1] for results in sets.values()]
        print(f"mean Recall@5, {text}: {sum(fives) / len(fives):.1f} ({', '.join(f'{five:.1f}' for five in fives)})")
    return mean


def own(check):
    results = list(ranks(HERE, "own"))
    print(f"{'language':24}{'queries':>8}{'Recall@1':>10}{'Recall@5':>10}{'MRR':>8}")
    fives = {language: line(language, [row for row in results if row[0]["language"] == language]) for language in AT_LEAST}
    for query, found in results:
        if not found[0] or found[0] > 5:
            print(f"  rank {found[0]}: {query['tools'][0]} for {query['query']}")
    failed = [f"{language}: {five:.1f} < {AT_LEAST[language]}" for language, five in fives.items() if five < AT_LEAST[language]]
    if check and failed:
        sys.exit("Less is found than before. Recall@5 of " + "; ".join(failed))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--material", type=pathlib.Path, help="the folder with the public sets")
    parser.add_argument("--check", action="store_true", help="fail if less is found in the texts of this folder than before")
    parser.add_argument("--speed", action="store_true", help="measure what indexing and searching cost")
    options = parser.parse_args()
    if options.material:
        mean = public(options.material.resolve())
        if options.check and mean < 70:
            sys.exit(f"The mean Recall@5 of the public sets is {mean:.1f}, less than 70.")
    else:
        own(options.check)
    if options.speed:
        files = [options.material.resolve() / f"livemcpbench-tasks.{kind}.jsonl" for kind in ("tools", "queries")] if options.material else []
        print(example("speed", *files), end="")


if __name__ == "__main__":
    main()
