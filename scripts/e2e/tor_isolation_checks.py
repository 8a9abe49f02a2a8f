"""The checks of the isolation ids that `ncprop279 serve --tor-control` gives to
streams: those that tor may put on one circuit share one, and no others."""

import random

from e2e.applications import RESOLVE, HttpConnect, Socks, Socks4, query_dns
from e2e.control import wait_for
from e2e.session import Failed

STREAMS = 200
# What tor can isolate streams by.
FIELDS = [
    *("SOCKS_USERNAME", "SOCKS_PASSWORD", "CLIENTADDR", "CLIENT_PROTOCOL"),
    *("DESTADDR", "DESTPORT", "SESSION_GROUP", "NYM_EPOCH"),
]


class Isolation:
    """A door without a cache, and the node that it asks, which hears of each stream
    under its isolation id."""

    def __init__(self, door, node):
        self.tor = door.tor
        self.node = node
        self.last = 0
        self.seen = []  # (stream, isolation id)

    def name(self):
        """A name that nobody has asked for yet."""
        self.last += 1
        return f"n{self.last}.bit"

    def id(self, name, ask):
        """The id under which the node is asked when a client connects."""
        calls, streams = len(self.node.calls), len(self.tor.watcher.streams)
        client = ask(name)
        try:
            failure = f"{name} has not been asked for"
            asked, isolation = wait_for(lambda: self.node.calls[calls:], failure)[0]
            stream = wait_for(lambda: self.tor.watcher.streams[streams:], "no stream")[0]
        finally:
            if client:
                client.close()
        if asked != f"d/{name.lower().removesuffix('.bit')}":
            raise Failed(f"the node was asked for {asked} instead of {name}")
        self.seen.append((stream, isolation))
        return isolation


def _socks(door, at="plain", make=Socks, name=None, **more):
    address = door.tor.http if at == "http" else door.tor.socks[at]
    return door.id(name or door.name(), lambda name: make(address, name, **more))


def _dns(door, source="127.0.0.1"):
    ask = lambda name: query_dns(door.tor.dns, name, source=source) and None
    return door.id(door.name(), ask)


def _all_equal(what, ids):
    if len(set(ids)) != 1:
        raise Failed(f"{what} have {len(set(ids))} ids")


def _all_different(ids):
    for what, isolation in ids.items():
        twins = [other for other in ids if other != what and ids[other] == isolation]
        if twins:
            raise Failed(f"{what} has the id of {', '.join(twins)}")


def listeners_users_and_clients_have_their_own(door):
    kinds = {
        "nothing": {},
        "a user": {"user": "alice", "password": "1"},
        "another user": {"user": "bob", "password": "1"},
        "another password": {"user": "alice", "password": "2"},
        "user and password put together": {"user": "alice1", "password": ""},
        "only a password": {"user": "", "password": "alice1"},
        "another client": {"source": "127.0.0.2"},
        "another client's user": {"source": "127.0.0.2", "user": "alice", "password": "1"},
        "SOCKS 4 with a user": {"make": Socks4, "user": "carol"},
        "another listener": {"at": "other"},
        "HTTP": {"at": "http", "make": HttpConnect},
        "HTTP with a header": {"at": "http", "make": HttpConnect, "isolation": "blue"},
        "HTTP with another": {"at": "http", "make": HttpConnect, "isolation": "red"},
        "HTTP with a user": {"at": "http", "make": HttpConnect, "user": "alice", "password": "1"},
        "a unix socket": {"at": "unix"},
    }
    if "ipv6" in door.tor.socks:
        kinds["::1"] = {"at": "ipv6"}
    seen = {}
    for kind, how in kinds.items():
        ids = [_socks(door, **how) for _ in range(2)]
        _all_equal(f"two streams with {kind}", ids)
        seen[kind] = ids[0]
    seen["DNS"] = _dns(door)
    _all_equal("two questions by DNS", [seen["DNS"], _dns(door)])
    seen["DNS of another client"] = _dns(door, "127.0.0.2")
    _all_equal(
        "RESOLVE and CONNECT of a user",
        [seen["a user"], _socks(door, user="alice", password="1", command=RESOLVE)],
    )
    # Tor has no credentials to tell them apart by.
    _all_equal("SOCKS 4 and 5", [seen["nothing"], _socks(door, make=Socks4)])
    _all_equal(
        "SOCKS 5 and SOCKS 4 of one name",
        [seen["SOCKS 4 with a user"], _socks(door, user="carol", password="")],
    )
    _all_different(seen)
    return f"{len(seen)} kinds"


