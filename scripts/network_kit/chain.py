"""Namecoin chains as an Electrum server sees them, made without a node."""

import dataclasses
import hashlib
import itertools
import random
import struct
import time

# The hour that the newest block of a main chain is ahead of the clock. A header
# may be up to two hours ahead; until then no later block is missed.
AHEAD = 3600
SPACING = 600
HEADER = 80
# The easiest bits of either network, and the version of a block without AuxPoW.
EASIEST, REGTEST_BITS = 0x1D00FFFF, 0x207FFFFF
CHAIN_ID, VERSION, HAS_AUXPOW = 1 << 16, 4, 0x100
NAMECOIN_TRANSACTION = 0x7100
# A header with its AuxPoW is to be as large as on the main network.
USUAL_LENGTH = 2000
VALUE = b'{"ip":"192.0.2.1"}'
ADDRESS = "192.0.2.1"


def hashed(octets):
    return hashlib.sha256(hashlib.sha256(octets).digest()).digest()


def shown(octets):
    """A hash as it is written: its bytes reversed, in hexadecimal."""
    return octets[::-1].hex()


def push(octets):
    """A push of at most 75 bytes."""
    return bytes([len(octets)]) + octets


def genesis(root, at, bits, nonce):
    return struct.pack("<I32s32sIII", 1, bytes(32), bytes.fromhex(root)[::-1], at, bits, nonce)


MAINNET_GENESIS = genesis(
    "41c62dbd9068c89a449525e3cd5ac61b20ece28c3c38b3f35b2161f0e6d3cb0d",
    1303000001,
    0x1C007FFF,
    0xA21EA192,
)
REGTEST_GENESIS = genesis(
    "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b",
    1296688602,
    REGTEST_BITS,
    2,
)


@dataclasses.dataclass
class Operation:
    """A transaction with a name, which is all that its block holds."""

    raw: bytes
    height: int

    def txid(self):
        return hashed(self.raw)


def transaction(script):
    """With an input that spends nothing that exists; nobody looks."""
    source = random.randbytes(32) + struct.pack("<I", 0) + push(b"") + b"\xff" * 4
    output = struct.pack("<Q", 1_000_000) + push(script)
    parts = [struct.pack("<I", NAMECOIN_TRANSACTION), b"\1", source, b"\1", output, bytes(4)]
    return b"".join(parts)


def registration(name, height):
    script = [b"\x52", push(name), push(random.randbytes(4)), push(VALUE), b"\x6d\x6d"]
    return Operation(transaction(b"".join(script) + b"\x51"), height)


def script_hash(name):
    """What a server finds a name's operations by."""
    script = b"\x53" + push(name) + b"\0\x6d\x75\x6a"
    return hashlib.sha256(script).digest()[::-1].hex()


class Chain:
    """Headers from the genesis on, each with its AuxPoW if it has one, and names
    by their script hash."""

    def __init__(self, first):
        self.headers = [first]
        self.tip_hash = hashed(first)
        self.names = {}
        self.transactions = {}

    @property
    def tip(self):
        return len(self.headers) - 1

    def checkpoint(self):
        return f"{self.tip}:{shown(self.tip_hash)}"

    def genesis(self):
        return shown(hashed(self.headers[0]))

    def add(self, header, auxpow=b""):
        self.headers.append(header + auxpow)
        self.tip_hash = hashed(header)

    def register(self, name):
        """The merkle root of a block whose only transaction registers a name."""
        operation = registration(name, self.tip + 1)
        self.names[script_hash(name)] = operation
        self.transactions[shown(operation.txid())] = operation
        return operation.txid()


def unmined(blocks, names):
    """A chain of the main network that took no work: whoever starts from its
    newest block (--checkpoint) proves those below it by their links alone. The
    names d/n0, d/n1 and so on have the usual confirmations and more."""
    assert blocks > names + 20, "the names need blocks"
    chain = Chain(MAINNET_GENESIS)
    newest = int(time.time()) + AHEAD
    first = blocks - names - 15
    for height in range(1, blocks + 1):
        number = height - first
        is_named = 0 <= number < names
        root = chain.register(b"d/n%d" % number) if is_named else random.randbytes(32)
        at = newest - (blocks - height) * SPACING
        fields = (CHAIN_ID | VERSION, chain.tip_hash, root, at, EASIEST, height)
        chain.add(struct.pack("<I32s32sIII", *fields))
    return chain


def mined(blocks):
    """A chain of regtest whose blocks are merged mined, with proofs as large as
    those of the main network."""
    chain = Chain(REGTEST_GENESIS)
    newest = int(time.time())
    for height in range(1, blocks + 1):
        at = newest - (blocks - height) * SPACING
        version = CHAIN_ID | HAS_AUXPOW | VERSION
        fields = (version, chain.tip_hash, random.randbytes(32), at, REGTEST_BITS, 0)
        header = struct.pack("<I32s32sIII", *fields)
        chain.add(header, auxpow(hashed(header), at))
    return chain


def auxpow(block, at):
    """A parent's coinbase that names the block, and the parent, which has the
    work. Both branches are empty: the coinbase is all that its block holds, and
    the block all that the parent is mined for."""
    script = b"\xfa\xbe\x6d\x6d" + block[::-1] + struct.pack("<II", 1, 0)
    source = bytes(32) + b"\xff" * 4 + push(script) + b"\xff" * 4
    filling = USUAL_LENGTH - HEADER - 270
    output = struct.pack("<Q", 0) + b"\xfd" + struct.pack("<H", filling) + bytes(filling)
    coinbase = struct.pack("<I", 1) + b"\1" + source + b"\1" + output + bytes(4)
    root = hashed(coinbase)
    for nonce in itertools.count():
        parent = struct.pack("<I32s32sIII", 0x20000000, bytes(32), root, at, REGTEST_BITS, nonce)
        # Below the target of the bits, whose first byte is 7f.
        if hashed(parent)[-1] < 0x7F:
            no_branch = b"\0" + bytes(4)
            return coinbase + bytes(32) + no_branch + no_branch + parent
