"""What two isolation ids show of each other, and to whom: ten names looked up
through a proxy, and what proxy, log and disk saw of it."""

import contextlib
import dataclasses
import hashlib
import ipaddress
import re
import socket
import sys
import threading
from pathlib import Path

from e2e.watch import sockets
from socks_log import HOST_NAME, IPV4

from regtest_kit.programs import PATIENCE

# Words of five letters that stand nowhere else, the last of which nobody
# registers, and ids of the same kind. They take the names in turns.
LABELS = [f"q{letter}x{letter}v" for letter in "abcdefghij"]
IDS = ["zjqwone", "zjqwtwo"]
OWNERS = {label: IDS[index % 2] for index, label in enumerate(LABELS)}

VALUES = {label: '{"ip":"192.0.2.%d"}' % (10 + index) for index, label in enumerate(LABELS[:-1])}
ANSWERS = {label: f"0 192.0.2.{10 + index}" for index, label in enumerate(LABELS[:-1])}

# What is asked before the next waits for its answers. One after the other come
# first: if connections were shared, there is only one that the other id could
# be given. Then two at once.
GROUPS = [*([label] for label in LABELS[:6]), LABELS[6:8], LABELS[8:]]

# 128 bits in hexadecimal digits.
CREDENTIAL = re.compile(rb"[0-9a-f]{32}")


class Trace:
    """The forms in which a name can be found out from octets."""

    def __init__(self, label, txid=None):
        self.label = label
        name = f"d/{label}".encode()
        digests = [hashlib.sha256(index_script(name)).digest()]
        if txid:
            digests.append(bytes.fromhex(txid))
        # As they are and in the order in which Electrum's JSON has them.
        self.raw = [order for digest in digests for order in (digest, digest[::-1])]
        self.texts = [label.encode(), label.encode().hex().encode()]
        self.texts += [digest.hex().encode() for digest in self.raw]

    def is_in(self, octets):
        lower = octets.lower()
        return any(text in lower for text in self.texts) or any(raw in octets for raw in self.raw)


def index_script(name):
    """The script whose hash is the key of a name at Electrum servers."""
    return bytes([0x53, len(name)]) + name + bytes([0x00, 0x6D, 0x75, 0x6A])


class Decoy:
    """A listener on the loopback interface whose port only the proxy leads
    anywhere. Who connects to it went past the proxy."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.target = "127.0.0.1:%d" % self.listener.getsockname()[1]

    def count(self):
        """The connections since the last count."""
        found = 0
        self.listener.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.listener.accept()[0].close()
                found += 1
        return found


class Sockets:
    """Where the sockets of a process lead, looked at again and again. One that
    is there for less than INTERVAL seconds may be missed."""

    INTERVAL = 0.01

    def __init__(self, process):
        self.process = process
        self.ends = set()  # (kind, address:port)
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def stop(self):
        self.stopping.set()
        self.thread.join()

    def _run(self):
        while not self.stopping.wait(self.INTERVAL):
            own = set(sockets(self.process))
            for kind in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6"):
                self.ends |= {(kind, end) for inode, end in _remotes(kind) if inode in own}


def _remotes(kind):
    """(inode, remote address and port) of this machine's sockets of a kind."""
    with contextlib.suppress(FileNotFoundError):
        for row in Path(f"/proc/self/net/{kind}").read_text().splitlines()[1:]:
            fields = row.split()
            address, port = fields[2].split(":")
            # The kernel writes addresses as 32-bit words in the machine's order.
            words = [int(address[at : at + 8], 16) for at in range(0, len(address), 8)]
            octets = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
            yield fields[9], f"{ipaddress.ip_address(octets)}:{int(port, 16)}"


@dataclasses.dataclass
class Seen:
    """What a run showed to others than its naming client."""

    proxy: str  # its address:port
    circuits: list
    ends: set
    direct: int  # connections to the decoy
    log: bytes
    home: Path
    keeps: bool  # whether the source keeps files
    traces: list

    def owners(self, circuit):
        """The ids whose names a connection carried."""
        return {OWNERS[one.label] for one in self.traces if one.is_in(circuit.sent)}

    def told_by(self, octets):
        """The names and ids that can be found out from octets."""
        names = [one.label for one in self.traces if one.is_in(octets)]
        return names + [one for one in IDS if one.encode() in octets.lower()]


