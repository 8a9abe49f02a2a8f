"""Unsigned zones, the domain values that delegate to them, and what is answered."""

from e2e.dns_signing import Zone
from e2e.names import ONION, OTHER_ONION

# Where servers are: as host names, as addresses and as an onion service.
NSD_HOST, KNOT_HOST, BIND_HOST = "ns1.example.net", "ns2.example.net", "ns3.example.net"
NSD_IP, NSD_IP6, KNOT_IP = "203.0.113.53", "2001:db8::53", "203.0.113.54"
NSD_ONION = OTHER_ONION
# Two places that lead where a check has them lead.
CHANGING = ["ns.first.example.net", "ns.second.example.net"]
# Routes to servers that are wrong or not there are added by those who need them.
PLACES = {
    "nsd": (NSD_HOST, NSD_IP, NSD_IP6, NSD_ONION),
    "knot": (KNOT_HOST, KNOT_IP),
    "bind": (BIND_HOST,),
}

PLAIN = f"""\
@ A 192.0.2.1
www A 192.0.2.2
six AAAA 2001:db8::2
both A 192.0.2.3
both AAAA 2001:db8::3
inside CNAME www
chain CNAME inside
outside CNAME Www.Example.com.
to-value CNAME value.bit.
to-onion-value CNAME onion-value.bit.
to-onion-and-ip CNAME onion-and-ip.bit.
to-zone CNAME www.second.bit.
loop CNAME loop2
loop2 CNAME loop
two-zones CNAME two-zones.second.bit.
text TXT "no address"
empty.nonterminal A 192.0.2.4
mixed A 10.0.0.1
mixed A 192.0.2.5
internal A 10.0.0.1
internal A 127.0.0.1
internal A 169.254.1.1
internal6 AAAA ::1
internal6 AAAA fe80::1
internal6 AAAA ::ffff:10.0.0.1
_tor.onion TXT "{ONION}"
onion A 192.0.2.6
_tor.only-onion TXT "{ONION}"
cname-onion CNAME {ONION}.
cname-local CNAME localhost.
cname-exit CNAME www.example.com.relay.exit.
*.wild A 192.0.2.7
text.wild TXT "no address"
moved DNAME plain.bit.
glue NS ns.glue
ns.glue A 203.0.113.54
glue-beside NS ns-beside
ns-beside A 203.0.113.54
host NS ns2.example.net.
bit-server NS ns.servers.bit.
lame NS ns1.example.net.
nobody NS ns.nowhere.example.net.
"""
MANY_ADDRESSES = 200
PLAIN += "".join(f"many A 192.0.2.{n + 1}\n" for n in range(MANY_ADDRESSES))

SMALL = """\
@ A 192.0.2.10
www A 192.0.2.11
two-zones CNAME two-zones.plain.bit.
"""
SERVER_ZONE = f"@ A 192.0.2.15\nns A {NSD_IP}\n"
CHILD = f"""\
@ A 192.0.2.20
www A 192.0.2.21
_tor.onion TXT "{ONION}"
onion A 192.0.2.22
"""


def zones():
    """The zones, each with the name of its server."""
    children = ("glue", "glue-beside", "host", "bit-server")
    forms = (f"{name}.bit." for name in FORMS if not name.startswith("translate"))
    return [
        Zone("plain.bit.", PLAIN, "nsd"),
        Zone("second.bit.", SMALL, "nsd"),
        Zone("server-zone.bit.", SERVER_ZONE, "nsd"),
        *(Zone(f"{child}.plain.bit.", CHILD, "knot") for child in children),
        # The server refuses names of any other zone.
        Zone("bind.bit.", SMALL, "bind"),
        Zone("two-servers.bit.", SMALL, "nsd"),
        Zone("timed.bit.", SMALL, "nsd"),
        Zone("sub.level.bit.", SMALL, "nsd"),
        Zone("example.org.", "@ A 192.0.2.12\nwww A 192.0.2.13\n", "nsd"),
        *(Zone(origin, SMALL, "nsd") for origin in forms),
    ]


