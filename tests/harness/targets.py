"""Targets under test: one way to start, ask and stop Olio, and Debian's tgt for comparison."""

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

MIB = 1 << 20
START_SECONDS = 20  # under a sanitizer on a busy machine
STOP_SECONDS = 30


class TargetFault(Exception):
    """The target did something that it must never do: died, hung, or complained of itself."""


class LoopDevice:
    """A block device on a file. Detached at once, which frees it when the last user closes it: the
    file descriptor held here, or the target. So a killed test leaves none behind."""

    def __init__(self, path: Path, block_size: int):
        self.path = subprocess.run(
            ["losetup", "--find", "--show", "--sector-size", str(block_size), str(path)],
            check=True, capture_output=True, text=True).stdout.strip()
        self._descriptor = os.open(self.path, os.O_RDONLY)
        subprocess.run(["losetup", "--detach", self.path], check=True)

    def close(self) -> None:
        os.close(self._descriptor)


@dataclass
class Lun:
    kind: str  # ram, file or block
    size_bytes: int = 64 * MIB
    path: Path | None = None  # of a file or device that stands already
    options: str = ""  # of Olio, such as thin=off,read-only


@dataclass
class Setup:
    luns: list[Lun]
    address: str = "127.0.0.1"
    port: int = 3260
    block_size: int = 512
    direct: bool = False
    write_cache: bool = True
    chap: str | None = None  # user:secret
    mutual_chap: str | None = None
    core: int | None = None  # the one core that it may use
    extra: list[str] = field(default_factory=list)  # options of this kind of target alone


class Target:
    """The part that is the same for every target. A context manager: started inside."""

    iqn = "iqn.2026-01.test.target:disk"
    first_lun = 0
    _count = 0

    def __init__(self, work: Path, setup: Setup):
        self.work = work
        self.setup = setup
        Target._count += 1
        self.name = f"target{Target._count}"  # of its files, which outlive it in the sandbox
        self.log = work / f"{self.name}.log"
        self.process: subprocess.Popen | None = None
        self._devices: list[LoopDevice] = []
        for number, lun in enumerate(setup.luns):
            self._provide(number, lun)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.stop()
            else:
                self.kill()
        finally:
            for device in self._devices:
                device.close()

    @property
    def portal(self) -> str:
        return f"{self.setup.address}:{self.setup.port}"

    def url(self, index: int = 0) -> str:
        user = self.setup.chap.replace(":", "%") + "@" if self.setup.chap else ""
        return f"iscsi://{user}{self.portal}/{self.iqn}/{self.first_lun + index}"

    def start(self) -> None:
        command = self.command()
        if self.setup.core is not None:
            command = ["taskset", "--cpu-list", str(self.setup.core), *command]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=os.environ | self.environment(), start_new_session=True)
        deadline = time.monotonic() + START_SECONDS
        while not self._listens():
            self.check()
            if time.monotonic() > deadline:
                raise TargetFault(f"does not listen on {self.portal}\n{self.last_words()}")
            time.sleep(0.01)
        self.configure()

    def check(self) -> None:
        """Raises TargetFault if the target has died."""
        if self.process.poll() is not None:
            raise TargetFault(f"ended with {self.process.returncode}\n{self.last_words()}")

    def stop(self) -> None:
        """As an administrator stops it: it has to end by itself, and without complaint."""
        self.check()
        self.process.send_signal(self.stop_signal)
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise TargetFault(f"did not end when told to\n{self.last_words()}") from None
        if status not in self.good_ends:
            raise TargetFault(f"ended with {status}\n{self.last_words()}")

    def kill(self) -> None:
        """kill -9 of the whole of it: the daemon, then what started it."""
        while pids := self._pids():
            for pid in sorted(pids, reverse=True):
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)
        self.process.wait()

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-60:]
        return "\n".join(f"  | {line}" for line in lines)

    def cpu_seconds(self) -> float:
        ticks = 0
        for pid in self._pids():
            fields = _stat(pid)
            ticks += int(fields[11]) + int(fields[12])  # utime, stime
        return ticks / os.sysconf("SC_CLK_TCK")

    def rss_bytes(self) -> int:
        pages = sum(int(_stat(pid)[21]) for pid in self._pids())
        return pages * os.sysconf("SC_PAGE_SIZE")

    # What differs between targets.
    stop_signal = signal.SIGTERM
    good_ends: tuple[int, ...] = (0,)

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {}

    def configure(self) -> None:
        """After it listens: what a target is told later than on its command line."""

    def resize(self, index: int, size_bytes: int) -> None:
        raise NotImplementedError

    def _provide(self, number: int, lun: Lun) -> None:
        if lun.path or (lun.kind == "ram" and self.has_ram):
            return
        folder = self.work / "ram" if lun.kind == "ram" else self.work
        path = folder / f"{self.name}-lun{number}.img"
        with path.open("ab") as file:
            file.truncate(lun.size_bytes)
        if lun.kind == "block":
            self._devices.append(LoopDevice(path, self.setup.block_size))
            path = Path(self._devices[-1].path)
        lun.path = path

    has_ram = False

    def _listens(self) -> bool:
        """Itself: the listener of one that was killed lives on until its io_uring requests end."""
        rows = [line.split() for table in ("tcp", "tcp6")
                for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]]
        listeners = {f"socket:[{row[9]}]" for row in rows
                     if row[3] == "0A" and int(row[1].rsplit(":", 1)[1], 16) == self.setup.port}
        return any(not listeners.isdisjoint(_open_files(pid)) for pid in self._pids())

    def _pids(self) -> list[int]:
        """Its living processes: those of the session that start() made."""
        if not self.process:
            return []
        numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        stats = {pid: _stat(pid) for pid in numbers}
        return [pid for pid, fields in stats.items()
                if int(fields[3]) == self.process.pid and fields[0] not in "ZX"]


