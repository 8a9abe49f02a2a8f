"""Applications that use Tor: over SOCKS 4a and 5, HTTP CONNECT and DNS."""

import base64
import ipaddress
import secrets
import socket
import struct

PATIENCE = 10
CONNECT, RESOLVE, RESOLVE_PTR = 1, 0xF0, 0xF1
PORT = 80
# Types of DNS records.
A, PTR, AAAA = 1, 12, 28


class Connection:
    """A request to tor that has been sent, for a name."""

    def __init__(self, address, name, source=None):
        """`address` is a port, host and port, or the path of a unix socket;
        `source` a host to connect from."""
        if isinstance(address, int):
            address = ("127.0.0.1", address)
        self.name = name
        if isinstance(address, tuple):
            origin = (source, 0) if source else None
            self.socket = socket.create_connection(address, PATIENCE, origin)
            self.port = self.socket.getsockname()[1]
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(PATIENCE)
            self.socket.connect(str(address))
            self.port = 0

    def has_reply(self):
        """Whether tor has answered already."""
        self.socket.setblocking(False)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
            return True
        except BlockingIOError:
            return False
        finally:
            self.socket.settimeout(PATIENCE)

    def receive(self, count):
        received = b""
        while len(received) < count:
            more = self.socket.recv(count - len(received))
            if not more:
                raise ConnectionError("tor closed the connection")
            received += more
        return received

    def close(self):
        self.socket.close()


class Socks(Connection):
    """`user` and `password` are both given, or neither."""

    def __init__(
        self,
        address,
        name,
        user=None,
        password=None,
        command=CONNECT,
        target_port=PORT,
        source=None,
    ):
        super().__init__(address, name, source)
        method = 0 if user is None else 2
        self.socket.sendall(bytes([5, 1, method]))
        if self.receive(2) != bytes([5, method]):
            raise ConnectionError("tor refuses the SOCKS method")
        if user is not None:
            self.socket.sendall(b"\x01" + _counted(user) + _counted(password))
            if self.receive(2) != b"\x01\x00":
                raise ConnectionError("tor refuses the SOCKS user")
        request = bytes([5, command, 0, 3]) + _counted(name) + struct.pack(">H", target_port)
        self.socket.sendall(request)

    def reply(self):
        """(SOCKS status, address)"""
        _, status, _, kind = self.receive(4)
        address = self.receive(16 if kind == 4 else 4)
        self.receive(2)
        return status, str(ipaddress.ip_address(address))

    def status(self):
        return self.reply()[0]


class Socks4(Connection):
    """SOCKS 4a."""

    def __init__(self, address, name, user="", target_port=PORT):
        super().__init__(address, name)
        head = bytes([4, CONNECT]) + struct.pack(">H", target_port) + bytes([0, 0, 0, 1])
        self.socket.sendall(head + f"{user}\0{name}\0".encode())

    def status(self):
        return self.receive(8)[1]


class HttpConnect(Connection):
    def __init__(self, address, name, user=None, password="", isolation=None, target_port=PORT):
        super().__init__(address, name)
        lines = [f"CONNECT {name}:{target_port} HTTP/1.1"]
        if user is not None:
            credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
            lines.append(f"Proxy-Authorization: Basic {credentials}")
        if isolation is not None:
            lines.append(f"X-Tor-Stream-Isolation: {isolation}")
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())

    def status(self):
        return int(self.receive(12)[9:])


def query_dns(port, name, kind=A, source="127.0.0.1", patience=PATIENCE):
    """(response code, addresses) of a query for records of a type."""
    query_id = secrets.token_bytes(2)
    labels = b"".join(_counted(label) for label in name.split("."))
    question = labels + b"\x00" + struct.pack(">HH", kind, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(patience)
        client.bind((source, 0))
        client.connect(("127.0.0.1", port))
        client.send(query_id + struct.pack(">HHHHH", 0x0100, 1, 0, 0, 0) + question)
        answer = client.recv(4096)
    if answer[:2] != query_id:
        raise ConnectionError("an answer to another question")
    flags, _, answers = struct.unpack(">HHH", answer[2:8])
    records = answer[12 + len(question) :]
    addresses = []
    for _ in range(answers):
        # Tor names the address that the stream was redirected to as the owner.
        records = _after_name(records)
        length = struct.unpack(">H", records[8:10])[0]
        addresses.append(str(ipaddress.ip_address(records[10 : 10 + length])))
        records = records[10 + length :]
    return flags & 0x0F, addresses


def _after_name(data):
    while data[0]:
        if data[0] & 0xC0:  # A pointer, which ends a name.
            return data[2:]
        data = data[1 + data[0] :]
    return data[1:]


def _counted(text):
    data = text.encode()
    return bytes([len(data)]) + data
