"""What is known of libiscsi 1.19's tests: which commands they belong to, which of them cannot run
against a disk like ours, and which are wrong themselves. Whatever is not said here has to pass."""

# Suites of commands that are not served yet. Their tests find that out and skip themselves.
LATER = {
    "PreventAllow": "PREVENT ALLOW MEDIUM REMOVAL is for removable media",
}

# Test -> (the LUNs where it skips itself, why). LUNs are those of conformance_test.py.
ANY = {"ram", "file", "block", "file4096", "full"}
ONE_TO_ONE = ({"block", "file4096", "full"},
              "physical blocks are no larger than logical ones, or the LUN is fully provisioned")
NO_ERASE = ({"file", "block", "file4096", "full"},
            "what a file or device gives up may still be found, and a fully provisioned LUN gives up nothing")
FULL = ({"full"}, "the LUN is fully provisioned")
NO_CRYPTOGRAPHY = (ANY, "nothing is encrypted, so there is no key to destroy")
NOT_ATOMIC = ({"file", "block", "file4096"}, "no write of the store is atomic")
SKIPS = {
    "NoMedia.NoMediaSBC": (ANY, "the medium cannot be removed"),
    "StartStopUnit.Simple": (ANY, "the medium cannot be removed"),
    "StartStopUnit.PwrCnd": (ANY, "the medium cannot be removed"),
    "StartStopUnit.NoLoej": (ANY, "the medium cannot be removed"),
    "ReadOnly.ReadOnlySBC": (ANY, "the LUN is not write protected"),
    "WriteSame10.ZeroBlocks": (ANY, "WSNZ is one: it sees zero blocks refused and ends there"),
    "WriteSame16.ZeroBlocks": (ANY, "WSNZ is one: it sees zero blocks refused and ends there"),
    "CompareAndWrite.InvalidDataOutSize": ONE_TO_ONE,
    "GetLBAStatus.UnmapSingle": FULL,
    "Inquiry.BlockLimits": FULL,
    "Unmap.Simple": FULL,
    "Unmap.VPD": FULL,
    "Unmap.ZeroBlocks": FULL,
    "WriteSame10.Unmap": FULL,
    "WriteSame10.UnmapUntilEnd": FULL,
    "WriteSame16.Unmap": FULL,
    "WriteSame16.UnmapUntilEnd": FULL,
    "Sanitize.BlockErase": NO_ERASE,
    "Sanitize.CryptoErase": NO_CRYPTOGRAPHY,
    "Sanitize.Readonly": NO_CRYPTOGRAPHY,
    "Sanitize.Reservations": NO_CRYPTOGRAPHY,
    "WriteAtomic16.Simple": NOT_ATOMIC,
    "WriteAtomic16.BeyondEol": NOT_ATOMIC,
    "WriteAtomic16.ZeroBlocks": NOT_ATOMIC,
    "WriteAtomic16.WriteProtect": NOT_ATOMIC,
    "WriteAtomic16.DpoFua": NOT_ATOMIC,
    "WriteAtomic16.VPD": (ANY, "it looks for an alignment and a granularity, and there is none"),
    "WriteSame10.UnmapUnaligned": ONE_TO_ONE,
    "WriteSame10.InvalidDataOutSize": ONE_TO_ONE,
    "WriteSame16.UnmapUnaligned": ONE_TO_ONE,
    "WriteSame16.InvalidDataOutSize": ONE_TO_ONE,
}

# Test -> why it passes or fails as the machine is fast or slow.
BY_SPEED = {
    "Sanitize.Reset":
        "it starts to overwrite the medium and expects that this still goes on after a reset; a small LUN "
        "has been overwritten by then",
}

# Test -> (the LUNs where it is wrong, the clause of the standard that it contradicts, why). It may fail
# there, and if it does not, it must leave this list.
WRONG: dict[str, tuple[set[str], str, str]] = {
    "ReportSupportedOpcodes.OneCommand": (
        ANY, "SPC-5 6.36",
        "it compares the first byte of the CDB USAGE DATA of every command with its operation code, but "
        "libiscsi keeps the usage data of CDBs of at most 16 bytes; of 32-byte CDBs (7Fh), whose usage "
        "data are there, it sees zeros"),
    "GetLBAStatus.UnmapSingle": (
        {"ram", "file"}, "SBC-4 5.8",
        "in its second half it asks for the status from LBA i + 1 on, and wants the first descriptor "
        "to begin at i + n, where n is the number of logical blocks in a physical one. The first "
        "descriptor begins at the LBA that was asked for, so this can only hold where n is 1 (it "
        "passes there). Later versions of libiscsi still have it"),
} | {
    f"ProutReserve.Access{kind}": (
        {"file4096"}, "SBC-4 5.41",
        "to see whether it may write, it sends one logical block as 512 bytes, whatever READ CAPACITY says; "
        "that is no whole block, and nothing is written")
    for kind in ("EA", "WE", "EARO", "WERO", "EAAR", "WEAR")
} | {
    "iSCSITMF.LUNResetSimpleAsync": (
        ANY, "RFC 7143 11.6",
        "having queued its LOGICAL UNIT RESET, and before it has sent it, it asserts that the "
        "response has come, and frees the task of a write that is still outstanding, which can crash "
        "it. It fails against every target; libiscsi's commits 5553d6b and 2b9c928 corrected it"),
}