# Each of these gives what is wrong, and what it looked at. A check that had
# nothing to look at is wrong too.


def each_connection_has_credentials_of_its_own(seen):
    wrong = [one.objection for one in seen.circuits if one.objection]
    all_parts = [part for one in seen.circuits for part in (one.user, one.password)]
    wrong += [f"not 128 bits: {part}" for part in all_parts if not CREDENTIAL.fullmatch(part)]
    twice = len(all_parts) - len(set(all_parts))
    if twice:
        wrong.append(f"{twice} user names or passwords were there before")
    if len(seen.circuits) < len(IDS):
        wrong.append("fewer connections than ids")
    return wrong, f"{len(seen.circuits)} connections"


def no_connection_carries_names_of_two_ids(seen):
    owners = [seen.owners(circuit) for circuit in seen.circuits]
    wrong = [
        f"connection {number} to {seen.circuits[number].target} serves {' and '.join(sorted(ids))}"
        for number, ids in enumerate(owners)
        if len(ids) > 1
    ]
    carried = {one.label for one in seen.traces for at in seen.circuits if one.is_in(at.sent)}
    wrong += [f"no connection carries {label}" for label in LABELS if label not in carried]
    return wrong, ", ".join(f"{owners.count({one})} for {one}" for one in IDS)


def none_is_opened_directly(seen):
    wrong = [f"{kind} to {end}" for kind, end in seen.ends if (kind, end) != ("tcp", seen.proxy)]
    if seen.direct:
        wrong.append(f"{seen.direct} past the proxy")
    if not seen.ends:
        wrong.append("the sockets of the plugin could not be seen")
    return wrong, f"its sockets lead to {seen.proxy} only"


def host_names_are_passed_unresolved(seen):
    def kind(target):
        return IPV4 if target.startswith("127.") else HOST_NAME

    others = [one for one in seen.circuits if one.kind != kind(one.target)]
    wrong = {f"{one.target} with type {one.kind}" for one in others}
    targets = sorted({one.target for one in seen.circuits})
    if all(kind(target) == IPV4 for target in targets):
        wrong.add("no host name was passed")
    return sorted(wrong), ", ".join(targets)


def the_log_tells_no_name(seen):
    wrong = seen.told_by(seen.log)
    if not seen.log:
        wrong.append("nothing was logged")
    return wrong, f"{len(seen.log.splitlines())} lines"


def no_file_tells_a_name(seen):
    files = [path for path in seen.home.rglob("*") if path.is_file()]
    wrong = []
    for path in seen.home.rglob("*"):
        inside = str(path.relative_to(seen.home))
        octets = inside.encode() + b"\n" + (path.read_bytes() if path.is_file() else b"")
        wrong += [f"{told} in {inside}" for told in seen.told_by(octets)]
    if bool(files) != seen.keeps:
        wrong.append(f"{len(files)} files were kept")
    return wrong, f"{len(files)} files, {sum(path.stat().st_size for path in files)} octets"


CHECKS = [
    each_connection_has_credentials_of_its_own,
    no_connection_carries_names_of_two_ids,
    none_is_opened_directly,
    host_names_are_passed_unresolved,
    the_log_tells_no_name,
    no_file_tells_a_name,
]


def check(checks, running, proxy, decoy, txids, keeps):
    """Looks the names up, under both ids in turns, and tells of each check.
    `txids` has the transactions of the names; the state has to be new."""
    log = running.place / f"{checks.label}.stderr"
    with log.open("wb") as stderr:
        plugin = checks.start(running, stderr)
    watched = Sockets(plugin.process.pid)
    for group in GROUPS:
        checks.together(plugin, {label: OWNERS[label] for label in group}, ANSWERS)
    # Its sockets are gone after its end.
    watched.stop()
    plugin.close()
    seen = Seen(
        proxy=f"127.0.0.1:{proxy.port}",
        circuits=proxy.wait_until_closed(PATIENCE),
        ends=watched.ends,
        direct=decoy.count(),
        log=log.read_bytes(),
        home=checks.home,
        keeps=keeps,
        traces=[Trace(label, txids.get(label)) for label in LABELS],
    )
    for one in CHECKS:
        wrong, found = one(seen)
        checks.tell(one.__name__.replace("_", " "), not wrong, "; ".join(wrong) or found)
