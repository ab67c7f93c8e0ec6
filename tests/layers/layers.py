#!/usr/bin/env python3
"""Checks who includes whom in src/: the rules of the house, read off the #include lines.

    layers.py ROOT        checks ROOT/src; prints every breach and exits with 1 if there is one
    layers.py --self-test shows that each rule can fail
"""

import re
import sys
import tempfile
from pathlib import Path

# Room -> rooms whose headers it may include besides its own. A room that ends in /* stands for each
# folder below it, and these never include one another.
ENGINE = {"target", "scsi", "nvme", "reactor", "base"}
MAY_INCLUDE = {
    "base": set(),
    "reactor": {"base"},
    "scsi": {"base"},
    "nvme": {"base"},
    "target": {"scsi", "nvme", "reactor", "base"},
    "config": ENGINE,
    "fabric/*": ENGINE,
    "backstore/*": ENGINE,
    "olio": {"base"},  # talks to the daemon through the control socket alone
    "oliod": None,  # knows every name
}

# The standards' command sets do no I/O and know no operating system.
PURE_ROOMS = {"scsi", "nvme"}
# C++ itself, and what sums are made with: a library of them, and the processor's instructions.
PURE_SYSTEM_HEADERS = re.compile(r"[a-z_]+|fmt/.*|isa-l/crc.h|immintrin.h")
IMPURE_STANDARD_HEADERS = {
    "thread", "mutex", "shared_mutex", "condition_variable", "future", "semaphore", "latch",
    "barrier", "stop_token", "filesystem", "fstream", "iostream", "csignal",
}
TEST_FILE = re.compile(r"_(test|testing|fuzz)(_[a-z_]+)?\.(cc|h)$")  # x_test.cc, x_test_harness.h
TEST_HEADERS = re.compile(r"(gtest|gmock)/.*")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')

MAX_LINES = 800
LONGER_WITH_REASON: dict[str, str] = {}  # path under ROOT -> why it cannot be shorter


def room_of(path: str) -> tuple[str, str] | None:
    """The room of a path relative to src/: (its key in MAY_INCLUDE, its own name)."""
    parts = path.split("/")
    if len(parts) > 1 and parts[0] in MAY_INCLUDE:
        return parts[0], parts[0]
    if len(parts) > 2 and parts[0] + "/*" in MAY_INCLUDE:
        return parts[0] + "/*", "/".join(parts[:2])
    return None


def check_system_header(key: str, is_test: bool, header: str) -> str | None:
    if TEST_HEADERS.fullmatch(header):
        return None if is_test else f"includes <{header}>, which only tests may"
    if key not in PURE_ROOMS:
        return None
    if not PURE_SYSTEM_HEADERS.fullmatch(header) or header in IMPURE_STANDARD_HEADERS:
        return f"includes <{header}>: {key}/ does no I/O and knows no operating system"
    return None


def check_own_header(src: Path, key: str, name: str, is_test: bool, header: str) -> str | None:
    target = room_of(header)
    if not (src / header).is_file():
        return f'includes "{header}", which is not a path below src/'
    if target is None:
        return f'includes "{header}", which lies in no room'
    if TEST_FILE.search(header) and not is_test:
        return f'includes "{header}", which is for tests alone'
    allowed = MAY_INCLUDE[key]
    if target[1] == name or allowed is None or target[0] in allowed:
        return None
    return f'includes "{header}": {name} may not include {target[1]}'


def check_file(src: Path, path: Path) -> list[str]:
    relative = path.relative_to(src).as_posix()
    room = room_of(relative)
    if room is None:
        return [f"src/{relative}: lies in no room"]
    key, name = room
    is_test = bool(TEST_FILE.search(relative))
    breaches = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        if match[1] == "<":
            breach = check_system_header(key, is_test, match[2])
        else:
            breach = check_own_header(src, key, name, is_test, match[2])
        if breach:
            breaches.append(f"src/{relative}:{number}: {breach}")
    return breaches


