#!/usr/bin/env python3
"""kill -9 during writes: crash_test.py --target tgt|OLIO --writer CRASH_WRITER [--mode M] [--self-test]

The writer (writer.cc) stays alive, outside of what is killed, and knows what it was promised. What a
process has given to the kernel survives its death, so this finds promises made before the data left
the daemon, torn blocks and stale answers; what a loss of power does is tried in tests/sim, whose disks
forget whatever was not synchronized.
"""

import argparse
import random
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness import sandbox, targets  # noqa: E402

DISK_BYTES = 64 << 20
KILLS = {"cached": 70, "direct": 65, "write-through": 65}  # 200 in all
WRITE_SECONDS = (0.05, 0.5)  # before each kill


class Violation(Exception):
    pass


class Writer:
    def __init__(self, program: Path, url: str, seed: int):
        self.process = subprocess.Popen(["timeout", "300", program, url, str(seed)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def send(self, command: str) -> None:
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def answer(self, wanted: str) -> list[str]:
        words = self.process.stdout.readline().split()
        if not words or words[0] != wanted:
            raise Violation(" ".join(words) or f"the writer ended with {self.process.wait(10)}")
        return words[1:]


def setup_of(mode: str) -> targets.Setup:
    return targets.Setup([targets.Lun("file", DISK_BYTES)], direct=mode == "direct",
                         write_cache=mode != "write-through")


def one_kill(target: targets.Target, writer: Writer, mode: str, chance: random.Random) -> list[str]:
    writer.send("write")
    cache = writer.answer("writing")
    if mode == "write-through" and cache != ["WCE=0"]:
        raise Violation(f"the LUN was asked to have no write cache, and says {cache}")
    time.sleep(chance.uniform(*WRITE_SECONDS))
    target.check()
    target.kill()
    return writer.answer("lost")


def spoil(target: targets.Target) -> None:
    """Undoes writes behind everybody's back: what the test has to notice."""
    with target.setup.luns[0].path.open("r+b") as image:
        image.write(bytes(1 << 20))


def crash(work: Path, mode: str) -> None:
    kills = sandbox.scale(KILLS[mode], 5)
    chance = random.Random(ARGUMENTS.seed)
    start, counts = time.monotonic(), ["0"] * 3
    with TARGET(work, setup_of(mode)) as target:
        writer = Writer(ARGUMENTS.writer, target.url(), ARGUMENTS.seed)
        for kill in range(kills):
            counts = one_kill(target, writer, mode, chance)
            if ARGUMENTS.self_test:
                spoil(target)
            target.start()
            writer.send("verify")
            try:
                writer.answer("ok")
            except Violation as violation:
                raise Violation(f"after kill {kill + 1}: {violation}; the target said:\n"
                                f"{target.last_words()}") from None
    writes, durable, syncs = counts
    if int(writes) < kills or int(durable) < kills:
        raise Violation(f"only {writes} writes, {durable} of them durable: nothing was tried")
    print(f"{mode}: {kills} kills, {writes} writes acknowledged, {durable} of them durable, "
          f"{syncs} SYNCHRONIZE CACHE, all kept; {time.monotonic() - start:.0f} s", flush=True)


def main(work: Path) -> int:
    for mode in [ARGUMENTS.mode] if ARGUMENTS.mode else KILLS:
        try:
            crash(work, mode)
        except (Violation, targets.TargetFault) as fault:
            if ARGUMENTS.self_test and isinstance(fault, Violation) and "was promised" in str(fault):
                print(f"found, as it must be: {fault}")
                return 0
            print(f"{mode}, seed {ARGUMENTS.seed}: {fault}")
            return 1
    return 1 if ARGUMENTS.self_test else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", required=True)
    parser.add_argument("--writer", required=True, type=lambda name: Path(name).resolve())
    parser.add_argument("--mode", choices=KILLS)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--self-test", action="store_true",
                        help="loses data on purpose; succeeds if that is noticed")
    ARGUMENTS = parser.parse_args()
    TARGET = targets.kind(ARGUMENTS.target)
    sandbox.run(main)
