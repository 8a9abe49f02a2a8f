"""The checks: each is a function whose name is its line in the table, with what
it found as its result. `Failed` says that it does not hold."""

import time

from e2e import names
from e2e.applications import RESOLVE, HttpConnect, Socks, query_dns
from e2e.names import ONION, OTHER_ONION
from e2e.session import Failed

# Generous for a slow machine, and far from the 20 s that a plugin has for a
# failure that may pass and the 60 s for which StemNS asks again.
AT_ONCE = 5.0


# Without a naming client: what tor does by itself.


def tor_refuses_each_hostile_target(tor):
    """Otherwise the checks below that none is answered would show nothing."""
    accepted = []
    for target in names.REFUSED_BY_TOR:
        application = Socks(tor.socks, "control.bit")
        stream = _wait_for(lambda: tor.streams.get(application.port))
        _wait_for(lambda: stream in tor.waiting)
        tor.control.msg(f"REDIRECTSTREAM {stream} {target}")
        if tor.control.msg(f"ATTACHSTREAM {stream} 0").is_ok():
            accepted.append(target)
        application.close()
    if accepted:
        raise Failed("it accepts " + ", ".join(accepted))
    return f"{len(names.REFUSED_BY_TOR)} targets"


# With a naming client.


def the_naming_client_answers(session):
    session.wait_until_ready()
    return session.client.title


# With names from a file: answers.


def answers_are_where_streams_go(session):
    cases = {
        "onion.bit": ONION,
        "www.onion.bit": ONION,
        "ONION.bit": ONION,
        "tor-item.bit": OTHER_ONION,
        "ip.bit": "192.0.2.1",
        "ip6.bit": "2001:db8::1",
        "host.bit": "www.example.com",
        "alias.bit": "192.0.2.1",
        "alias-to-onion.bit": ONION,
    }
    for name, target in cases.items():
        session.expect(name, target)
    return f"{len(cases)} names"


def socks_resolve_gives_addresses(session):
    cases = {"ip.bit": "192.0.2.1", "alias.bit": "192.0.2.1", "ip6.bit": "2001:db8::1"}
    for name, address in cases.items():
        application = Socks(session.tor.socks, name, command=RESOLVE)
        found = application.reply()
        application.close()
        if found != (0, address):
            raise Failed(f"{name}: {found}")
    return f"{len(cases)} names"


def dns_gives_addresses(session):
    found = query_dns(session.tor.dns, "ip.bit")
    if found != (0, ["192.0.2.1"]):
        raise Failed(f"ip.bit: {found}")
    code, addresses = query_dns(session.tor.dns, "missing.bit")
    if code == 0 or addresses:
        raise Failed(f"missing.bit: {code} {addresses}")
    return "one address, one failure"


def bit_onion_gives_onion_services_only(session):
    session.expect("onion.bit.onion", ONION)
    session.expect("tor-item.bit.onion", OTHER_ONION)
    session.expect("alias-to-onion.bit.onion", ONION)
    others = ["ip", "ip6", "host", "alias", "missing"]
    for name in others:
        session.expect_failure(f"{name}.bit.onion", AT_ONCE)
    return f"3 onion services, {len(others)} failures"


def failures_close_the_stream_at_once(session):
    failing = ["missing.bit", "sub.missing.bit", "sub.ip.bit", "text.bit", "a_b.bit"]
    took = [session.expect_failure(name, AT_ONCE) for name in failing]
    return f"{len(took)} names, {max(took) * 1000:.0f} ms at most"


def many_names_at_once(session):
    answers = names.many_answers()
    ports = [session.tor.socks, session.tor.other_socks]
    connections = [
        Socks(ports[n % 2], f"{name}.bit", f"many{n % 5}", "x") for n, name in enumerate(answers)
    ]
    outcomes = _answered(session, connections, answers)
    return f"{len(outcomes)} names in {max(o.seconds for o in outcomes):.2f} s"


def other_names_are_not_asked_for(session):
    """A name of another zone is none of the plugin's business."""
    application = Socks(session.tor.socks, "www.example.org")
    stream = _wait_for(lambda: session.tor.streams.get(application.port))
    _wait_for(lambda: stream in session.tor.waiting)
    session.expect("ip.bit", "192.0.2.1")
    application.close()
    if any("example" in query.name for query in session.record.queries()):
        raise Failed("the plugin was asked for www.example.org")
    return ""


# With names from a file: values that were made to do harm.


def hostile_values_have_no_answer(session):
    hostile = [f"{name}.bit" for name in names.HOSTILE]
    outcomes = session.connect_all([Socks(session.tor.socks, name) for name in hostile])
    for name, outcome in zip(hostile, outcomes):
        session.check_failure(name, outcome, AT_ONCE)
    return f"{len(hostile)} names"


def good_answers_beside_hostile_ones_count(session):
    for name, target in names.HALF_HOSTILE_ANSWERS.items():
        session.expect(f"{name}.bit", target)
    return f"{len(names.HALF_HOSTILE_ANSWERS)} names"


def naming_works_after_hostile_values(session):
    session.expect("onion.bit", ONION)
    session.expect_failure("missing.bit", AT_ONCE)
    return ""


def tor_took_every_answer(session):
    answered = [query for query in session.record.queries() if query.status == 0]
    hostile = {query.result for query in answered} & set(names.REFUSED_BY_TOR)
    ours = {session.tor.streams.get(connection.port) for connection in session.connections}
    refused = [
        f"{target} ({reason})"
        for stream, target, reason in session.tor.failures
        if stream in ours and not target.lower().endswith((".bit", ".bit.onion"))
    ]
    wrong = dict.fromkeys([*session.client.problems, *refused, *hostile])
    if wrong:
        raise Failed("; ".join(wrong))
    return f"{len(answered)} answers of status 0"