def flags_of_listeners_count(door):
    names = [door.name() for _ in range(2)]
    for at in ("addr", "group-addr"):
        ids = {name: _socks(door, at, name=name) for name in names}
        _all_different(ids)
        again = [_socks(door, at, name=names[0].upper()), ids[names[0]]]
        _all_equal(f"one target at {at}", again)
    _all_different({port: _socks(door, "port", target_port=port) for port in (80, 443)})
    _all_equal("one port", [_socks(door, "port", target_port=port) for port in (80, 80)])
    protocols = {make.__name__: _socks(door, "protocol", make) for make in (Socks, Socks4)}
    _all_different(protocols)
    alice, bob = {"user": "alice", "password": "1"}, {"user": "bob", "password": "1"}
    users = [alice, bob, {}]
    _all_equal("users with NoIsolateSOCKSAuth", [_socks(door, "no-auth", **one) for one in users])
    clients = [{"source": "127.0.0.1"}, {"source": "127.0.0.2"}]
    _all_equal(
        "clients with NoIsolateClientAddr", [_socks(door, "no-client", **one) for one in clients]
    )
    _all_different({str(one): _socks(door, "no-client", **one) for one in users})
    _all_different({str(one): _socks(door, "keep-alive", **one) for one in users})
    return "7 flags"


def a_group_with_different_flags_follows_tor(door):
    """Streams of two listeners share what either of them permits, but a stream
    whose listener tells users apart does not join streams of several users."""
    carol, dave = {"user": "carol", "password": "g"}, {"user": "dave", "password": "g"}
    first = _socks(door, "group", **carol)
    joined = _socks(door, "group-no-auth", **dave)
    _all_equal("a stream that joins another user's", [first, joined])
    back = _socks(door, "group", **carol)
    _all_different({"before": first, "after another user has joined": back})
    return ""


def newnym_begins_anew(door):
    user = {"user": "alice", "password": "nym"}
    before = _socks(door, **user)
    epoch = door.tor.watcher.streams[-1].fields["NYM_EPOCH"]
    door.tor.control.must("SIGNAL NEWNYM")

    def changed():
        found = _socks(door, **user)
        return found if door.tor.watcher.streams[-1].fields["NYM_EPOCH"] != epoch else None

    # Tor delays a NEWNYM that follows another.
    after = wait_for(changed, "NYM_EPOCH has not changed", 12)
    _all_different({"before": before, "after": after})
    _all_equal("streams after NEWNYM", [after, _socks(door, **user)])
    return ""


def random_streams_follow_tors_rule(door):
    """They and all streams before, against a model of tor's rule."""
    choices = random.Random()
    listeners = [at for at in door.tor.socks if at not in ("no-ipv6", "onions-only")]
    targets = [door.name() for _ in range(3)]
    for _ in range(STREAMS):
        at = choices.choice([*listeners, "group", "group-addr", "group-no-auth", "http"])
        how = {"name": choices.choice(targets), "target_port": choices.choice((80, 443))}
        if choices.random() < 0.7:
            how |= {"user": choices.choice("ab"), "password": choices.choice("12")}
        if at == "http":
            how |= {"make": HttpConnect, "isolation": choices.choice((None, "x"))}
        elif choices.random() < 0.3:
            how["make"] = Socks4
            how.pop("password", None)
        elif at not in ("unix", "ipv6"):
            how["source"] = choices.choice(("127.0.0.1", "127.0.0.2"))
        _socks(door, at, **how)
    circuits = _follow_the_rule(door.seen)
    return f"{len(door.seen)} streams, {len(circuits)} ids"


def _follow_the_rule(isolated):
    """Tor's connection_edge_compatible_with_circuit, with an id as a circuit."""
    circuits = {}
    for stream, isolation in isolated:
        wanted = stream.fields["ISO_FIELDS"].split(",")
        values = {field: stream.value(field) for field in FIELDS}

        def fits(circuit):
            known, mixed = circuit
            return all(field not in mixed and known[field] == values[field] for field in wanted)

        if isolation not in circuits:
            if twins := [one for one, circuit in circuits.items() if fits(circuit)]:
                raise Failed(f"{stream} has an id of its own, and could have that of {twins}")
            circuits[isolation] = (values, set())
        elif not fits(circuits[isolation]):
            raise Failed(f"{stream} has the id of {circuits[isolation]}")
        known, mixed = circuits[isolation]
        mixed |= {field for field in FIELDS if known[field] != values[field]}
    return circuits
