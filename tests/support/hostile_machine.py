#!/usr/bin/env python3
"""Runs a program on a machine where things hang: a dead file system, a name server that never answers. Linux, root.

usage: unshare -m --propagation private hostile_machine.py [--dead FOLDER] [--resolv FILE] -- PROGRAM [ARG…]

FOLDER becomes a FUSE file system whose server answers the handshake and nothing else, as a lost NFS server does: whoever looks into it hangs in the
kernel. FILE is what the program sees as /etc/resolv.conf. Both exist only in the mount namespace that unshare made, and end with the program.
"""
import ctypes
import os
import struct
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
MS_BIND, FUSE_INIT = 4096, 26


def mount(source, target, kind, flags, data):
    if LIBC.mount(source.encode(), target.encode(), kind.encode(), flags, data.encode()) != 0:
        raise OSError(ctypes.get_errno(), f"mount {target}: {os.strerror(ctypes.get_errno())}")


def shake_hands(fd):
    request = os.read(fd, 1 << 17)
    _, opcode, unique = struct.unpack_from("<IIQ", request)
    assert opcode == FUSE_INIT, opcode
    body = struct.pack("<IIIIHHII", 7, 31, 65536, 0, 16, 12, 65536, 1) + b"\0" * 32
    os.write(fd, struct.pack("<IiQ", 16 + len(body), 0, unique) + body)


def dead_file_system(folder):
    """Mounts it; a grandchild holds the server's end until the program is gone."""
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    mount("dead", folder, "fuse", 0, f"fd={fd},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}")
    shake_hands(fd)
    program = os.getpid()
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            while os.path.exists(f"/proc/{program}"):
                time.sleep(0.2)
        os._exit(0)
    os.waitpid(child, 0)
    os.close(fd)


def main():
    args = sys.argv[1:]
    while args[0] != "--":
        if args[0] == "--dead":
            dead_file_system(args[1])
        else:
            mount(args[1], "/etc/resolv.conf", "", MS_BIND, "")
        args = args[2:]
    os.execv(args[1], args[1:])


if __name__ == "__main__":
    main()
