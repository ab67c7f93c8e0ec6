#!/usr/bin/env python3
"""Runs libiscsi's conformance tests, each by itself and bounded in time.

    conformance_test.py --target tgt|OLIO [--lun NAME]... [--table FILE] [--only SUITE[.TEST]]

Fails if a test fails, hangs, crashes or skips itself without being listed in expectations.py.
--table writes the results as a page of the documentation.
"""

import argparse
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
import expectations  # noqa: E402
from harness import sandbox, targets  # noqa: E402

TOOL = "iscsi-test-cu"
TEST_SECONDS = 60 * 100 // int(os.environ.get("OLIO_TEST_SCALE", "100"))
DISK_BYTES = 256 << 20
TWO_PATHS = "MultipathIO"  # the suite that wants the LUN by two nexuses

# Name of a LUN -> (kind, block size, its options, its title in the table).
LUNS = {
    "ram": ("ram", 512, "", "RAM"),
    "file": ("file", 512, "", "file"),
    "block": ("block", 512, "", "block device"),
    "file4096": ("file", 4096, "", "file, 4096-byte blocks"),
    "full": ("ram", 512, "thin=off", "RAM, fully provisioned"),
    "readonly": ("ram", 512, "read-only", "RAM, write protected"),
}
# All others want to write.
ONLY_SUITE = {"readonly": "ReadOnly"}
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclass
class Result:
    outcome: str
    detail: str = ""


def suite_of(name: str) -> str:
    return name.split(".")[0]


def list_tests() -> list[str]:
    """Every test as SUITE.TEST."""
    listing = subprocess.run([TOOL, "--list"], capture_output=True, text=True, check=True).stdout
    return re.findall(r"^ALL\.(\w+\.\S+)$", listing, re.MULTILINE)


def judge(output: str, status: int) -> Result:
    counts = re.search(r"^\s+tests\s+\d+\s+(\d+)\s+(\d+)\s+(\d+)", output, re.MULTILINE)
    if status < 0 or not counts:
        return Result(FAILED, f"the tool ended with {status}\n{output[-2000:]}")
    if counts[1] == "0" or int(counts[3]):
        complaints = re.findall(r"^\s+(?:\[FAILED\].*|\d+\. .*:\d+ .*)$", output, re.MULTILINE)
        return Result(FAILED, "\n".join(complaints[:8]))
    # What follows the verdict is the suite's clean-up, which says if it cannot look at reservations.
    test = re.search(r"^  Test: \S+ \.\.\.((?:.*\n)*?)passed", output, re.MULTILINE)
    if not test:
        return Result(FAILED, f"the tool's output has no verdict\n{output[-2000:]}")
    skipped = re.search(r"\[SKIPPED\] *(.*)", test[1])
    return Result(SKIPPED, skipped[1]) if skipped else Result(PASSED)


def run_test(target: targets.Target, name: str) -> Result:
    paths = [target.url()] * (2 if name.startswith(TWO_PATHS + ".") else 1)
    try:
        done = subprocess.run([TOOL, "--dataloss", "--allow-sanitize", "--Verbose-scsi", "--test",
                               f"ALL.{name}", *paths],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=TEST_SECONDS, cwd=target.work)
        result = judge(done.stdout.decode(errors="replace"), done.returncode)
    except subprocess.TimeoutExpired as hang:
        said = (hang.stdout or b"").decode(errors="replace")[-2000:]
        result = Result(FAILED, f"not done after {TEST_SECONDS} s\n{said}")
    return result


def surprise(lun: str, name: str, result: Result) -> str | None:
    """What is not as expectations.py says, if anything."""
    if name in expectations.BY_SPEED:
        return None
    suite = suite_of(name)
    listed_skip = lun in expectations.SKIPS.get(name, ((), ""))[0] or suite in expectations.LATER
    listed_wrong = lun in expectations.WRONG.get(name, ((), "", ""))[0]
    if result.outcome == FAILED and not listed_wrong:
        return f"FAILED {name}\n{result.detail}"
    if result.outcome == PASSED and listed_wrong:
        return f"PASSED {name}, although expectations.py lists it as wrong"
    if result.outcome == PASSED and listed_skip:
        return f"PASSED {name}, although expectations.py says that it skips itself"
    if result.outcome == SKIPPED and not listed_skip:
        return f"SKIPPED {name}, and expectations.py has no reason for that: {result.detail}"
    return None


