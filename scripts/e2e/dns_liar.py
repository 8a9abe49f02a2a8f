"""Servers that pass questions on to an honest one and forge what comes back, as
an exit of Tor can."""

import contextlib
import re
import socket
import threading

from e2e import dns_wire
from e2e.dns_wire import parse
from socks_log import clients

PATIENCE = 10


class Liar:
    """Forwards DNS over TCP; `forge` changes each reply, a `Message`. With `swap`,
    a pair of labels of one length, it asks for the second in place of the first,
    and puts the first into the reply."""

    def __init__(self, port, forge, swap=None):
        self.honest = port
        self.lies = 0  # replies that were changed
        self.forge = forge
        self.swap = swap
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        for client in clients(self.listener):
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        # Either side may go away at any time.
        with client, contextlib.suppress(OSError):
            server = socket.create_connection(("127.0.0.1", self.honest), PATIENCE)
            with server:
                while question := dns_wire.take_frame(client):
                    other, spelt = self._swapped(question)
                    server.sendall(dns_wire.framed(other))
                    reply = dns_wire.take_frame(server)
                    if not reply:
                        return
                    message = parse(self._restored(reply, spelt))
                    true = message.to_wire()
                    self.forge(message)
                    forged = message.to_wire()
                    self.lies += forged != true
                    client.sendall(dns_wire.framed(forged))

    def _swapped(self, question):
        """A question for the other label, and how the client spelt the first."""
        if not self.swap:
            return question, None
        pattern = re.compile(re.escape(_label(self.swap[0])), re.IGNORECASE)
        found = pattern.search(question)
        if not found:
            return question, None
        return question.replace(found[0], _label(self.swap[1])), found[0]

    def _restored(self, reply, spelt):
        if not spelt:
            return reply
        return re.sub(re.escape(_label(self.swap[1])), lambda _: spelt, reply, flags=re.IGNORECASE)

    def stop(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def _label(text):
    return bytes([len(text)]) + text.encode()


def nothing(reply):
    """Only a label is swapped."""


def strip_signatures(reply):
    """As if the zone was not signed."""
    for section in (reply.answers, reply.authorities):
        section[:] = [
            record
            for record in section
            if record.kind not in (dns_wire.RRSIG, dns_wire.NSEC, dns_wire.NSEC3, dns_wire.DNSKEY)
        ]


def change_addresses(reply):
    for record in reply.answers:
        if record.kind == dns_wire.A:
            record.data = bytes([203, 0, 113, 66])


def change_texts(reply, onion):
    for record in reply.answers:
        if record.kind == dns_wire.TXT:
            record.data = _label(onion)


def add_address(reply):
    """Beside the address that is signed."""
    addresses = [record for record in reply.answers if record.kind == dns_wire.A]
    for record in addresses[:1]:
        data = bytes([203, 0, 113, 66])
        reply.answers.insert(0, dns_wire.Record(record.name, dns_wire.A, 1, record.ttl, data))


def deny_with(code):
    """Nothing is there, and nothing proves it."""

    def deny(reply):
        if reply.kind != dns_wire.DNSKEY:
            reply.code = code
            reply.answers.clear()
            reply.authorities[:] = [
                record for record in reply.authorities if record.kind == dns_wire.SOA
            ]

    return deny


def strip_delegation_signer(reply):
    """As if the child was not signed."""
    kept = [one for one in reply.authorities if one.kind not in (dns_wire.DS, dns_wire.RRSIG)]
    if any(record.kind == dns_wire.DS for record in reply.authorities):
        reply.authorities[:] = kept


def drop_keys(reply):
    if reply.kind == dns_wire.DNSKEY:
        reply.answers.clear()
