#!/usr/bin/env python3
"""QEMU's tools on the iscsi:// URL: qemu_test.py --target tgt|OLIO"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness import sandbox, targets  # noqa: E402

DISK_BYTES = 64 << 20
SECONDS = 60


def tool(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    if done.returncode != 0 or "failed" in done.stdout.lower():
        raise SystemExit(f"FAILED: {' '.join(command)}\n{done.stdout}{done.stderr}")
    print("ok:", *command, flush=True)
    return done.stdout


def qemu_io(url: str, *commands: str) -> None:
    words = [word for command in commands for word in ("-c", command)]
    tool("qemu-io", "-f", "raw", "-t", "none", "-d", "unmap", *words, url)


def check(url: str, work: Path) -> None:
    info = json.loads(tool("qemu-img", "info", "-f", "raw", "--output=json", url))
    if info["virtual-size"] != DISK_BYTES:
        raise SystemExit(f"FAILED: the size is {info['virtual-size']}")

    # An image goes there and comes back the same.
    image, back = work / "image", work / "back"
    image.write_bytes(os.urandom(DISK_BYTES // 4) + bytes(DISK_BYTES * 3 // 4))
    tool("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", str(image), url)
    tool("qemu-img", "compare", "-f", "raw", "-F", "raw", str(image), url)
    tool("qemu-img", "convert", "-f", "raw", "-O", "raw", url, str(back))
    tool("cmp", str(image), str(back))

    # Patterns, forced to the medium; zeros; a discard; not aligned to a block.
    qemu_io(url, "write -P 0x5a 1M 2M", "write -f -P 0x3c 4M 64k", "flush",
            "read -P 0x5a 1M 2M", "read -P 0x3c 4M 64k")
    qemu_io(url, "write -z 1M 1M", "read -P 0 1M 1M", "read -P 0x5a 2M 1M")
    qemu_io(url, "write -z -u 2M 1M", "read -P 0 2M 1M")
    qemu_io(url, "discard 4M 64k", "read 4M 64k")
    qemu_io(url, "write -P 0x77 8M 4096", "write -P 0x11 8390000 100", "read -P 0x11 8390000 100",
            "read -P 0x77 8M 1392")
    qemu_io(url, *(f"aio_write -P {n} {n}M 64k" for n in range(16, 48)), "aio_flush",
            *(f"read -P {n} {n}M 64k" for n in range(16, 48)))
    tool("qemu-img", "map", "-f", "raw", "--output=json", url)


def main(work: Path) -> int:
    for kind in ("ram", "file"):
        setup = targets.Setup([targets.Lun(kind, DISK_BYTES)], chap="guest:initiator-secret-1")
        with TARGET(work, setup) as target:
            check(target.url(), work)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", required=True)
    TARGET = targets.kind(parser.parse_args().target)
    sandbox.require_programs("qemu-img", "qemu-io")
    sandbox.run(main)
