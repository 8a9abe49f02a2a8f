"""Looks at the sockets of this script and of all processes that it started."""

import ipaddress
import os
import sys
import threading
from pathlib import Path

INTERVAL = 0.02


class Watch:
    def __init__(self, root):
        self.root = root
        self.looks = 0
        self.seen = set()  # process ids with sockets of the internet
        self.outside = set()  # descriptions of sockets that leave the machine
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._end.wait(INTERVAL):
            self.look()

    def look(self):
        owners = {inode: process for process in family(self.root) for inode in sockets(process)}
        for inode, kind, local, remote in internet_sockets():
            if not (process := owners.get(inode)):
                continue
            self.seen.add(process)
            # Listening sockets have no remote address.
            if not (local.is_loopback and (remote.is_loopback or remote.is_unspecified)):
                self.outside.add(f"{kind} {local} to {remote} of process {process}")
        self.looks += 1

    def is_looking(self):
        return self._thread.is_alive()

    def stop(self):
        self._end.set()
        self._thread.join()


def family(process):
    """The ids of a process and its descendants."""
    yield process
    try:
        threads = os.listdir(f"/proc/{process}/task")
    except OSError:
        return
    for thread in threads:
        try:
            ids = Path(f"/proc/{process}/task/{thread}/children").read_text().split()
        except OSError:
            continue
        for child in ids:
            yield from family(int(child))


def sockets(process):
    """The inodes of a process's sockets, none if it has ended."""
    try:
        descriptors = os.listdir(f"/proc/{process}/fd")
    except OSError:
        return
    for descriptor in descriptors:
        try:
            target = os.readlink(f"/proc/{process}/fd/{descriptor}")
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target[8:-1]


def internet_sockets():
    """(inode, kind, local address, remote address) of each socket of this
    machine that is bound or connected."""
    for kind in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6"):
        table = Path(f"/proc/self/net/{kind}")
        if not table.exists():
            continue
        for row in table.read_text().splitlines()[1:]:
            fields = row.split()
            # Connections that are over have no socket any more.
            if fields[9] != "0":
                yield fields[9], kind, _address(fields[1]), _address(fields[2])


def _address(field):
    """The kernel writes addresses as 32-bit words in the machine's order."""
    digits = field.partition(":")[0]
    words = [int(digits[i : i + 8], 16) for i in range(0, len(digits), 8)]
    octets = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
    address = ipaddress.ip_address(octets)
    return getattr(address, "ipv4_mapped", None) or address
