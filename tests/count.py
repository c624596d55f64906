#!/usr/bin/env python3
"""Prints "N passed, N failed, N skipped" for a JUnit report of ctest.

A GoogleTest binary counts as each of its cases, taken from its output.
"""
import re
import sys
import xml.etree.ElementTree as tree


def main():
    passed = failed = skipped = 0
    for case in tree.parse(sys.argv[1]).getroot().iter("testcase"):
        output = case.findtext("system-out") or ""
        ok = len(re.findall(r"^\[       OK \]", output, re.M))
        skip = len(re.findall(r"^\[  SKIPPED \] [^\n]*\(\d+ ms\)", output, re.M))
        bad = len(re.findall(r"^\[  FAILED  \] [^\n]*\(\d+ ms\)", output, re.M))
        crashed = case.find("failure") is not None and not bad
        if ok + skip + bad == 0 and not crashed:
            if case.get("status") in ("run",):
                passed += 1
            else:
                skipped += 1
        passed += ok
        skipped += skip
        failed += bad + crashed
    print(f"{passed} passed, {failed} failed, {skipped} skipped")


if __name__ == "__main__":
    main()
