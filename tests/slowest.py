#!/usr/bin/env python3
"""Prints the slowest tests of a JUnit report by `cargo nextest`."""

import sys
import xml.etree.ElementTree as xml

tests = [
    (float(test.get("time")), f"{suite.get('name')} {test.get('name')}")
    for suite in xml.parse(sys.argv[1]).iter("testsuite")
    for test in suite.iter("testcase")
]
print(f"the slowest of {len(tests)} tests, which took {sum(seconds for seconds, _ in tests):.0f} s in all, side by side:")
for seconds, name in sorted(tests, reverse=True)[:10]:
    print(f"{seconds:8.1f}  {name}")
