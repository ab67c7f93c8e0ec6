"""A place for a test to live in: network, process and mount namespaces of its own.

Every server may listen on 127.0.0.1:3260, and nothing outlives the test, however it ends: when the
first process of the process namespace dies, the kernel kills the others, and the network devices,
mounts and loop devices (which free themselves on last close) go with them.
"""

import ctypes
import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable, NoReturn

SKIPPED = 77  # what ctest takes for "could not run here" (SKIP_RETURN_CODE)

_CLONE_NEWNS, _CLONE_NEWPID, _CLONE_NEWNET = 0x00020000, 0x20000000, 0x40000000
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def skip(reason: str) -> NoReturn:
    print(f"SKIPPED: {reason}", flush=True)
    sys.exit(SKIPPED)


def require_programs(*names: str) -> None:
    missing = [n for n in names if not shutil.which(n)]
    if missing:
        skip(f"these programs are missing: {' '.join(missing)} (./dev test installs them)")


def scale(count: int, at_least: int = 1) -> int:
    """COUNT rounds, or fewer where OLIO_TEST_SCALE (per cent) says that the build is slow."""
    return max(at_least, count * int(os.environ.get("OLIO_TEST_SCALE", "100")) // 100)


def run(main: Callable[[Path], int]) -> NoReturn:
    """Exits with main(folder), called in the sandbox. The folder is on a real disk and is removed
    afterwards; its subfolder ram/ is a tmpfs."""
    if os.geteuid() != 0:
        skip("namespaces and loop devices need root")
    _sweep()
    work = Path(tempfile.mkdtemp(prefix=f"olio-test-{os.getpid()}-", dir="/var/tmp"))
    try:
        _unshare(_CLONE_NEWPID)  # of the child to come; this process stays outside, to clean up
        sys.stdout.flush()
        first = os.fork()
        if first == 0:
            os._exit(_first_process(main, work))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: os.kill(first, signal.SIGKILL))
        status = os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])
    finally:
        shutil.rmtree(work, ignore_errors=True)
    sys.exit(status if status >= 0 else 128 - status)


def _first_process(main: Callable[[Path], int], work: Path) -> int:
    try:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _unshare(_CLONE_NEWNS | _CLONE_NEWNET)
        _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
        _mount("proc", "/proc", "proc")
        (work / "ram").mkdir()
        _mount("tmpfs", str(work / "ram"), "tmpfs")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return main(work)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # the process must end here, whatever happened
        import traceback

        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _unshare(flags: int) -> None:
    if _libc.unshare(flags) != 0:
        skip(f"no namespaces here: {os.strerror(ctypes.get_errno())}")


def _mount(source: str | None, where: str, kind: str | None, flags: int = 0) -> None:
    encoded = [v.encode() if v is not None else None for v in (source, where, kind)]
    if _libc.mount(*encoded, flags, None) != 0:
        raise OSError(ctypes.get_errno(), f"mount on {where}")


def _sweep() -> None:
    """Removes what killed runs have left."""
    for folder in Path("/var/tmp").glob("olio-test-*"):
        try:
            os.kill(int(folder.name.split("-")[2]), 0)
        except OSError as error:
            if error.errno == errno.ESRCH:
                shutil.rmtree(folder, ignore_errors=True)