def run_lun(work: Path, lun: str, names: list[str]) -> tuple[dict[str, Result], list[str]]:
    kind, block_size, options, _ = LUNS[lun]
    results, surprises = {}, []
    setup = targets.Setup([targets.Lun(kind, DISK_BYTES, options=options)], block_size=block_size)
    target = TARGET(work, setup)
    try:
        with target:
            for name in names:
                if ONLY_SUITE.get(lun, suite_of(name)) != suite_of(name):
                    continue
                results[name] = run_test(target, name)
                found = surprise(lun, name, results[name])
                if found:
                    surprises.append(f"{lun}: {found}")
                    print(surprises[-1], flush=True)
                target.check()
    except targets.TargetFault as fault:
        surprises.append(f"{lun}: THE TARGET {fault} (last test: {name})")
        print(surprises[-1], flush=True)
    counts = Counter(r.outcome for r in results.values())
    print(f"{lun}: {len(results)} tests, " +
          ", ".join(f"{counts[o]} {o}" for o in (PASSED, FAILED, SKIPPED)), flush=True)
    return results, surprises


def table(results: dict[str, dict[str, Result]]) -> str:
    suites = list(dict.fromkeys(suite_of(n) for n in next(iter(results.values()))))
    lines = [
        "# Conformance",
        "",
        "libiscsi's `iscsi-test-cu --dataloss` (Debian's libiscsi-bin 1.19), each test by itself, on six",
        "LUNs. Cells read passed / failed / skipped. `./dev test conformance` runs it and fails on anything",
        "that is not explained below; `cmake --build build/release --target conformance_table` writes",
        "this page.",
        "",
        "| suite | " + " | ".join(LUNS[lun][3] for lun in results) + " |",
        "| --- |" + " --- |" * len(results),
    ]

    def cell(tests: dict[str, Result], wanted) -> str:
        counts = Counter(r.outcome for n, r in tests.items() if wanted(n))
        return " / ".join(str(counts[o]) for o in (PASSED, FAILED, SKIPPED)) if counts else ""

    for suite in suites:
        cells = [cell(tests, lambda n: suite_of(n) == suite) for tests in results.values()]
        lines.append(f"| {suite} | " + " | ".join(cells) + " |")
    total = [f"**{cell(tests, lambda n: True)}**" for tests in results.values()]
    lines += ["| **all** | " + " | ".join(total) + " |", "", "## Tests that are wrong", ""]
    wrong = expectations.WRONG.items()
    lines += [f"- `{n}` ({', '.join(LUNS[lun][3] for lun in LUNS if lun in luns)}; {clause}): {why}."
              for n, (luns, clause, why) in wrong] or ["None."]
    lines += ["", "## Tests that a fast target fails", ""]
    lines += [f"- `{n}`: {why}." for n, why in expectations.BY_SPEED.items()]
    lines += ["", "## Tests that skip themselves", ""]
    skipped = {n for tests in results.values() for n, r in tests.items() if r.outcome == SKIPPED}
    lines += [f"- `{n}`: {why}" for n, (_, why) in expectations.SKIPS.items() if n in skipped]
    lines += [f"- `{suite}`: {why}" for suite, why in expectations.LATER.items()
              if any(n.startswith(suite + ".") for n in skipped)]
    return "\n".join(lines) + "\n"


def main(work: Path) -> int:
    names = [n for n in list_tests()
             if not ARGUMENTS.only or n == ARGUMENTS.only or suite_of(n) == ARGUMENTS.only]
    results, surprises = {}, []
    for lun in ARGUMENTS.lun or LUNS:
        results[lun], found = run_lun(work, lun, names)
        surprises += found
    if ARGUMENTS.table and not surprises:
        ARGUMENTS.table.write_text(table(results))
    print(f"{len(surprises)} surprises" if surprises else "as expected")
    return 1 if surprises or not names else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", required=True)
    parser.add_argument("--lun", choices=LUNS, action="append")
    parser.add_argument("--table", type=Path)
    parser.add_argument("--only")
    ARGUMENTS = parser.parse_args()
    TARGET = targets.kind(ARGUMENTS.target)
    sandbox.require_programs(TOOL, "losetup")
    sandbox.run(main)