# Isolation ids.


def same_credentials_same_id(session):
    first = session.isolation_id("ip.bit", "alice", "1")
    again = session.isolation_id("ip.bit", "alice", "1")
    other_name = session.isolation_id("onion.bit", "alice", "1")
    _all_equal([first, again, other_name])
    _all_equal([session.isolation_id("ip.bit") for _ in range(2)])
    return "also for another name"


def other_streams_other_ids(session):
    tor = session.tor
    ids = {
        "first": session.isolation_id("ip.bit", "alice", "1"),
        "another user": session.isolation_id("ip.bit", "bob", "1"),
        "another password": session.isolation_id("ip.bit", "alice", "2"),
        "the same put together": session.isolation_id("ip.bit", "alice1", ""),
        "no credentials": session.isolation_id("ip.bit"),
        "another listener": session.isolation_id("ip.bit", "alice", "1", tor.other_socks),
        "one more listener": session.isolation_id("ip.bit", "alice", "1", tor.socks_by_destination),
    }
    session.connect_all([HttpConnect(tor.http, "ip.bit", "alice", "1")])
    ids["HTTP CONNECT"] = session.last_query("ip.bit").isolation
    query_dns(tor.dns, "ip.bit")
    ids["DNS"] = session.last_query("ip.bit").isolation
    _all_different(ids)
    return f"{len(ids)} kinds of streams"


def a_listener_can_isolate_destinations(session):
    port = session.tor.socks_by_destination
    ids = {
        name: session.isolation_id(name, "alice", "1", port) for name in ("ip.bit", "onion.bit")
    }
    _all_different(ids)
    return ""


def newnym_changes_ids(session):
    before = session.isolation_id("ip.bit", "alice", "1")
    session.tor.control.signal("NEWNYM")
    after = session.isolation_id("ip.bit", "alice", "1")
    _all_different({"before": before, "after": after})
    _all_equal([after, session.isolation_id("ip.bit", "alice", "1")])
    return ""


# With a node that isolates by streamID.


def ids_reach_the_node(session, node):
    for user in ("alice", "bob"):
        session.connect("ip.bit", user, "1")
        session.connect("ip.bit", user, "1")
        session.connect("onion.bit", user, "1")
    asked = {(f"d/{q.name.removesuffix('.bit')}", q.isolation) for q in session.record.queries()}
    # How often the session had to try whether the client is there is not known.
    asked = {(name, isolation) for name, isolation in asked if name != "d/ready"}
    arrived = [call for call in node.calls if call[0] != "d/ready"]
    if len(asked) != 4 or sorted(arrived) != sorted(asked):
        raise Failed(f"asked for {sorted(asked)}, the node heard {arrived}")
    return "each name once for each of 2 ids"


def many_ids_at_once(session, node):
    answers = names.many_answers()
    connections = [
        Socks(session.tor.socks, f"{name}.bit", f"user of {name}", "x") for name in answers
    ]
    outcomes = _answered(session, connections, answers)
    asked = {(f"d/{name}", session.last_query(f"{name}.bit").isolation) for name in answers}
    arrived = [call for call in node.calls if call[0].startswith("d/many")]
    if sorted(arrived) != sorted(asked) or len({id for _, id in arrived}) != names.MANY:
        raise Failed("the node did not hear each name once under its own id")
    slowest = max(outcome.seconds for outcome in outcomes)
    if slowest > node.delay * 10:
        raise Failed(f"it took {slowest:.1f} s with a node that takes {node.delay} s for each")
    return f"{names.MANY} ids in {slowest:.2f} s, {node.delay} s for each at the node"


def unregistered_names_fail_at_once(session, node):
    return f"{session.expect_failure('missing.bit', AT_ONCE) * 1000:.0f} ms"


# Of the whole run.


def plugins_end_when_they_should(record):
    statuses = record.wait_for_ends()
    if not statuses or any(status != 0 for status in statuses):
        raise Failed(f"exit statuses {statuses}")
    return f"{len(statuses)} with status 0"


def nothing_left_this_machine(tor, watch):
    outside = watch.outside | {f"tor tried {relay}" for relay in tor.relays - {"127.0.0.1"}}
    if outside:
        raise Failed("; ".join(sorted(outside)))
    if not watch.is_looking() or tor.process.pid not in watch.seen or not tor.relays:
        raise Failed("the sockets of tor could not be seen")
    if (progress := tor.progress()) > 5:
        raise Failed(f"tor has bootstrapped to {progress} %")
    return f"{watch.looks} looks at the sockets of {len(watch.seen)} processes"


def _answered(session, connections, answers):
    """Connects to many names, which have to be answered as expected."""
    outcomes = session.connect_all(connections)
    for (name, answer), outcome in zip(answers.items(), outcomes):
        # Tor takes the labels in front of an onion service away when it attaches.
        targets = {answer, ONION} if answer.endswith(ONION) else {answer}
        if outcome.target not in targets or session.last_query(f"{name}.bit").result != answer:
            raise Failed(f"{name}.bit {outcome} instead of {answer}")
    return outcomes


def _wait_for(condition, patience=10):
    deadline = time.monotonic() + patience
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise Failed("tor did not hand the stream to a controller")
        time.sleep(0.002)
    return found


def _all_equal(ids):
    if len(set(ids)) != 1:
        raise Failed(f"ids differ: {ids}")


def _all_different(ids):
    for name, isolation in ids.items():
        twins = [other for other in ids if other != name and ids[other] == isolation]
        if twins:
            raise Failed(f"{name} has the id of {', '.join(twins)}")