# The public forms of delegations. All have the same zone.
FORMS = {
    "string": {"ns": NSD_HOST},
    "array": {"ns": [NSD_HOST]},
    "dot": {"ns": [f"{NSD_HOST}."]},
    "relative": {"ns": "ns1", "map": {"ns1": {"ip": NSD_IP}}},
    "capitals": {"ns": [NSD_HOST.upper()]},
    "dns": {"dns": NSD_HOST, "ns": ["ns.nowhere.example.net"]},
    "empty-label": {"map": {"": {"ns": [NSD_HOST]}}},
    "glue": {"ns": "ns1.glue.bit", "map": {"ns1": {"ip": NSD_IP}}},
    "glue6": {"ns": ["ns1.glue6.bit."], "map": {"ns1": {"ip6": NSD_IP6}}},
    "address": {"map": {"": {"ns": [NSD_IP]}}},
    "address6": {"ns": [NSD_IP6]},
    "addresses-and-names": {"ns": ["10.0.0.1", NSD_IP, NSD_HOST]},
    "bit-server": {"ns": "ns.servers.bit"},
    "bit-onion-server": {"ns": "onion-server.bit"},
    "bit-host-server": {"ns": "host-server.bit"},
    "bit-zone-server": {"ns": "ns.server-zone.bit"},
    "onion-ns": {"ns": [NSD_ONION]},
    "import": {"import": "dd/servers"},
    "other-items": {"ns": [NSD_HOST], "ip": "192.0.2.99", "email": "nobody@example.com"},
}

VALUES = {
    "plain": {"ns": [f"{NSD_HOST}."]},
    "second": {"ns": [f"{NSD_HOST}."]},
    "bind": {"ns": [f"{BIND_HOST}."]},
    "two-servers": {"ns": [f"{host}." for host in CHANGING]},
    "timed": {"ns": [f"{NSD_HOST}."]},
    "level": {"ip": "192.0.2.14", "map": {"sub": {"ns": [f"{NSD_HOST}."]}}},
    "value": {"ip": "192.0.2.8"},
    "onion-value": {"map": {"_tor": {"txt": ONION}}},
    "onion-and-ip": {"ip": "192.0.2.9", "map": {"_tor": {"txt": ONION}}},
    "servers": {"map": {"ns": {"ip": NSD_IP}}},
    "onion-server": {"map": {"_tor": {"txt": NSD_ONION}}},
    "host-server": {"alias": f"{NSD_HOST}."},
    "server-zone": {"ns": [f"{NSD_HOST}."]},
    "translate": {"map": {"": {"translate": "example.org", "ns": [f"{NSD_HOST}."]}}},
    # Nobody may be asked for these.
    "ns-internal": {"ns": ["10.0.0.1", "127.0.0.1", "::1", "192.168.1.1"]},
    "ns-local": {"ns": ["localhost", "ns.local", "ns.example.exit"]},
    "ns-circle": {"ns": "ns.ns-circle.bit."},
    "ns-circle-a": {"ns": "ns.ns-circle-b.bit."},
    "ns-circle-b": {"ns": "ns.ns-circle-a.bit."},
    "ns-missing": {"ns": "ns.not-registered.bit."},
    "not-served": {"ns": [f"{NSD_HOST}."]},
    "unreachable": {"ns": ["ns.nowhere.example.net."]},
} | FORMS

# Members of the names file that are no names in .bit.
OTHER_VALUES = {"dd/servers": {"ns": [NSD_HOST]}}

