#!/usr/bin/env python3
"""Writes the seeds of the iSCSI fuzz targets beside itself: make_seeds.py"""
import os
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = b"InitiatorName=iqn.2026-01.example:i\0TargetName=iqn.2026-01.example:t\0SessionType=Normal\0"


def bhs(opcode, flags=0x80, words=None, length=0, ahs_words=0, byte2=0, byte3=0):
    header = bytearray(48)
    header[0:4] = bytes([opcode, flags, byte2, byte3])
    header[4] = ahs_words
    header[5:8] = length.to_bytes(3, "big")
    for offset, value in (words or {}).items():
        struct.pack_into(">I", header, offset, value & 0xFFFFFFFF)
    return bytes(header)


def login(flags, text, tag=1, tsih=0, version=0):
    words = {8: 0x80010203, 12: 0x04050000 | tsih, 16: tag, 20: 0x00010000, 24: 1, 28: 1}
    return bhs(0x43, flags, words, len(text), byte2=version, byte3=version), text


def record(pdu):
    header, data = pdu
    return struct.pack("<H", len(data)) + header + data


def wire(pdu):
    header, data = pdu
    return header + data + b"\0" * (-len(data) % 4)


def write(folder, name, data):
    os.makedirs(os.path.join(HERE, folder), exist_ok=True)
    with open(os.path.join(HERE, folder, name), "wb") as file:
        file.write(data)


OPERATIONAL = (
    b"HeaderDigest=None,CRC32C\0DataDigest=None\0InitialR2T=No\0ImmediateData=Yes\0"
    b"MaxRecvDataSegmentLength=262144\0MaxBurstLength=1048576\0FirstBurstLength=65536\0"
    b"DefaultTime2Wait=2\0DefaultTime2Retain=20\0MaxConnections=4\0MaxOutstandingR2T=4\0"
    b"DataPDUInOrder=Yes\0DataSequenceInOrder=No\0ErrorRecoveryLevel=2\0IFMarker=No\0"
    b"OFMarkInt=2048\0TaskReporting=FastAbort,RFC3720\0iSCSIProtocolLevel=2\0X-a=b\0"
)

LOGINS = {
    "direct": (0, [login(0x87, NAMES + OPERATIONAL)]),
    "three_stages": (0, [login(0x81, NAMES + b"AuthMethod=CHAP,None\0"), login(0x87, OPERATIONAL)]),
    "skip_operational": (0, [login(0x83, NAMES + b"AuthMethod=None\0")]),
    "discovery": (0, [login(0x87, b"InitiatorName=iqn.i\0SessionType=Discovery\0MaxBurstLength=512\0")]),
    "continued": (0, [login(0x44, NAMES[:30]), login(0x44, NAMES[30:]), login(0x87, OPERATIONAL)]),
    "chap": (1, [login(0x81, NAMES + b"AuthMethod=CHAP,None\0"), login(0x00, b"CHAP_A=8,7,6,5\0"),
                 login(0x81, b"CHAP_N=user\0CHAP_R=0x" + b"00" * 32 + b"\0CHAP_I=0x1f\0CHAP_C=0bAAECAw==\0")]),
    "chap_base64": (1, [login(0x00, NAMES + b"AuthMethod=CHAP\0"), login(0x00, b"CHAP_A=5\0"),
                        login(0x81, b"CHAP_N=0x41\0CHAP_R=0b" + b"A" * 128 + b"\0")]),
    "proposals": (2, [login(0x87, NAMES), login(0x87, b"MaxBurstLength=65536\0HeaderDigest=CRC32C\0")]),
    "redirect": (4, [login(0x87, NAMES)]),
    "version": (0, [login(0x87, NAMES, version=1)]),
    "many_unknown": (0, [login(0x87, NAMES + b"".join(b"X-%d=1\0" % i for i in range(300))), login(0x04, b"")]),
}


def command(tag, sn, cdb, flags=0x81, expected=0, data=b"", immediate=False):
    header = bytearray(bhs(0x41 if immediate else 0x01, flags,
                           {16: tag, 20: expected, 24: sn, 28: 2}, len(data)))
    header[32:32 + len(cdb)] = cdb
    return bytes(header), data


SESSION = {
    "read_write": [
        command(1, 1, bytes([0x12, 0, 0, 0, 96, 0]), 0xC1, 96),
        command(2, 2, bytes([0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0]), 0xA1, 512, b"w" * 512),
        command(3, 3, bytes([0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0]), 0xC1, 4096),
        command(4, 4, bytes([0x2A, 0, 0, 0, 0, 8, 0, 0, 8, 0]), 0x21, 4096, b"u" * 1024),
        (bhs(0x05, 0x80, {16: 4, 20: 0xFFFFFFFF, 28: 2, 36: 0, 40: 1024}, 3072), b"o" * 3072),
    ],
    "r2t": [
        command(1, 1, bytes([0x2A, 0, 0, 0, 0, 0, 0, 0, 8, 0]), 0xA1, 4096),
        (bhs(0x05, 0x80, {16: 1, 20: 1, 28: 2}, 4096), b"d" * 4096),
    ],
    "nop_text_logout": [
        (bhs(0x40, 0x80, {16: 9, 20: 0xFFFFFFFF, 24: 1, 28: 2}, 5), b"hello"),
        (bhs(0x04, 0x80, {16: 10, 20: 0xFFFFFFFF, 24: 1, 28: 2}, 16), b"SendTargets=All\0"),
        (bhs(0x42, 0x82, {16: 11, 20: 0xFFFFFFFF, 24: 2, 28: 2}), b""),
        (bhs(0x42, 0x85, {16: 12, 20: 0xFFFFFFFF, 24: 2, 28: 2}), b""),
        (bhs(0x10, 0x80, {16: 1, 20: 0xFFFFFFFF, 28: 2}), b""),
        (bhs(0x46, 0x80, {16: 13, 24: 2, 28: 2}), b""),
    ],
    "abort": [
        command(1, 1, bytes([0x2A, 0, 0, 0, 0, 0, 0, 0, 8, 0]), 0xA1, 4096),
        (bhs(0x42, 0x81, {16: 2, 20: 1, 24: 2, 28: 2, 32: 1}), b""),
        (bhs(0x05, 0x80, {16: 1, 20: 1, 28: 2}, 4096), b"d" * 4096),
    ],
}


def main():
    for name, (choice, pdus) in LOGINS.items():
        write("login_fuzz", name, bytes([choice]) + b"".join(record(pdu) for pdu in pdus))
        for number, pdu in enumerate(pdus):
            write("pdu_fuzz", f"{name}_{number}", pdu[0] + pdu[1])
    write("pdu_fuzz", "extended_cdb", bhs(1, 0xE1, ahs_words=7)
          + bytes([0, 17, 1, 0]) + bytes(range(16)) + bytes([0, 5, 2, 0, 0, 0, 16, 0]))
    start = wire(login(0x87, NAMES + OPERATIONAL))
    plain = wire(login(0x87, NAMES))
    for name, pdus in SESSION.items():
        stream = b"".join(wire(pdu) for pdu in pdus)
        write("connection_fuzz", name, start + stream)
        write("connection_fuzz", name + "_defaults", plain + stream)


if __name__ == "__main__":
    main()
