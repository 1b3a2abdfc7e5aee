#!/usr/bin/env python3
"""The structure of the code, read from `use` lines and paths: which module needs which.

    tests/structure.py            sizes, cycles and the crates' dependencies, as text
    tests/structure.py --mermaid  the graph in ARCHITECTURE.md
    tests/structure.py --check    fails if a rule of ARCHITECTURE.md is broken

Tests (`#[cfg(test)]` modules and `tests/`) are left out: they may use everything.
"""

import argparse
import collections
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MOST_LINES_OF_A_CRATE = 12_000
MOST_LINES_OF_A_FILE = 450
MOST_FILES_OF_A_CIRCLE = 6


def without_tests(text):
    """The text without its test modules."""
    return re.sub(r"#\[cfg\(test\)\]\s*(?:pub(?:\([^)]*\))? )?mod \w+ \{.*?^\}", "", text, flags=re.S | re.M)


def without_words(text):
    """The text without its strings and comments."""
    text = re.sub(r'"(?:[^"\\]|\\.)*"', '""', text, flags=re.S)
    return re.sub(r"//[^\n]*", "", text)


class Crate:
    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        self.files = {}  # path of modules -> file
        self.texts = {}
        for file in sorted((folder / "src").rglob("*.rs")):
            parts = list(file.relative_to(folder / "src").with_suffix("").parts)
            if parts[-1] in ("mod", "lib", "main"):
                parts.pop()
            self.files[tuple(parts)] = file
            self.texts[tuple(parts)] = without_tests(file.read_text())
        # Modules that exist only for tests.
        for parts, text in list(self.texts.items()):
            for child in re.findall(r"#\[cfg\(test\)\]\s*(?:pub(?:\([^)]*\))? )?mod (\w+);", self.read(parts)):
                for other in list(self.files):
                    if other[: len(parts) + 1] == (*parts, child):
                        self.files.pop(other), self.texts.pop(other, None)

    def read(self, parts):
        return self.files[parts].read_text() if parts in self.files else ""

    def lines(self):
        return sum(len(text.splitlines()) for text in self.texts.values())

    def nearest(self, parts):
        parts = tuple(parts)
        while parts and parts not in self.files:
            parts = parts[:-1]
        return parts

    def exports(self):
        """Names that a module re-exports from another: a path through it leads there."""
        passed = {}
        for here, text in self.texts.items():
            for path, name in uses(without_words(text), public=True):
                target = self.resolve(here, path)
                if target is None:
                    continue
                if name != "*":
                    passed[(here, name)] = path
                    continue
                # Everything that the other module defines or re-exports.
                module = self.nearest(target[:-1])
                other = without_words(self.texts[module])
                own = re.findall(r"pub (?:async )?(?:struct|enum|trait|fn|const|static|type) (\w+)", other)
                for item in own + [name for _, name in uses(other, public=True)]:
                    passed.setdefault((here, item), [*path[:-1], item])
        return passed

    def resolve(self, here, path):
        """The parts of a path from the crate's root; None for a path of another crate."""
        first, rest = path[0], list(path[1:])
        if first == "crate":
            return rest
        if first == "self":
            return [*here, *rest]
        if first == "super":
            up = list(here)[:-1]
            while rest and rest[0] == "super":
                up, rest = up[:-1], rest[1:]
            return up + rest
        if (*here, first) in self.files:
            return [*here, *path]
        return None

    def arrows(self):
        passed = self.exports()
        arrows = collections.defaultdict(set)
        for here, text in self.texts.items():
            text = without_words(text)
            paths = [path for path, _ in uses(text)]
            paths += [p.split("::") for p in re.findall(r"\b(?:crate|super|self)(?:::\w+)+", text)]
            for path in paths:
                target = self.resolve(here, path)
                if target is None:
                    continue
                for _ in range(8):  # follow re-exports
                    module = self.nearest(target)
                    if len(target) > len(module) and (module, target[len(module)]) in passed:
                        further = self.resolve(module, passed[(module, target[len(module)])])
                        if further is None or further == target:
                            break
                        target = further + target[len(module) + 1 :]
                    else:
                        break
                module = self.nearest(target)
                # A module's parent declares it, and it may use what its parent holds: only real uses count.
                if module != here and module in self.files:
                    arrows[here].add(module)
        return arrows


