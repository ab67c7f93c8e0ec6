#!/usr/bin/env python3
"""docs/scsi-support.md is what the tables say, and names only tests that there are.
support_test.py PROGRAM REPOSITORY [--write]"""

import difflib
import re
import subprocess
import sys
from pathlib import Path

SYSTEM_TESTS = {"conformance", "kernel", "crash"}


def tests_named(document: str) -> set[str]:
    names = set()
    section = ""
    for line in document.splitlines():
        section = line[3:] if line.startswith("## ") else section
        cells = [cell.strip() for cell in line.split("|")]
        if section == "Commands" and len(cells) == 7 and re.match(r"[0-9A-F]{2}h", cells[1]):
            names.update(cells[5].split(", "))
        for sentence in re.findall(r"Tests: ([^.]*)\.", line):
            names.update(sentence.split(", "))
    return {name for name in names if name}


def tests_there(repository: Path) -> set[str]:
    found = {name for name in SYSTEM_TESTS if (repository / "tests" / name).is_dir()}
    for path in (repository / "src").rglob("*_test.cc"):
        found.update(re.findall(r"TEST(?:_F|_P)?\(\s*(\w+),", path.read_text()))
    found.update(path.stem for path in (repository / "src").rglob("*_fuzz.cc"))
    return found


def main() -> int:
    program, repository = sys.argv[1], Path(sys.argv[2])
    document = repository / "docs" / "scsi-support.md"
    made = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    if "--write" in sys.argv:
        document.write_text(made)
    status = 0
    kept = document.read_text() if document.exists() else ""
    if kept != made:
        diff = difflib.unified_diff(kept.splitlines(), made.splitlines(), "docs", "tables", n=0)
        print("\n".join(list(diff)[:40]))
        print("docs/scsi-support.md is not what the tables say; ninja scsi_support_table writes it")
        status = 1
    named = tests_named(made)
    if len(named) < 10:
        print("the document names hardly any tests; is this script still right?")
        status = 1
    for name in sorted(named - tests_there(repository)):
        print(f"docs/scsi-support.md names the test {name}, which there is not")
        status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
