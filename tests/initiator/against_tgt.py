#!/usr/bin/env python3
"""The project's own initiator against Debian's tgt: what it takes for right, another target does.

    against_tgt.py PATH-OF-initiator_try
"""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "harness"))
import sandbox  # noqa: E402
from targets import Lun, Setup, Tgt  # noqa: E402


def main(work: Path) -> int:
    # tgt sends a whole read as one sequence, whatever MaxBurstLength says, and it never ends a write
    # that is aborted while its data are missing.
    program = [sys.argv[1], "--gentle", "--known", "longer than MaxBurstLength"]
    plain = Setup([Lun("ram"), Lun("ram")], port=3260)
    guarded = Setup([Lun("ram")], port=3261, chap="host:secret-of-the-host",
                    mutual_chap="disk:secret-of-the-disk")
    with Tgt(work, plain) as target:
        subprocess.run([*program, target.url()], check=True, timeout=60)
    with Tgt(work, guarded) as target:
        subprocess.run([*program, target.url(), "disk", "secret-of-the-disk"], check=True, timeout=60)
    return 0


if __name__ == "__main__":
    sandbox.require_programs("tgtd", "tgtadm")
    sandbox.run(main)
