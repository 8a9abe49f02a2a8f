"""Zones, their keys and their signatures by ldns."""

import base64
import dataclasses
import subprocess

from e2e import CannotStart
from e2e.dns_servers import program

# Names of the algorithms for ldns, by number.
ALGORITHMS = {8: "RSASHA256", 13: "ECDSAP256SHA256", 14: "ECDSAP384SHA384", 15: "ED25519"}
RSA_BITS = "2048"


@dataclasses.dataclass
class Signing:
    """How a zone is signed."""

    algorithm: int
    nsec3: bool = False
    opt_out: bool = False
    # One key for everything, or key signing keys beside a zone signing key.
    single_key: bool = False
    key_signing_keys: int = 1
    # More keys with another algorithm.
    other_algorithm: int | None = None
    # Times of ldns-signzone; the ordinary ones if None.
    begin: str | None = None
    end: str | None = None


class Zone:
    """A zone, on a server that signs it, or signed by ldns before if the server
    is none that signs."""

    def __init__(self, origin, records, server, signing=None, is_signed_by_server=False):
        self.origin = origin
        self.server = server
        self.signing = signing
        self.is_signed_by_server = is_signed_by_server
        self.text = f"$ORIGIN {origin}\n$TTL 600\n{HEAD}{records}"
        # The text of the DS records of its keys.
        self.ds = []

    def items(self, *which):
        """The item `ds` of a domain value for the records of these numbers, or all."""
        chosen = [self.ds[number] for number in which] or self.ds
        return [_item(ds) for ds in chosen]

    def delegation(self, label):
        """The DS records in the parent zone."""
        return "".join(f"{label} DS {ds}\n" for ds in self.ds)


HEAD = """\
@ SOA ns.invalid. nobody.invalid. 1 3600 600 864000 60
@ NS ns1.example.net.
"""


def _item(ds):
    """A DS record as domain values have it."""
    tag, algorithm, digest, *hexadecimal = ds.split()
    digits = bytes.fromhex("".join(hexadecimal))
    return [int(tag), int(algorithm), int(digest), base64.b64encode(digits).decode()]


def make_keys(zone, folder):
    """Makes the keys of a zone that ldns signs."""
    signing = zone.signing
    zone.keys = []
    for algorithm in filter(None, (signing.algorithm, signing.other_algorithm)):
        for _ in range(signing.key_signing_keys):
            key = _ldns(folder, "keygen", *_kind(algorithm), "-k", zone.origin)
            zone.keys.append(key)
            zone.ds.append((folder / f"{key}.ds").read_text().split("\tDS\t")[1].strip())
        if not signing.single_key:
            zone.keys.append(_ldns(folder, "keygen", *_kind(algorithm), zone.origin))
    return zone


def _kind(algorithm):
    return ["-a", ALGORITHMS[algorithm], "-b", RSA_BITS]


def sign(zone, folder):
    """Signs a zone that has its keys."""
    signing = zone.signing
    file = folder / f"{zone.origin}unsigned"
    file.write_text(zone.text)
    options = ["-o", zone.origin, "-f", "-"]
    if signing.nsec3:
        options += ["-n", "-t", "0", *(["-p"] if signing.opt_out else [])]
    if signing.begin:
        options += ["-i", signing.begin]
    if signing.end:
        options += ["-e", signing.end]
    if signing.other_algorithm:
        options += ["-U"]
    zone.text = _ldns(folder, "signzone", *options, file.name, *zone.keys) + "\n"
    return zone


def _ldns(folder, command, *arguments):
    words = [program(f"ldns-{command}"), *arguments]
    result = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    if result.returncode != 0:
        raise CannotStart(f"ldns-{command}: {result.stderr}")
    return result.stdout.strip()
