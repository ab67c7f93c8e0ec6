#!/usr/bin/env python3
"""Measures Olio beside Debian's tgt: bench.py --build DIR [--json]

Both run at once on core 0, each with the same kind of LUN, and take turns under the same load from
core 1; what is printed is the median of the rounds. Then what idle sessions cost, and the engine alone.
"""

import argparse
import json
import re
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from harness import sandbox, targets  # noqa: E402

SERVER_CORE, CLIENT_CORE = 0, 1
DISK_BYTES = 256 << 20
IDLE_SESSIONS, IDLE_SECONDS = 1000, 10
PORT = 3260
ENGINE_OPERATIONS = ("read", "write", "test-unit-ready")
# Where a fabric hands a command over; what the bench does to make one is not the engine's.
ENGINE_ENTRY = "olio::target::ITNexusImpl::submit(olio::target::Command&)"


@dataclass(frozen=True)
class Job:
    title: str
    operation: str
    pattern: str
    size_bytes: int
    depth: int


# The sequential write comes first: it fills LUNs of RAM.
JOBS = [Job("1 MiB seq. write", "write", "sequential", 1 << 20, 4),
        Job("1 MiB seq. read", "read", "sequential", 1 << 20, 4)]
JOBS += [Job(f"4 KiB rand. {operation}, QD {depth}", operation, "random", 4096, depth)
         for operation in ("read", "write") for depth in (1, 32, 128)]
COLUMNS = [("IOPS", "iops", 9, 0), ("MB/s", "mb_per_s", 8, 1), ("p50 µs", "p50_us", 8, 0),
           ("p99 µs", "p99_us", 8, 0), ("CPU µs", "server_cpu_us_per_io", 8, 1)]


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def on_client_core(*words: object) -> list[str]:
    return ["taskset", "--cpu-list", str(CLIENT_CORE), *map(str, words)]


def measure(target: targets.Target, job: Job) -> dict[str, float]:
    before = target.cpu_seconds()
    client = subprocess.run(
        on_client_core(ARGUMENTS.initiator, ARGUMENTS.client, target.url(), job.operation,
                       job.pattern, job.size_bytes, job.depth, ARGUMENTS.seconds),
        capture_output=True, text=True, timeout=60)
    if client.returncode != 0:
        raise SystemExit(f"{job.title}: {client.stderr}\n{target.last_words()}")
    result = json.loads(client.stdout)
    cpu_us = (target.cpu_seconds() - before) * 1e6
    return result | {"server_cpu_us_per_io": cpu_us / result["all_ios"]}