# What is asked and what is answered: a status where there is no answer.
ANSWERS = {
    "a name with an address": ("www.plain.bit", "192.0.2.2"),
    "the zone itself": ("plain.bit", "192.0.2.1"),
    "capitals and a final dot": ("WWW.PlAiN.BiT.", "192.0.2.2"),
    "an IPv6 address only": ("six.plain.bit", "2001:db8::2"),
    "IPv4 before IPv6": ("both.plain.bit", "192.0.2.3"),
    "an alias inside the zone": ("inside.plain.bit", "192.0.2.2"),
    "an alias of an alias": ("chain.plain.bit", "192.0.2.2"),
    "an alias to a host name": ("outside.plain.bit", "www.example.com"),
    "an alias to a name with a value": ("to-value.plain.bit", "192.0.2.8"),
    "an alias to a name in another zone": ("to-zone.plain.bit", "192.0.2.11"),
    "an unsigned alias to an onion's name": ("to-onion-value.plain.bit", 3),
    "the address beside such an onion": ("to-onion-and-ip.plain.bit", "192.0.2.9"),
    "a loop of aliases": ("loop.plain.bit", 3),
    "a loop of aliases through two zones": ("two-zones.plain.bit", 3),
    "a name that does not exist": ("missing.plain.bit", 3),
    "a name without addresses": ("text.plain.bit", 3),
    "a name that only has names below it": ("nonterminal.plain.bit", 3),
    "a public address beside an internal one": ("mixed.plain.bit", "192.0.2.5"),
    "internal addresses": ("internal.plain.bit", 3),
    "internal IPv6 addresses": ("internal6.plain.bit", 3),
    "an unsigned onion beside an address": ("onion.plain.bit", "192.0.2.6"),
    "an unsigned onion": ("only-onion.plain.bit", 3),
    "an unsigned alias to an onion": ("cname-onion.plain.bit", 3),
    "an alias to localhost": ("cname-local.plain.bit", 3),
    "an alias into .exit": ("cname-exit.plain.bit", 3),
    "a wildcard": ("any.wild.plain.bit", "192.0.2.7"),
    "a name that hides a wildcard": ("text.wild.plain.bit", 3),
    "200 addresses": ("many.plain.bit", {f"192.0.2.{n + 1}" for n in range(MANY_ADDRESSES)}),
    "a DNAME": ("www.moved.plain.bit", "192.0.2.2"),
    "a zone of a subdomain": ("www.sub.level.bit", "192.0.2.11"),
    "BIND": ("www.bind.bit", "192.0.2.11"),
    "translate": ("www.translate.bit", "192.0.2.13"),
    "translate of the zone itself": ("translate.bit", "192.0.2.12"),
    "a referral with glue": ("www.glue.plain.bit", "192.0.2.21"),
    "a referral with glue beside the cut": ("www.glue-beside.plain.bit", "192.0.2.21"),
    "a referral to a host name": ("www.host.plain.bit", "192.0.2.21"),
    # The value alone names servers in .bit (spec/delegations.md).
    "a referral to a name in .bit": ("www.bit-server.plain.bit", 1),
    "an unsigned onion behind a referral": ("onion.host.plain.bit", "192.0.2.22"),
    "a referral to a server without the zone": ("www.lame.plain.bit", 1),
    "a referral to a server that is not there": ("www.nobody.plain.bit", (1, 4)),
    "a server without the zone": ("www.not-served.bit", 1),
    "a server that is not there": ("www.unreachable.bit", (1, 4)),
}
FORM_ANSWERS = {f"form: {name}": (f"www.{name}.bit", "192.0.2.11") for name in FORMS}
# Nobody is asked for these.
UNASKED = {
    "an unsigned onion, onions only": ("onion.plain.bit.onion", 3),
    "its parent, which has a value": ("level.bit", "192.0.2.14"),
    "name servers at internal addresses": ("www.ns-internal.bit", 3),
    "name servers that are no host names": ("www.ns-local.bit", 3),
    "a name server in its own zone without glue": ("www.ns-circle.bit", (1, 3)),
    "name servers in each other's zones": ("www.ns-circle-a.bit", (1, 3)),
    "a name server that is not registered": ("www.ns-missing.bit", (1, 3)),
}