def uses(text, public=False):
    """Every path of every `use`, with the name that it gets."""
    kind = r"pub(?:\([^)]*\))?\s+" if public else r"(?:pub(?:\([^)]*\))?\s+)?"
    for tree in re.findall(r"\b" + kind + r"use\s+([^;]+);", text):
        yield from expand(tree.strip(), [])


def expand(tree, before):
    tree = tree.strip()
    brace = tree.find("{")
    if brace < 0:
        path, _, name = tree.partition(" as ")
        parts = before + [part.strip() for part in path.split("::") if part.strip()]
        if parts and parts[-1] == "self" and len(parts) > 1:
            parts = parts[:-1]
        if parts:
            yield parts, (name.strip() or parts[-1])
        return
    head = [part.strip() for part in tree[:brace].split("::") if part.strip()]
    depth, piece = 0, ""
    for letter in tree[brace + 1 : tree.rfind("}")]:
        if letter == "," and depth == 0:
            if piece.strip():
                yield from expand(piece, before + head)
            piece = ""
            continue
        depth += (letter == "{") - (letter == "}")
        piece += letter
    if piece.strip():
        yield from expand(piece, before + head)


def circles(arrows):
    """Strongly connected components of more than one node (Tarjan)."""
    index, low, stack, on, found = {}, {}, [], set(), []
    sys.setrecursionlimit(10_000)

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node), on.add(node)
        for other in arrows.get(node, ()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in on:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            circle = []
            while True:
                other = stack.pop()
                on.discard(other)
                circle.append(other)
                if other == node:
                    break
            if len(circle) > 1:
                found.append(sorted(circle))

    for node in list(arrows):
        if node not in index:
            visit(node)
    return sorted(found, key=len, reverse=True)


def crates():
    made = subprocess.run(
        ["cargo", "metadata", "--format-version=1", "--no-deps", "--offline"],
        cwd=ROOT, capture_output=True, check=True, text=True,
    )
    packages = json.loads(made.stdout)["packages"]
    folders = {p["name"]: pathlib.Path(p["manifest_path"]).parent for p in packages}
    needs = {
        p["name"]: sorted(d["name"] for d in p["dependencies"] if d["name"] in folders and d["kind"] is None)
        for p in packages
    }
    here = {name: f for name, f in folders.items() if f.parent.name == "crates"}
    return [Crate(name, here[name]) for name in sorted(here)], needs


def direct(needs, name):
    """The dependencies of a crate that no other of its dependencies includes."""
    def all_of(name, seen):
        for other in needs[name]:
            if other not in seen:
                seen.add(other)
                all_of(other, seen)
        return seen
    return [n for n in needs[name] if not any(n in all_of(other, set()) for other in needs[name] if other != n)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mermaid", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--arrows", metavar="CRATE", help="every arrow between the top modules of a crate")
    options = parser.parse_args()
    found, needs = crates()
    if options.mermaid:
        print("graph TD")
        for crate in found:
            for other in direct(needs, crate.name):
                print(f"    {crate.name} --> {other}")
        return
    wrong = []
    for crate in found:
        arrows = crate.arrows()
        if options.arrows:
            if options.arrows == crate.name:
                top = collections.Counter()
                for here, targets in arrows.items():
                    for target in targets:
                        if here[:1] != target[:1]:
                            top[("".join(here[:1]), "".join(target[:1]))] += 1
                for (here, target), count in sorted(top.items()):
                    print(f"{here} -> {target} {count}")
            continue
        around = circles(arrows)
        print(f"{crate.name}: {crate.lines()} lines in {len(crate.files)} files, needs {' '.join(needs[crate.name]) or 'none of ours'}")
        for circle in around:
            print(f"    a circle of {len(circle)}: {' '.join('::'.join(parts) or 'lib' for parts in circle[:12])}")
            if len(circle) > MOST_FILES_OF_A_CIRCLE:
                wrong.append(f"{crate.name}: a circle of {len(circle)} files")
        if crate.lines() > MOST_LINES_OF_A_CRATE:
            wrong.append(f"{crate.name}: {crate.lines()} lines, more than {MOST_LINES_OF_A_CRATE}")
        for file in crate.files.values():
            lines = len(file.read_text().splitlines())
            if lines > MOST_LINES_OF_A_FILE:
                wrong.append(f"{file.relative_to(ROOT)}: {lines} lines, more than {MOST_LINES_OF_A_FILE}")
    for what in wrong:
        print(what, file=sys.stderr)
    if options.check and wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()
