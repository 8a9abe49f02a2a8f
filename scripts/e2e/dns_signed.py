"""Signed zones, the domain values that delegate to them, and what is answered."""

from e2e import dns_signing
from e2e.dns_signing import Signing, Zone
from e2e.dns_unsigned import BIND_HOST, KNOT_HOST, NSD_HOST
from e2e.names import ONION, OTHER_ONION

LIARS = ["ns.liar.example.net", "ns.other-liar.example.net"]
HOSTS = {"nsd": NSD_HOST, "knot": KNOT_HOST, "bind": BIND_HOST}
EXPIRED = {"begin": "20200101", "end": "20200201"}
NOT_YET = {"begin": "20700101", "end": "20700201"}

RECORDS = f"""\
@ A 192.0.2.31
www A 192.0.2.32
six AAAA 2001:db8::32
inside CNAME www
chain CNAME inside
outside CNAME www.example.com.
_tor.onion TXT "{ONION}"
onion A 192.0.2.33
cname-onion CNAME sub.{ONION}.
to-onion-value CNAME onion-value.bit.
bad-onion A 192.0.2.34
_tor.bad-onion TXT "expyuzz4wqqyqhjn.onion"
internal A 10.0.0.1
internal AAAA ::1
text TXT "no address"
empty.nonterminal A 192.0.2.35
*.wild A 192.0.2.36
text.wild TXT "no address"
named.wild A 192.0.2.37
*.onions TXT "{OTHER_ONION}"
*.aliases CNAME www
target A 192.0.2.38
below.target A 192.0.2.39
moved DNAME target
"""
# The questions to each zone: what they are about, the label and the answer.
BY_WILDCARD = "_tor by wildcard"
QUESTIONS = [
    ("apex", "", "192.0.2.31"),
    ("A", "www.", "192.0.2.32"),
    ("AAAA", "six.", "2001:db8::32"),
    ("CNAME", "inside.", "192.0.2.32"),
    ("CNAME of a CNAME", "chain.", "192.0.2.32"),
    ("CNAME out", "outside.", "www.example.com"),
    ("_tor", "onion.", ONION),
    ("CNAME to an onion", "cname-onion.", f"sub.{ONION}"),
    ("CNAME to an onion's name", "to-onion-value.", ONION),
    ("an onion that is none", "bad-onion.", "192.0.2.34"),
    ("internal", "internal.", 3),
    ("NXDOMAIN", "missing.", 3),
    ("NXDOMAIN below a name", "missing.www.", 3),
    ("NODATA", "text.", 3),
    ("empty non-terminal", "nonterminal.", 3),
    ("wildcard", "any.wild.", "192.0.2.36"),
    ("wildcard of two labels", "one.any.wild.", "192.0.2.36"),
    ("closer name without address", "text.wild.", 3),
    ("below the closer name", "any.text.wild.", 3),
    ("closer name", "named.wild.", "192.0.2.37"),
    (BY_WILDCARD, "any.onions.", OTHER_ONION),
    ("CNAME by wildcard", "any.aliases.", "192.0.2.32"),
    ("DNAME", "below.moved.", "192.0.2.39"),
]
CHILD_QUESTIONS = [
    ("secure child", "www.secure.", "192.0.2.41"),
    ("secure child's onion", "onion.secure.", ONION),
    ("secure child NXDOMAIN", "missing.secure.", 3),
    ("insecure child", "www.insecure.", "192.0.2.41"),
    ("insecure child's onion", "onion.insecure.", "192.0.2.42"),
    ("insecure child NXDOMAIN", "missing.insecure.", 3),
]
CHILD = f"""\
@ A 192.0.2.40
www A 192.0.2.41
_tor.onion TXT "{ONION}"
onion A 192.0.2.42
"""

# The label of each zone, its server, how it is signed, and the server of its children.
MATRIX = [
    ("rsa", "nsd", Signing(8), "knot"),
    ("rsa-nsec3", "knot", Signing(8, nsec3=True), "nsd"),
    ("p256", "knot", Signing(13, single_key=True), "nsd"),
    ("p256-nsec3", "nsd", Signing(13, nsec3=True), "knot"),
    ("p384", "nsd", Signing(14, single_key=True), "knot"),
    ("p384-nsec3", "knot", Signing(14, nsec3=True), "nsd"),
    ("ed25519", "knot", Signing(15), "nsd"),
    ("ed25519-nsec3", "nsd", Signing(15, nsec3=True, single_key=True), "bind"),
    ("bind", "bind", Signing(13, single_key=True), "nsd"),
    ("opt-out-ldns", "nsd", Signing(13, nsec3=True, opt_out=True), "knot"),
    ("opt-out-knot", "knot", Signing(13, nsec3=True, opt_out=True), "nsd"),
    ("opt-out-bind", "bind", Signing(13, nsec3=True, opt_out=True), "nsd"),
    # Parent and child at one server, which answers from the child at once.
    ("together-nsd", "nsd", Signing(13), "nsd"),
    ("together-knot", "knot", Signing(13, nsec3=True), "knot"),
    ("together-bind", "bind", Signing(13), "bind"),
]


