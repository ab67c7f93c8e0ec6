#!/usr/bin/env python3
"""A real Linux initiator against the target: kernel_test.py --target tgt|OLIO SCENARIO"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness import sandbox, targets  # noqa: E402
from kernel import uml  # noqa: E402

CHAP, MUTUAL_CHAP = "guest:initiator-secret-1", "target:target-secret-12"
GUEST_SECONDS = 170
SECOND_PORTAL = f"{uml.HOST_ADDRESS}:3261"
DISK_BYTES, LARGER_BYTES = 512 << 20, 768 << 20


def luns() -> list[targets.Lun]:
    return [targets.Lun("file", DISK_BYTES), targets.Lun("ram", DISK_BYTES)]


def scenario_setup(name: str) -> targets.Setup:
    setup = targets.Setup(luns(), address=uml.HOST_ADDRESS)
    if name == "filesystem":
        setup.chap, setup.mutual_chap = CHAP, MUTUAL_CHAP
    if name == "protection":
        for lun in setup.luns:
            lun.options = "protection=0"
    if name == "multipath":
        setup.luns = luns()[:1]
        setup.extra = ["--listen", f"{SECOND_PORTAL},group=2"]
    return setup


def scenario_environment(name: str, target: targets.Target) -> dict[str, str]:
    olio = isinstance(target, targets.Olio)
    common = {"TARGET": target.iqn, "PORTAL": target.portal, "FIRST_LUN": str(target.first_lun)}
    user, secret = CHAP.split(":")
    mutual_user, mutual_secret = MUTUAL_CHAP.split(":")
    return common | {
        "filesystem": {"CHAP_USER": user, "CHAP_SECRET": secret, "MUTUAL_USER": mutual_user,
                       "MUTUAL_SECRET": mutual_secret, "MEGABYTES": str(sandbox.scale(64, 16))},
        "sessions": {"ROUNDS": str(sandbox.scale(50)), "LARGER": str(LARGER_BYTES if olio else 0)},
        "multipath": {"SECOND_PORTAL": SECOND_PORTAL, "ROUNDS": "1",
                      "SECONDS_PER_STATE": "3", "MEGABYTES": str(sandbox.scale(64, 16))},
        "commands": {"SECOND_LUN": str(target.first_lun + 1)},
        "protection": {"SECOND_LUN": str(target.first_lun + 1)},
        "maintenance": {"SECOND_LUN": str(target.first_lun + 1)},
        "copies": {"SECOND_LUN": str(target.first_lun + 1)},
        "reservations": {"SECONDS_PER_WRITER": str(sandbox.scale(12, 8))},
    }[name]


def main(work: Path) -> int:
    with uml.Network() as wire, TARGET(work, scenario_setup(ARGUMENTS.scenario)) as target:
        requests = {
            "cut": wire.cut,
            "restore": wire.restore,
            "resize": lambda size: target.resize(0, int(size)),
            "transitions": lambda group, ms: target.call(
                "set_port_group", {"lun": 0, "group": int(group), "transition_ms": int(ms)}),
            "kill_and_start": lambda: (target.kill(), target.start()),
            "access": lambda group, state: target.call(
                "set_access_state", {"lun": 0, "group": int(group), "state": state}),
        }
        environment = scenario_environment(ARGUMENTS.scenario, target)
        status = uml.run_script(work, f"{ARGUMENTS.scenario}.sh", environment, requests,
                                GUEST_SECONDS)
        if status != 0:
            print(f"{ARGUMENTS.scenario}: FAILED with {status}; the target said:")
            print(target.last_words())
        target.check()
    return 0 if status == 0 else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", required=True)
    parser.add_argument("scenario", choices=("filesystem", "sessions", "commands", "copies",
                                             "multipath", "maintenance", "protection",
                                             "reservations"))
    ARGUMENTS = parser.parse_args()
    TARGET = targets.kind(ARGUMENTS.target)
    uml.require()
    sandbox.require_programs("iscsid", "iscsiadm", "fio", "sg_vpd", "ddpt", "mkfs.ext4")
    if ARGUMENTS.scenario == "reservations":
        sandbox.require_programs("sg_persist", "sg_turs", "sg_dd")
    if ARGUMENTS.scenario == "multipath":
        sandbox.require_programs("multipathd", "multipath", "sg_rtpg", "dmsetup")
    sandbox.run(main)
