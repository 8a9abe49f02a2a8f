"""The names of the run and their values."""

import json

ONION = "7fa6xlti5joarlmkuhjaifa47ukgcwz6tfndgax45ocyn4rixm632jid.onion"
OTHER_ONION = "dhflg7a7etr77hwt4eerwoovhg7b5bivt2jem4366dt4psgnl5diyiyd.onion"

# What tor refuses to connect to. Were it answered, StemNS would stop working.
INTERNAL = [
    *("0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.1.1", "172.16.0.1"),
    *("192.168.1.1", "::", "::1", "fc00::1", "fe80::1", "fec0::1", "::ffff:10.0.0.1"),
]
INTERNAL_HOSTS = ["localhost", "local", "foo.local"]
# Not a point of the curve, of low order, the sum of a good point and one of
# order 8. The checksums are right, so that nothing but the key can be what tor
# refuses.
BAD_KEYS = [
    "aiaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab3did.onion",
    "aeaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaahmjqd.onion",
    "2y6acirri5kb35hbob3d5hrhrcul6wlr6uvjhrmctw7g6x7wxou6uwqd.onion",
]
# The identity in an encoding that is not canonical: this tor accepts it, but
# nobody can have that key, so the plugin must not answer it either.
NOT_CANONICAL = "537777777777777777777777777777777777777777777777757vndid.onion"
# And a wrong checksum, an old version.
BAD_ONIONS = BAD_KEYS + [ONION.replace("7f", "7g", 1), "expyuzz4wqqyqhjn.onion"]
REFUSED_BY_TOR = INTERNAL + INTERNAL_HOSTS + BAD_ONIONS

MANY = 40


def at_tor(text):
    return {"map": {"_tor": {"txt": text}}}


def addresses(*given):
    kind = "ip6" if ":" in given[0] else "ip"
    return {kind: list(given)}


ORDINARY = {
    "onion": {"ip": "192.0.2.3", "map": {"_tor": {"txt": ONION}, "www": {"alias": "@"}}},
    "tor-item": {"tor": OTHER_ONION, "ip": "192.0.2.3"},
    "ip": {"ip": "192.0.2.1"},
    "ip6": {"ip6": "2001:db8::1"},
    "host": {"alias": "www.example.com."},
    "alias": {"alias": "ip.bit."},
    "alias-to-onion": {"alias": "onion.bit."},
    "text": "for sale",
}

# Nothing in these may reach tor, so that they have no answer.
HOSTILE = (
    {f"internal{n}": addresses(address) for n, address in enumerate(INTERNAL)}
    | {f"host{n}": {"alias": f"{host}."} for n, host in enumerate(INTERNAL_HOSTS)}
    | {f"onion{n}": at_tor(onion) for n, onion in enumerate([*BAD_ONIONS, NOT_CANONICAL])}
    | {
        "two-lines": at_tor(f"x\nRESOLVED 1 0 {ONION}\n.onion"),
        "two-words": at_tor(f"{ONION} 192.0.2.66"),
        "url": at_tor(f"http://{ONION}/"),
        "port": at_tor(f"{ONION}:80"),
        "exit": {"alias": "www.example.com.relay.exit."},
        "loop": {"alias": "loop.bit."},
        "empty": at_tor(""),
    }
)
# These have a good answer beside the hostile one.
HALF_HOSTILE = {
    "half-internal": {"ip": ["10.0.0.1", "127.0.0.1", "192.0.2.8"]},
    "half-internal6": {"ip": "192.168.1.1", "ip6": "2001:db8::8"},
    "half-onion": at_tor(BAD_ONIONS[0]) | {"ip": "192.0.2.9"},
    "half-onions": {"map": {"_tor": {"txt": [BAD_ONIONS[0], ONION]}}},
}
HALF_HOSTILE_ANSWERS = {
    "half-internal": "192.0.2.8",
    "half-internal6": "2001:db8::8",
    "half-onion": "192.0.2.9",
    "half-onions": ONION,
}


def many():
    """Names whose answers differ, every second one an onion service."""
    return {
        name: at_tor(answer) if answer.endswith(".onion") else {"ip": answer}
        for name, answer in many_answers().items()
    }


def many_answers():
    return {f"many{n}": f"s{n}.{ONION}" if n % 2 else f"192.0.2.{n + 100}" for n in range(MANY)}


def in_chain(names):
    """As a names file has them: each value is text."""
    return {
        f"d/{name}": value if isinstance(value, str) else json.dumps(value)
        for name, value in names.items()
    }
