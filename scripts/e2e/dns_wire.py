"""DNS messages on the wire (RFC 1035), as far as the checks of delegated names
need to read and change them."""

import contextlib
import dataclasses
import socket

A, NS, CNAME, SOA, TXT, AAAA, DNAME = 1, 2, 5, 6, 16, 28, 39
OPT, DS, RRSIG, NSEC, DNSKEY, NSEC3 = 41, 43, 46, 47, 48, 50
NO_ERROR, NO_NAME = 0, 3
AUTHORITATIVE, TRUNCATED = 0x0400, 0x0200
DNSSEC_OK = 0x8000
# Options of EDNS: RFC 7871, RFC 7873 and RFC 7830.
CLIENT_SUBNET, COOKIE, PADDING = 8, 10, 12
# Types whose data is a name; others that hold compressed names are not changed here.
NAME_ONLY = (NS, CNAME, DNAME)


@dataclasses.dataclass
class Record:
    name: bytes  # as it is on the wire, uncompressed
    kind: int
    dns_class: int
    ttl: int
    data: bytes  # names in it uncompressed

    def to_wire(self):
        head = self.kind.to_bytes(2) + self.dns_class.to_bytes(2) + self.ttl.to_bytes(4)
        return self.name + head + len(self.data).to_bytes(2) + self.data


@dataclasses.dataclass
class Message:
    id: int
    flags: int
    questions: list  # (name on the wire, type)
    answers: list
    authorities: list
    additionals: list

    @property
    def code(self):
        return self.flags & 15

    @code.setter
    def code(self, code):
        self.flags = self.flags & ~15 | code

    @property
    def name(self):
        """The queried name as text, as the client spelt it."""
        return text(self.questions[0][0])

    @property
    def kind(self):
        return self.questions[0][1]

    def opt(self):
        return next((record for record in self.additionals if record.kind == OPT), None)

    def options(self):
        """The codes of the EDNS options."""
        opt, codes, at = self.opt(), [], 0
        while opt and at < len(opt.data):
            codes.append(int.from_bytes(opt.data[at : at + 2]))
            at += 4 + int.from_bytes(opt.data[at + 2 : at + 4])
        return codes

    def to_wire(self):
        """Without compression, so that records can be added and removed."""
        sections = (self.answers, self.authorities, self.additionals)
        counts = [len(self.questions), *map(len, sections)]
        head = b"".join(number.to_bytes(2) for number in (self.id, self.flags, *counts))
        asked = b"".join(name + kind.to_bytes(2) + b"\0\1" for name, kind in self.questions)
        return head + asked + b"".join(one.to_wire() for part in sections for one in part)


def parse(wire):
    numbers = [int.from_bytes(wire[at : at + 2]) for at in range(0, 12, 2)]
    at, questions, sections = 12, [], []
    for _ in range(numbers[2]):
        name, at = _name(wire, at)
        questions.append((name, int.from_bytes(wire[at : at + 2])))
        at += 4
    for count in numbers[3:6]:
        records = []
        for _ in range(count):
            record, at = _record(wire, at)
            records.append(record)
        sections.append(records)
    return Message(*numbers[:2], questions, *sections)


def _record(wire, at):
    name, at = _name(wire, at)
    kind = int.from_bytes(wire[at : at + 2])
    dns_class = int.from_bytes(wire[at + 2 : at + 4])
    ttl = int.from_bytes(wire[at + 4 : at + 8])
    end = at + 10 + int.from_bytes(wire[at + 8 : at + 10])
    at += 10
    if kind in NAME_ONLY:
        data = _name(wire, at)[0]
    elif kind == SOA:
        server, after = _name(wire, at)
        person, after = _name(wire, after)
        data = server + person + wire[after:end]
    else:
        data = wire[at:end]
    return Record(name, kind, dns_class, ttl, data), end


def _name(wire, at):
    """The uncompressed name at an offset, and the offset after it."""
    name, end = b"", None
    while length := wire[at]:
        if length >= 0xC0:
            end = end or at + 2
            at = int.from_bytes(wire[at : at + 2]) & 0x3FFF
            continue
        name += wire[at : at + 1 + length]
        at += 1 + length
    return name + b"\0", end or at + 1


def text(name):
    """A name on the wire as text with a final dot."""
    labels, at = [], 0
    while name[at]:
        labels.append(name[at + 1 : at + 1 + name[at]].decode("latin-1"))
        at += 1 + name[at]
    return ".".join(labels) + "."


def wire(name):
    labels = [label.encode() for label in name.rstrip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def query(name, kind, number=1):
    opt = Record(b"\0", OPT, 4096, DNSSEC_OK, b"")
    return Message(number, 0, [(wire(name), kind)], [], [], [opt])


def framed(message):
    return len(message).to_bytes(2) + message


def take_frame(connection):
    """The next message of a connection over TCP; None at its end."""
    length = _take(connection, 2)
    return length and _take(connection, int.from_bytes(length))


def _take(connection, count):
    taken = b""
    while len(taken) < count:
        more = connection.recv(count - len(taken))
        if not more:
            return None
        taken += more
    return taken


def frames(stream):
    """The whole messages in what was sent over one connection."""
    messages = []
    while len(stream) >= 2:
        end = 2 + int.from_bytes(stream[:2])
        if len(stream) < end:
            break
        messages.append(bytes(stream[2:end]))
        stream = stream[end:]
    return messages


def ask(port, name, kind, patience=2):
    """The reply of a server on the loopback interface over TCP, None if there is none."""
    with contextlib.suppress(OSError):
        with socket.create_connection(("127.0.0.1", port), patience) as connection:
            connection.sendall(framed(query(name, kind).to_wire()))
            reply = take_frame(connection)
            return parse(reply) if reply else None
    return None
