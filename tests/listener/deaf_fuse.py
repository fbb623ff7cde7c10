# SPDX-License-Identifier: BSD-3-Clause
"""`python deaf_fuse.py FOLDER`, as root: a file system with one file, whose closing nobody ever confirms.

FOLDER/file may be opened by everybody. When it is closed FOLDER.closed gets one byte more, and whoever closed it waits,
deaf to SIGKILL, until this process ends.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

LOOKUP, FORGET, GETATTR, OPEN, RELEASE, FLUSH, INIT, BATCH_FORGET = 1, 2, 3, 14, 18, 25, 26, 42
IN_HEADER, OUT_HEADER = struct.Struct("=IIQQIIII"), struct.Struct("=IiQ")
ROOT, FILE = 1, 2
ENOSYS = 38


def attributes(node: int) -> bytes:
    mode = 0o040755 if node == ROOT else 0o100644
    return struct.pack("=6Q10I", node, 0, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def answer(operation: int, node: int) -> bytes | None:
    """What to say; None: nothing, for ever."""
    if operation == INIT:
        return struct.pack("=4I2HI I2H8I", 7, 31, 4096, 0, 12, 9, 4096, 1, 1, 0, *[0] * 8)
    if operation == LOOKUP:
        return struct.pack("=4Q2I", FILE, 0, 3600, 3600, 0, 0) + attributes(FILE)
    if operation == GETATTR:
        return struct.pack("=Q2I", 3600, 0, 0) + attributes(node)
    if operation == OPEN:
        return struct.pack("=Q2I", 0, 0, 0)
    if operation == RELEASE:
        return b""
    raise NotImplementedError


def serve(device: int, folder: str) -> None:
    while True:
        request = os.read(device, 1 << 17)
        _, operation, unique, node, *_ = IN_HEADER.unpack_from(request)
        if operation in (FORGET, BATCH_FORGET):
            continue
        if operation == FLUSH:
            with open(folder + ".closed", "a") as file:
                file.write("x")
            continue
        try:
            body, error = answer(operation, node) or b"", 0
        except NotImplementedError:
            body, error = b"", -ENOSYS
        os.write(device, OUT_HEADER.pack(OUT_HEADER.size + len(body), error, unique) + body)


def main(folder: str) -> None:
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"deaf", folder.encode(), b"fuse", 0, options) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    print("mounted", flush=True)
    serve(device, folder)


main(sys.argv[1])