def check_length(root: Path, path: Path) -> list[str]:
    relative = path.relative_to(root).as_posix()
    lines = len(path.read_text().splitlines())
    if lines <= MAX_LINES or relative in LONGER_WITH_REASON:
        return []
    return [f"{relative}: {lines} lines, more than {MAX_LINES}: split it"]


def sources(folder: Path, *suffixes: str) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix in suffixes and p.is_file())


def check(root: Path) -> list[str]:
    src = root / "src"
    breaches = [b for p in sources(src, ".h", ".cc") for b in check_file(src, p)]
    for folder in ("src", "tests", "bench"):
        for path in sources(root / folder, ".h", ".cc", ".py", ".sh"):
            breaches += check_length(root, path)
    return breaches


# Each breach that the rules know: file, its text, words of the complaint (None: no complaint).
SELF_TEST = [
    ("src/base/a.cc", '#include "base/a.h"\n#include <sys/uio.h>\n', None),
    ("src/base/b.cc", '#include "reactor/a.h"\n', "base may not include reactor"),
    ("src/scsi/a.cc", '#include "base/a.h"\n#include <vector>\n#include <fmt/core.h>\n', None),
    ("src/scsi/e.cc", "#include <immintrin.h>\n", None),
    ("src/scsi/b.cc", "#include <sys/types.h>\n", "knows no operating system"),
    ("src/scsi/c.cc", "# include <unistd.h>\n", "knows no operating system"),
    ("src/nvme/a.cc", "#include <thread>\n", "knows no operating system"),
    ("src/scsi/d.cc", '#include "target/a.h"\n', "scsi may not include target"),
    ("src/scsi/a_test.cc", "#include <gtest/gtest.h>\n", None),
    ("src/scsi/a_test_tools.h", "#include <gtest/gtest.h>\n", None),
    ("src/target/b.cc", "#include <gtest/gtest.h>\n", "only tests may"),
    ("src/target/c.cc", '#include "reactor/sim_testing.h"\n', "for tests alone"),
    ("src/target/d.cc", '#include "fabric/iscsi/a.h"\n', "target may not include fabric/iscsi"),
    ("src/fabric/iscsi/a.cc", '#include "target/a.h"\n#include "scsi/a.h"\n', None),
    ("src/fabric/iscsi/b.cc", '#include "fabric/nvmf/a.h"\n', "may not include fabric/nvmf"),
    ("src/backstore/a/a.cc", '#include "backstore/b/a.h"\n', "may not include backstore/b"),
    ("src/backstore/a/b.cc", '#include "../b/a.h"\n', "not a path below src/"),
    ("src/config/a.cc", '#include "fabric/iscsi/a.h"\n', "config may not include fabric/iscsi"),
    ("src/olio/a.cc", '#include "target/a.h"\n', "olio may not include target"),
    ("src/oliod/a.cc", '#include "fabric/iscsi/a.h"\n#include "backstore/b/a.h"\n', None),
    ("src/attic/a.cc", "\n", "lies in no room"),
    ("src/fabric/shared.cc", "\n", "lies in no room"),
    ("tests/long.cc", "\n" * (MAX_LINES + 1), "split it"),
    ("tests/short.cc", "\n" * MAX_LINES, None),
]
SELF_TEST_HEADERS = [
    "base/a.h", "reactor/a.h", "reactor/sim_testing.h", "scsi/a.h", "target/a.h",
    "fabric/iscsi/a.h", "fabric/nvmf/a.h", "backstore/b/a.h",
]


def self_test() -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, text in [(f"src/{h}", "") for h in SELF_TEST_HEADERS] + [s[:2] for s in SELF_TEST]:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        found = check(root)
    wrong = []
    for name, _, complaint in SELF_TEST:
        mine = [b for b in found if b.split(":")[0] == name]
        if complaint is None and mine:
            wrong.append(f"complained without reason: {mine}")
        if complaint is not None and not any(complaint in b for b in mine):
            wrong.append(f"{name}: no complaint of '{complaint}', only {mine}")
    return wrong


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    breaches = self_test() if sys.argv[1] == "--self-test" else check(Path(sys.argv[1]))
    for breach in breaches:
        print(breach)
    print(f"{len(breaches)} breaches" if breaches else "the layers hold")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
