#!/usr/bin/env python3
"""Runs the programs as their users do: olio serve, the verbs that ask, oliod's refusals and ends.

    cli_test.py --olio PATH --oliod PATH --source ROOT [NAME...]
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

WAIT = 60  # seconds; for a loaded machine under a sanitizer


class Served:
    """An olio serve --json with a control socket of its own and a free port."""

    def __init__(self, work: Path, *arguments: str, listen: str = "127.0.0.1:0"):
        self.control = str(work / "control")
        command = [OLIO, "serve", "--json", "--listen", listen, "--control", self.control,
                   *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, cwd=work,
                                        env={**os.environ, "OLIO_STATE_DIRECTORY":
                                             str(work / "state")})

    def serving(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"it did not serve: {self.process.stderr.read()}")
        event = json.loads(line)
        assert event["event"] == "serving", event
        return event

    def end(self, signals: int = 1) -> int:
        for _ in range(signals):
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(WAIT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def run(*command: str, env: dict | None = None, cwd: Path | None = None):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          timeout=WAIT, env={**os.environ, **(env or {})}, cwd=cwd)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def until(condition, what: str):
    deadline = time.monotonic() + WAIT
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(0.05)


class InFolder(unittest.TestCase):
    def setUp(self):
        self.work = Path(tempfile.mkdtemp(prefix="olio-cli-"))
        self.addCleanup(shutil.rmtree, self.work)

    def refused(self, *command: str, status: int, says: str, env: dict | None = None):
        result = run(*command, env=env, cwd=self.work)
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertIn(says, result.stderr)


class Serve(InFolder):
    def test_disks_are_numbered_as_they_were_typed(self):
        with Served(self.work, "--ram", "1M", "a.img", "--ram", "2M,read-only", "b,,c.img",
                    "--size", "3M") as served:
            event = served.serving()
            luns = event["luns"]
            self.assertEqual([lun["lun"] for lun in luns], [0, 1, 2, 3])
            self.assertEqual([lun["path"] for lun in luns],
                             [None, str(self.work / "a.img"), None, str(self.work / "b,c.img")])
            self.assertEqual([lun["size_bytes"] >> 20 for lun in luns], [1, 3, 2, 3])
            self.assertEqual([lun["write_protected"] for lun in luns], [False, False, True, False])
            self.assertEqual(len({lun["serial"] for lun in luns}), 4)
            for lun in luns:
                self.assertTrue(lun["url"].endswith(f"/{event['target']['name']}/{lun['lun']}"))
            self.assertEqual(served.end(), 0)
            last = served.process.stdout.read().splitlines()[-1]
            self.assertEqual(json.loads(last), {"event": "ended", "exit_status": 0})
        self.assertFalse(Path(served.control).exists())

    def test_the_port_printed_is_the_one_that_listens(self):
        with Served(self.work, "--ram", "1M") as served:
            host, port = served.serving()["target"]["portals"][0].rsplit(":", 1)
            socket.create_connection((host, int(port)), 5).close()
            self.assertEqual(served.end(), 0)
            with self.assertRaises(OSError):
                socket.create_connection((host, int(port)), 1)

    def test_the_daemon_dies_with_its_parent(self):
        with Served(self.work, "--ram", "1M") as served:
            daemon = served.serving()["pid"]
            served.process.kill()
            served.process.wait(WAIT)
            until(lambda: not alive(daemon), "the daemon's end")

    def test_text_has_all_that_a_user_needs(self):
        process = subprocess.Popen(
            [OLIO, "serve", "disk.img", "--size", "1M", "--listen", "127.0.0.1:0", "--control",
             self.work / "c", "--chap", "user:not to be shown"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.work)
        try:
            text = ""
            while "Ctrl-C" not in text:
                line = process.stdout.readline()
                self.assertTrue(line, process.stderr.read() if not line else "")
                text += line
            for part in ("Serving iqn.2024-08.internal.olio:", "discovery -t sendtargets",
                         "authmethod -v CHAP", "--login", "lsblk", "iscsi://user%SECRET@127.0.0.1:",
                         str(self.work / "disk.img")):
                self.assertIn(part, text)
            self.assertNotIn("not to be shown", text)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            shown = b"".join(Path(f"/proc/{child}/cmdline").read_bytes() for child in children)
            self.assertIn(b"oliod", shown)
            self.assertNotIn(b"not to be shown", shown)
        finally:
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(WAIT), 0)
            process.communicate()

    def test_a_file_is_made_only_with_a_size_and_never_changed(self):
        self.refused(OLIO, "serve", "new.img", "--control", self.work / "c", status=1,
                     says="give a size to make it")
        self.assertFalse((self.work / "new.img").exists())
        (self.work / "old.img").write_bytes(bytes(1 << 20))
        self.refused(OLIO, "serve", "old.img", "--size", "2M", "--control", self.work / "c",
                     status=1, says="has 1048576 bytes")
        self.assertEqual((self.work / "old.img").stat().st_size, 1 << 20)

    def test_refusals_say_what_to_do(self):
        self.refused(OLIO, "serve", status=2, says="name a file")
        self.refused(OLIO, "serve", "--ram", "1M", "--listen", "0.0.0.0", "--control",
                     self.work / "c", status=2, says="--chap")
        self.refused(OLIO, "serve", "--ram", "1000", "--control", self.work / "c", status=2,
                     says="whole number of blocks")
        self.refused(OLIO, "serve", "--ram", "1M", "--target-name", "no name", "--control",
                     self.work / "c", status=1, says="no name")
        self.refused(OLIO, "serve", "/dev/null", "--control", self.work / "c", status=1,
                     says="neither a file nor a block device")

    def test_a_port_in_use_is_named(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            portal = f"127.0.0.1:{taken.getsockname()[1]}"
            self.refused(OLIO, "serve", "--ram", "1M", "--listen", portal, "--control",
                         self.work / "c", status=1, says=portal)


class Verbs(InFolder):
    def test_each_verb_answers(self):
        with Served(self.work, "disk.img", "--size", "1M", "--ram", "1M") as served:
            served.serving()
            control = ["--control", served.control]
            self.assertEqual(json.loads(run(OLIO, "status", "--json", *control).stdout)["luns"], 2)
            self.assertIn("serving", run(OLIO, "status", *control).stdout)
            self.assertIn("fileio", run(OLIO, "luns", *control).stdout)
            self.assertEqual(json.loads(run(OLIO, "sessions", "--json", *control).stdout), [])
            self.assertIn("no host", run(OLIO, "sessions", *control).stdout)
            self.assertEqual(run(OLIO, "counters", "0", *control).returncode, 0)
            self.assertIn("resize", run(OLIO, "methods", *control).stdout)
            called = run(OLIO, "call", "luns", *control)
            self.assertEqual(len(json.loads(called.stdout)), 2)
            self.refused(OLIO, "counters", "7", *control, status=1, says="there is no LUN 7")
            self.refused(OLIO, "call", "nothing", *control, status=1, says="'nothing'")
            self.assertEqual(run(OLIO, "shutdown", *control).returncode, 0)
            self.assertEqual(served.process.wait(WAIT), 0)
            self.refused(OLIO, "status", *control, status=3, says="no daemon answers")

    def test_attributes_are_shown_and_set(self):
        with Served(self.work, "--ram", "1M,emulate_caw=0", "--ram", "1M", "--attribute",
                    "emulate_tas=0", "--attribute", "emulate_caw=1") as served:
            served.serving()
            control = ["--control", served.control]

            def value(lun, name):
                found = run(OLIO, "attributes", lun, "--json", *control).stdout
                return {row["name"]: row["value"] for row in json.loads(found)}[name]

            self.assertEqual([value("0", "emulate_caw"), value("1", "emulate_caw")], [0, 1])
            self.assertEqual([value("0", "emulate_tas"), value("1", "emulate_tas")], [0, 0])
            self.assertIn("block_size", run(OLIO, "attributes", "0", *control).stdout)
            done = run(OLIO, "attributes", "0", "emulate_caw=1", "max_write_same_len=0x10", *control)
            self.assertEqual(done.returncode, 0)
            self.assertIn("max_write_same_len is 16 now", done.stdout)
            self.assertEqual(value("0", "emulate_caw"), 1)
            self.refused(OLIO, "attributes", "0", "emulate_tas=1", *control, status=1,
                         says="cannot change while the disk is exported")
            self.refused(OLIO, "attributes", "0", "emulate_cow=1", *control, status=1,
                         says="no attribute 'emulate_cow'")
            self.refused(OLIO, "attributes", "0", "emulate_caw", *control, status=2,
                         says="NAME=VALUE")

    def test_an_attribute_that_a_disk_cannot_have_is_refused(self):
        self.refused(OLIO, "serve", "--ram", "1M,queue_depth=0", "--listen", "127.0.0.1:0",
                     "--control", self.work / "c", status=1, says="not within 1 and")
        self.refused(OLIO, "serve", "--ram", "1M", "--attribute", "emulate_cow=1", "--listen",
                     "127.0.0.1:0", "--control", self.work / "c", status=2, says="no attribute")

    def test_resize_grows_and_shrinks_only_when_told(self):
        with Served(self.work, "disk.img", "--size", "1M") as served:
            served.serving()
            control = ["--control", served.control]
            grown = run(OLIO, "resize", "0", "2M", *control)
            self.assertEqual(grown.stdout, "LUN 0 has 2 MiB now\n", grown.stderr)
            self.assertEqual((self.work / "disk.img").stat().st_size, 2 << 20)
            self.refused(OLIO, "resize", "0", "1M", *control, status=1, says="--shrink")
            self.assertEqual(run(OLIO, "resize", "0", "1M", "--shrink", *control).returncode, 0)
            self.refused(OLIO, "resize", "0", "1000", *control, status=1, says="whole number")
            self.refused(OLIO, "resize", "0", "x", *control, status=1, says="is not a size")

    def test_rescan_sees_what_others_did(self):
        with Served(self.work, "disk.img", "--size", "1M") as served:
            event = served.serving()
            os.truncate(self.work / "disk.img", 3 << 20)
            rescanned = run(OLIO, "rescan", "--json", "--control", served.control)
            self.assertEqual(json.loads(rescanned.stdout)[0]["size_bytes"], 3 << 20)
            os.truncate(self.work / "disk.img", 4 << 20)
            os.kill(event["pid"], signal.SIGHUP)

            def size():
                luns = run(OLIO, "luns", "--json", "--control", served.control).stdout
                return json.loads(luns)[0]["size_bytes"]
            until(lambda: size() == 4 << 20, "SIGHUP to be heeded")


class Daemon(InFolder):
    def test_a_second_daemon_leaves_the_socket_of_the_first(self):
        with Served(self.work, "--ram", "1M") as served:
            served.serving()
            self.refused(OLIOD, "--disk", "ram:1M", "--listen", "127.0.0.1:0", "--control",
                         served.control, status=1, says="already answering")
            self.assertEqual(run(OLIO, "status", "--control", served.control).returncode, 0)
            mode = os.stat(served.control).st_mode
            self.assertEqual(stat.S_IMODE(mode), 0o600)

    def call(self, served: Served, method: str, parameters: dict):
        result = run(OLIO, "call", method, json.dumps(parameters), "--control", served.control)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def test_access_states_outlive_a_kill(self):
        """What was answered is there after kill -9; a damaged file is passed over."""
        arguments = ["disk.img", "--size", "1M", "--listen", "127.0.0.2:0,group=2",
                     "--target-name", "iqn.2026-01.test:access"]
        states = ["standby", "unavailable", "active/non-optimized", "active/optimized"]
        for wanted in states * 2:
            with Served(self.work, *arguments) as served:
                daemon = served.serving()["pid"]
                self.call(served, "set_access_state", {"lun": 0, "group": 2, "state": wanted})
                self.call(served, "set_port_offline",
                          {"lun": 0, "port": 2, "offline": wanted == "standby"})
                self.call(served, "set_port_group",
                          {"lun": 0, "group": 2, "preferred": wanted == "standby"})
                os.kill(daemon, signal.SIGKILL)
                served.process.wait(WAIT)
            with Served(self.work, *arguments) as served:
                served.serving()
                group = self.call(served, "access_states", {"lun": 0})[0]["groups"][1]
                self.assertEqual(group["state"], wanted)
                self.assertEqual(group["status"], "changed here")
                self.assertEqual(group["preferred"], wanted == "standby")
                self.assertEqual(group["ports"], [{"port": 2, "offline": wanted == "standby"}])
                self.assertEqual(served.end(), 0)
        kept = next((self.work / "state" / "alua").glob("tpgs_*/tpgt_2"))
        self.assertEqual(stat.S_IMODE(kept.stat().st_mode), 0o600)
        self.assertEqual(kept.read_text(),
                         "tg_pt_gp_id=2\nalua_access_state=0x00\nalua_access_status=0x02\n")
        self.assertTrue(
            (self.work / "state/alua/iscsi/iqn.2026-01.test:access+2/lun_0").is_file())
        kept.write_text("tg_pt_gp_id=2\nalua_access_sta")
        with Served(self.work, *arguments) as served:
            served.serving()
            group = self.call(served, "access_states", {"lun": 0})[0]["groups"][1]
            self.assertEqual(group["state"], "active/optimized")
            self.assertEqual(served.end(), 0)
            said = served.process.stderr.read()
            self.assertIn("cannot be taken up", said)
            self.assertIn("tpgt_2", said)

    def test_it_tells_the_service_manager(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(self.work / "notify"))
            manager.settimeout(WAIT)
            daemon = subprocess.Popen(
                [OLIOD, "--disk", "ram:1M", "--listen", "127.0.0.1:0", "--control",
                 self.work / "c"], stderr=subprocess.PIPE, text=True,
                env={**os.environ, "NOTIFY_SOCKET": str(self.work / "notify")})
            self.assertEqual(manager.recv(100), b"READY=1")
            daemon.terminate()
            self.assertEqual(manager.recv(100), b"STOPPING=1")
            log = daemon.communicate(timeout=WAIT)[1]
            self.assertEqual(daemon.returncode, 0)
            self.assertIn("memory stays below", log)

    def test_its_options_are_checked(self):
        control = ["--control", self.work / "c"]
        self.refused(OLIOD, *control, status=2, says="no disk to serve")
        self.refused(OLIOD, "--disk", "ram:1M,fast", *control, status=2, says="no option 'fast'")
        self.refused(OLIOD, "--disk", "ram:1M", "--reactor", "magic", *control, status=2,
                     says="magic")
        self.refused(OLIOD, "--disk", "ram:1M", "--mutual-chap", "u:s", *control, status=2,
                     says="add --chap")
        self.refused(OLIOD, "--disk", "ram:1M", *control, status=2, says="OLIO_CHAP",
                     env={"OLIO_CHAP": "nonsense"})
        secret = self.work / "secret"
        secret.write_text("user:a secret of many bytes\n")
        secret.chmod(0o644)
        self.refused(OLIOD, "--disk", "ram:1M", "--chap-file", secret, *control, status=2,
                     says="chmod 600")


class Documents(unittest.TestCase):
    """What the programs understand is what their papers say."""

    @staticmethod
    def options(program: str, *verb: str) -> set[str]:
        return set(re.findall(r"--[a-z][a-z-]+", run(program, *verb, "--help").stdout))

    @staticmethod
    def page(name: str) -> set[str]:
        text = (SOURCE / "docs/man" / name).read_text()
        return {"--" + option for option in re.findall(r"Fl Fl ([a-z][a-z-]+)", text)}

    def verbs(self) -> list[str]:
        text = run(OLIO, "--help").stdout.split("Subcommands:")[1]
        return re.findall(r"^  ([a-z]+) ", text, re.M)

    def test_oliod_manual(self):
        self.assertEqual(self.options(OLIOD) | {"--disk"}, self.page("oliod.8"))

    def test_olio_manual(self):
        known = self.options(OLIO)
        for verb in self.verbs():
            known |= self.options(OLIO, verb)
        # The page refers to oliod's --disk.
        self.assertEqual(known, self.page("olio.1") - {"--disk"})

    def test_completion(self):
        script = SOURCE / "packaging/bash-completion/olio"
        ask = f"source {script}; echo $_olio_verbs; for v in $_olio_verbs; do _olio_options $v; done"
        lines = run("bash", "-c", ask).stdout.splitlines()
        self.assertEqual(lines[0].split(), self.verbs())
        for verb, options in zip(self.verbs(), lines[1:], strict=True):
            self.assertEqual(set(options.split()), self.options(OLIO, verb), verb)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--olio", required=True)
    parser.add_argument("--oliod", required=True)
    parser.add_argument("--source", required=True, type=Path)
    arguments, rest = parser.parse_known_args()
    OLIO, OLIOD, SOURCE = arguments.olio, arguments.oliod, arguments.source
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