def matrix(folder):
    """The zones of the matrix with their children."""
    zones = []
    for label, server, signing, child_server in MATRIX:
        origin = f"signed-{label}.bit."
        host = HOSTS[child_server]
        insecure = Zone(f"insecure.{origin}", CHILD, child_server)
        secure = Zone(f"secure.{origin}", CHILD, child_server, Signing(13, single_key=True))
        dns_signing.sign(dns_signing.make_keys(secure, folder), folder)
        records = RECORDS + f"insecure NS {host}.\nsecure NS {host}.\n"
        records += secure.delegation("secure")
        zone = Zone(origin, records, server, signing, is_signed_by_server=server != "nsd")
        if not zone.is_signed_by_server:
            dns_signing.sign(dns_signing.make_keys(zone, folder), folder)
        zones += [zone, insecure, secure]
    return zones


def questions(signing):
    """The questions to a zone of the matrix."""
    asked = QUESTIONS + CHILD_QUESTIONS
    if not signing.opt_out:
        return asked
    # Where NSEC3 opts out, nothing proves that an insecure delegation does not take
    # precedence over a wildcard (RFC 5155, section 9.2): its answers count as unsigned.
    return [(title, label, 3 if title == BY_WILDCARD else answer) for title, label, answer in asked]


def special(folder):
    """Zones that are signed in other ways, by their labels."""
    ways = {
        "rollover-old": Signing(13, key_signing_keys=2),
        "rollover-new": Signing(8, key_signing_keys=2),
        "two-algorithms": Signing(8, other_algorithm=13),
        "expired": Signing(13, **EXPIRED),
        "not-yet": Signing(15, **NOT_YET),
        "wrong-ds": Signing(13),
        "lied": Signing(13),
        "translated": Signing(13),
    }
    zones = {}
    for label, signing in ways.items():
        origin = "signed.example.org." if label == "translated" else f"{label}.bit."
        records = RECORDS
        if label == "lied":
            # Its parent says that it is signed.
            child = Zone("secure.lied.bit.", CHILD, "knot", Signing(13))
            zones["lied-child"] = dns_signing.make_keys(child, folder)
            records += f"secure NS {KNOT_HOST}.\n{child.delegation('secure')}"
        zone = Zone(origin, records, "nsd", signing)
        zones[label] = dns_signing.sign(dns_signing.make_keys(zone, folder), folder)
    zones["online-rollover"] = Zone(
        "online-rollover.bit.", RECORDS, "knot", Signing(13, key_signing_keys=2), True
    )
    zones["unsigned"] = Zone("unsigned.bit.", RECORDS, "nsd")
    return zones


def matrix_values(zones):
    return {
        zone.origin.removesuffix(".bit."): {"ns": [f"{HOSTS[zone.server]}."], "ds": zone.items()}
        for zone in zones
        if zone.origin.count(".") == 2
    }


def special_values(zones):
    nsd = {"ns": [f"{NSD_HOST}."]}
    items = {label: zone.items() for label, zone in zones.items()}
    wrong = items["translated"]
    return {
        # One of two keys, in place and to come.
        "rollover-old": nsd | {"ds": zones["rollover-old"].items(0)},
        "rollover-new": nsd | {"ds": zones["rollover-new"].items(1)},
        "online-rollover": {"ns": [f"{KNOT_HOST}."], "ds": zones["online-rollover"].items(1)},
        # A key that is not in the zone yet beside the one that is.
        "two-algorithms": nsd | {"ds": wrong + zones["two-algorithms"].items(1)},
        "expired": nsd | {"ds": items["expired"]},
        "not-yet": nsd | {"ds": items["not-yet"]},
        "wrong-ds": nsd | {"ds": wrong},
        "unsigned": nsd | {"ds": wrong},
        "lied": {"ns": [f"{liar}." for liar in LIARS], "ds": items["lied"]},
        "translated": {
            "map": {"": {"translate": "signed.example.org", "ds": items["translated"]} | nsd}
        },
    }


ANSWERS = {
    "a value that names the older key": ("www.rollover-old.bit", "192.0.2.32"),
    "a value that names the newer key": ("onion.rollover-new.bit", ONION),
    "the newer key, signed by the server": ("onion.online-rollover.bit", ONION),
    "two algorithms and another zone's key": ("onion.two-algorithms.bit", ONION),
    "signatures that are over": ("www.expired.bit", 1),
    "an onion whose signature is over": ("onion.expired.bit", 1),
    "a denial whose signatures are over": ("missing.expired.bit", 1),
    "signatures that have not begun": ("www.not-yet.bit", 1),
    "the key of another zone": ("www.wrong-ds.bit", 1),
    "a denial under the key of another zone": ("missing.wrong-ds.bit", 1),
    "an unsigned zone with ds": ("www.unsigned.bit", 1),
    "a denial of an unsigned zone with ds": ("missing.unsigned.bit", 1),
    "a signed zone by translate": ("onion.translated.bit", ONION),
}