def fill(path: Path) -> None:
    """Block by block, as a file system on the disk would. The page cache keeps data in pieces as large
    as they were written, and ext4 goes through the whole of a piece for each block written into it: after
    a fill in 1 MiB writes that alone would be most of what a 4 KiB write costs, whichever the target."""
    block = bytes(4096)
    with path.open("r+b", buffering=0) as file:
        for _ in range(DISK_BYTES // len(block)):
            file.write(block)


def start(work: Path, kind: str) -> dict[str, targets.Target]:
    running = {}
    for number, (name, factory) in enumerate(TARGETS.items()):
        setup = targets.Setup([targets.Lun(kind, DISK_BYTES)], port=PORT + number,
                              core=SERVER_CORE)
        running[name] = factory(work, setup)
        if kind == "file":
            fill(setup.luns[0].path)
        running[name].start()
    return running


def stop(running: dict[str, targets.Target]) -> None:
    for target in running.values():
        target.stop()


def measure_kind(work: Path, kind: str) -> dict[str, dict[str, dict[str, float]]]:
    """Job -> target -> the round whose IOPS are the median."""
    running = start(work, kind)
    rounds = {job: {name: [] for name in running} for job in JOBS}
    for job in JOBS:
        for number in range(ARGUMENTS.rounds):
            for name, target in running.items():
                progress(f"{kind}: {job.title}, round {number + 1}, {name}")
                rounds[job][name].append(measure(target, job))
    stop(running)
    middle = (ARGUMENTS.rounds - 1) // 2
    return {job.title: {name: sorted(found, key=lambda r: r["iops"])[middle]
                        for name, found in by_name.items()}
            for job, by_name in rounds.items()}


def measure_idle(work: Path) -> dict[str, dict[str, float]]:
    found = {}
    running = start(work, "ram")
    for name, target in running.items():
        progress(f"{IDLE_SESSIONS} idle sessions, {name}")
        rss = target.rss_bytes()
        client = subprocess.Popen(
            on_client_core(ARGUMENTS.initiator, "idle", target.url(), IDLE_SESSIONS), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if client.stdout.readline().strip() != "idle":
            raise SystemExit(f"{name}: cannot log {IDLE_SESSIONS} sessions in\n{target.last_words()}")
        time.sleep(1)  # logins are over
        memory, cpu = target.rss_bytes() - rss, target.cpu_seconds()
        time.sleep(IDLE_SECONDS)
        cpu = target.cpu_seconds() - cpu
        client.communicate()
        found[name] = {"kib_per_session": memory / IDLE_SESSIONS / 1024,
                       "cpu_percent": cpu * 100 / IDLE_SECONDS}
    stop(running)
    return found


def print_table(title: str, results: dict[str, dict[str, dict[str, float]]]) -> None:
    names = list(TARGETS)
    width = sum(c[2] for c in COLUMNS)
    print(f"\n{title:<24}" + "".join(f" |{name:^{width}}" for name in names) +
          (f" | {names[1]} / {names[0]}" if len(names) == 2 else ""))
    heads = "".join(f"{head:>{size}}" for head, _, size, _ in COLUMNS)
    print(" " * 24 + f" |{heads}" * len(names) + (" |  IOPS    CPU" if len(names) == 2 else ""))
    for job, by_name in results.items():
        line = f"{job:<24}"
        for name in names:
            line += " |" + "".join(f"{by_name[name][key]:>{size},.{digits}f}"
                                   for _, key, size, digits in COLUMNS)
        if len(names) == 2:
            first, second = (by_name[name] for name in names)
            cpu = second["server_cpu_us_per_io"] / (first["server_cpu_us_per_io"] or 1)
            line += f" | {second['iops'] / first['iops']:5.2f}  {cpu:5.2f}"
        print(line)


def print_idle(idle: dict[str, dict[str, float]]) -> None:
    print(f"\n{IDLE_SESSIONS} idle sessions")
    for name, cost in idle.items():
        print(f"  {name:<8}{cost['kib_per_session']:8.1f} KiB each, "
              f"{cost['cpu_percent']:.2f} % of a core over {IDLE_SECONDS} s")


def count_instructions(operation: str, commands: int) -> int:
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no",
         f"--toggle-collect={ENGINE_ENTRY}", ARGUMENTS.engine, operation, str(commands)],
        capture_output=True, text=True, timeout=300)
    counted = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or not counted:
        raise SystemExit(f"engine_bench {operation}: {done.stdout}{done.stderr}")
    return int(counted[1])


def measure_engine() -> dict[str, dict[str, float | str]]:
    """The engine alone, with a fabric that carries nothing. Start and end cost the same however many
    commands there are, so the difference of two counts is that of the commands."""
    found = {}
    for operation in ENGINE_OPERATIONS:
        progress(f"the engine alone: {operation}")
        few, many = 2_000, 12_000
        instructions = (count_instructions(operation, many) - count_instructions(operation, few))
        native = subprocess.run([ARGUMENTS.engine, operation, "1000000"], capture_output=True,
                                text=True, timeout=300, check=True)
        found[operation] = {"instructions": instructions / (many - few),
                            "native": native.stdout.strip()}
    return found


def main(work: Path) -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    kinds = {"ram": "RAM", "file": "file, page cache"}
    found = {kind: measure_kind(work, kind) for kind in kinds}
    idle = measure_idle(work)
    engine = measure_engine() if ARGUMENTS.engine.exists() else {}
    progress("")
    if ARGUMENTS.json:
        print(json.dumps(found | {"idle_sessions": idle, "engine": engine}, indent=2))
        return 0
    print(f"One core for each target, one for the load ({ARGUMENTS.client}); "
          f"median of {ARGUMENTS.rounds} rounds of {ARGUMENTS.seconds} s")
    for kind, title in kinds.items():
        print_table(title, found[kind])
    print_idle(idle)
    if engine:
        print("\nThe engine alone, 4 KiB on RAM")
    for operation, cost in engine.items():
        print(f"  {operation:<16}{cost['instructions']:8.0f} instructions, {cost['native']}")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, type=lambda name: Path(name).resolve())
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--client", choices=("wire", "libiscsi"), default="wire",
                        help="wire: costs little; libiscsi: as QEMU uses it")
    parser.add_argument("--seconds", type=float, default=1.5, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("tgt", "olio"))
    ARGUMENTS = parser.parse_args()
    ARGUMENTS.initiator = ARGUMENTS.build / "bench" / "initiator"
    ARGUMENTS.engine = ARGUMENTS.build / "bench" / "engine_bench"
    TARGETS = {name: targets.kind(program)
               for name, program in (("tgt", "tgt"),
                                     ("olio", str(ARGUMENTS.build / "src" / "olio" / "olio")))
               if ARGUMENTS.only in (None, name)}
    sandbox.require_programs("tgtd", "taskset", "valgrind")
    sandbox.run(main)
