"""A real Linux kernel as initiator: Debian's user-mode Linux, which needs no virtualization.

The guest has this machine's root, read-only under an overlay in memory, and eth0 = 10.99.0.2 on a tap
whose host side is 10.99.0.1 in the sandbox's network namespace. It runs one script from guest/, whose
output is passed on. A line "@host VERB ARGS" in it asks the host for something (lib.sh: host).
"""

import os
import shlex
import subprocess
import time
from pathlib import Path
from typing import Callable

from harness import sandbox

HOST_ADDRESS, GUEST_ADDRESS, TAP = "10.99.0.1", "10.99.0.2", "olio0"
MEMORY_MIB = 512
SCRIPTS = Path(__file__).parent / "guest"

# First as the kernel's init, to build a root that can be written to; then again inside of it.
_INIT = """#!/bin/bash
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=linux LC_ALL=C
mount -t tmpfs tmpfs /run; mkdir -p /run/cow /run/new; mount -t tmpfs tmpfs /run/cow
mkdir /run/cow/upper /run/cow/work; insmod {modules}/kernel/fs/overlayfs/overlay.ko
mount -t overlay -o lowerdir=/,upperdir=/run/cow/upper,workdir=/run/cow/work root /run/new || exec halt -f
cd /run/new
mount -t proc proc proc; mount -t sysfs sysfs sys; mount -t devtmpfs dev dev; mount -t tmpfs tmpfs run
mkdir -p dev/shm run/host; ln -s /proc/self/fd dev/fd; mount -t tmpfs tmpfs dev/shm
mount -t hostfs none run/host -o {share}
mkdir -p lib/modules; ln -sfn {modules} lib/modules/{version}
exec chroot . /bin/bash /run/host/inside
"""
_INSIDE = """
hostname initiator; ip link set lo up; ip link set vec0 name eth0
ip addr add {guest}/24 dev eth0; ip link set eth0 up
cd {scripts}; export {environment}; dmesg -n 1
echo @begin
( . ./lib.sh; . ./{script} ) </dev/null
echo "@exit $?"
sync; halt -f
"""


def require() -> None:
    sandbox.require_programs("linux.uml", "ip")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        sandbox.skip("user-mode Linux needs /dev/net/tun")


class Network:
    """The wire between host and guest: it can be cut. Cut means that the host no longer has its
    address: packets are lost in both directions and sockets live on. (Taking the tap down instead
    would break the guest's driver for good.)"""

    def __enter__(self):
        self._ip(f"tuntap add {TAP} mode tap")
        self._ip(f"link set {TAP} up")
        self.restore()
        return self

    def __exit__(self, *_):
        self._ip(f"link del {TAP}")

    def cut(self) -> None:
        self._ip(f"addr del {HOST_ADDRESS}/24 dev {TAP}")

    def restore(self) -> None:
        self._ip(f"addr add {HOST_ADDRESS}/24 dev {TAP}")

    @staticmethod
    def _ip(words: str) -> None:
        subprocess.run(["ip", *words.split()], check=True)


def run_script(work: Path, script: str, environment: dict[str, str],
               requests: dict[str, Callable[..., None]], limit_seconds: int) -> int:
    """Boots a guest, runs guest/SCRIPT in it and returns its exit status; 125 if it never ended."""
    modules = next(Path("/usr/lib/uml/modules").iterdir())
    share = work / "share"
    share.mkdir()
    assignments = " ".join(f"{k}={shlex.quote(v)}" for k, v in environment.items())
    (share / "init").write_text(_INIT.format(modules=modules, version=modules.name, share=share))
    (share / "init").chmod(0o755)
    (share / "inside").write_text(_INSIDE.format(
        guest=GUEST_ADDRESS, scripts=SCRIPTS, environment=assignments, script=script))
    command = ["timeout", "--signal=KILL", str(limit_seconds), "linux.uml", f"mem={MEMORY_MIB}M",
               "rootfstype=hostfs", "rootflags=/", "ro", f"init={share}/init", "quiet", "con=null",
               "con0=null,fd:1", f"vec0:transport=tap,ifname={TAP},depth=128,gro=1"]
    status, boot = 125, []
    with (work / "uml.err").open("wb") as errors:
        guest = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=errors, env=os.environ | {"TMPDIR": str(work / "ram")})
    start = time.monotonic()
    for raw in guest.stdout:
        line = raw.decode(errors="replace").rstrip("\r\n")
        if boot is not None:
            boot = None if line == "@begin" else [*boot, line]
        elif line.startswith("@exit "):
            status = int(line.split()[1])
        elif line.startswith("@host "):
            ticket, verb, *arguments = line.split()[1:]
            requests[verb](*arguments)
            (share / f"done.{ticket}").touch()
        elif line:
            print(f"[{time.monotonic() - start:6.2f}] {line}", flush=True)
    guest.wait()
    if status == 125:
        print(*(boot or []), sep="\n")
        print((work / "uml.err").read_text(errors="replace"))
        print(f"the guest did not end within {limit_seconds} s, or died")
    return status