def _open_files(pid: int) -> list[str]:
    files = []
    try:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            files.append(os.readlink(entry.path))
    except OSError:
        pass  # it has ended
    return files


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state (field 3 of proc(5)) on; of nobody if it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return ["X"] + ["0"] * 50


class Tgt(Target):
    """Debian's tgtd: LUN 0 is a controller, RAM is a file on tmpfs."""

    first_lun = 1
    good_ends = (0, -signal.SIGTERM, -signal.SIGKILL)
    stop_signal = signal.SIGKILL  # it ignores others while a session stands

    def command(self):
        return ["tgtd", "-f", "--iscsi", f"portal={self.portal}", "-C", str(self.setup.port)]

    def environment(self):
        return {"TGT_IPC_SOCKET": str(self.work / "ram" / self.name)}

    def configure(self):
        self._admin("--op new --mode target --tid 1 -T", self.iqn)
        for number, lun in enumerate(self.setup.luns, self.first_lun):
            flags = ["--bsoflags", "direct"] if self.setup.direct else []
            self._admin(f"--op new --mode logicalunit --tid 1 --lun {number} "
                        f"--blocksize {self.setup.block_size} -b", str(lun.path), *flags)
            cache = "8:0:18:0x14" if self.setup.write_cache else "8:0:18:0x10"
            self._admin(f"--op update --mode logicalunit --tid 1 --lun {number} --params",
                        f"thin_provisioning=1,mode_page={cache}:0:0xff:0xff:0:0:0xff:0xff:0xff:0xff:0x80:0x14:0:0:0:0:0:0")
        for account, flag in ((self.setup.chap, []), (self.setup.mutual_chap, ["--outgoing"])):
            if account:
                user, secret = account.split(":")
                self._admin("--op new --mode account", "--user", user, "--password", secret)
                self._admin("--op bind --mode account --tid 1", "--user", user, *flag)
        for digest in ("HeaderDigest", "DataDigest"):
            self._admin("--op update --mode target --tid 1 --name", digest, "--value", "CRC32C,None")
        self._admin("--op bind --mode target --tid 1 -I ALL")

    def resize(self, index, size_bytes):
        raise TargetFault("tgt cannot resize a LUN")

    def _admin(self, words: str, *more: str) -> None:
        subprocess.run(["tgtadm", "-C", str(self.setup.port), "--lld", "iscsi", *words.split(), *more],
                       check=True, env=os.environ | self.environment(), timeout=20)


class Olio(Target):
    """Olio, through the command line that its users have."""

    has_ram = True
    program = "olio"

    def environment(self):
        return {"OLIO_STATE_DIRECTORY": str(self.work / f"{self.name}.state")}

    def command(self):
        setup = self.setup
        command = [self.program, "serve"]
        for lun in setup.luns:
            options = f",{lun.options}" if lun.options else ""
            command += (["--ram", f"{lun.size_bytes}{options}"] if lun.kind == "ram"
                        else [f"{lun.path}{options}"])
        command += ["--listen", self.portal, "--target-name", self.iqn,
                    "--control", str(self._control), "--block-size", str(setup.block_size)]
        command += ["--direct"] if setup.direct else []
        command += [] if setup.write_cache else ["--write-through"]
        command += ["--chap", setup.chap] if setup.chap else ["--open"]
        command += ["--mutual-chap", setup.mutual_chap] if setup.mutual_chap else []
        return command + setup.extra

    def resize(self, index, size_bytes):
        subprocess.run([self.program, "resize", str(index), str(size_bytes), "--control",
                        str(self._control)], check=True, timeout=20)

    def call(self, method: str, parameters: dict) -> None:
        subprocess.run([self.program, "call", method, json.dumps(parameters), "--control",
                        str(self._control)], check=True, timeout=60, stdout=subprocess.DEVNULL)

    @property
    def _control(self) -> Path:
        return self.work / "ram" / f"{self.name}.control"


def kind(name: str) -> type[Target]:
    """The target that a command line names: tgt, or the path of the program olio."""
    return Tgt if name == "tgt" else type("Olio", (Olio,), {"program": str(Path(name).resolve())})
