"""Checks of answers: unsigned and signed zones, and servers that lie."""

import functools

from e2e import dns_liar, dns_signed, dns_unsigned
from e2e.dns_client import shown
from e2e.dns_liar import Liar
from e2e.names import ONION
from e2e.session import Failed

LYING_ONION = f"lie.{ONION}"
# What a liar does, the name that is asked for below lied.bit, and which labels it swaps.
LIES = [
    ("signatures stripped", dns_liar.strip_signatures, "www", None),
    ("signatures of an onion stripped", dns_liar.strip_signatures, "onion", None),
    ("signatures of a denial stripped", dns_liar.strip_signatures, "missing", None),
    ("an address changed", dns_liar.change_addresses, "www", None),
    ("an address added", dns_liar.add_address, "www", None),
    (
        "an onion changed",
        functools.partial(dns_liar.change_texts, onion=LYING_ONION),
        "onion",
        None,
    ),
    ("no such name, no proof", dns_liar.deny_with(3), "www", None),
    ("no such type, no proof", dns_liar.deny_with(0), "www", None),
    ("the keys dropped", dns_liar.drop_keys, "www", None),
    ("another name's denial", dns_liar.nothing, "www", ("www", "zzz")),
    ("another name's answer", dns_liar.nothing, "onion", ("onion", "named")),
    ("a wildcard for a name beside it", dns_liar.nothing, "named.wild", ("named", "other")),
    ("a child's DS stripped", dns_liar.strip_delegation_signer, "www.secure", None),
    ("a child that is not signed as it should", dns_liar.nothing, "www.secure", None),
]


def make(table, client, world):
    """All checks of answers, each a line of the table."""
    for title, (name, expected) in (dns_unsigned.ANSWERS | dns_unsigned.FORM_ANSWERS).items():
        table.check(client.expect, name, expected, title=title)
    for title, (name, expected) in dns_unsigned.UNASKED.items():
        table.check(nobody_is_asked, client, name, expected, title=title)
    table.check(questions_are_translated, client, world)
    for label, server, signing, child_server in dns_signed.MATRIX:
        title = f"signed: {label} at {server}, children at {child_server}"
        table.check(all_questions_to_a_zone, client, label, signing, title=title)
    for title, (name, expected) in dns_signed.ANSWERS.items():
        table.check(client.expect, name, expected, title=title)
    for title, forge, label, swap in LIES:
        table.check(a_lie, client, world, forge, label, swap, title=f"a lie: {title}")
    table.check(an_honest_server_beside_a_liar, client, world)


def nobody_is_asked(client, name, expected):
    trace = client.trace()
    answer = client.ask(name)
    if not answer.is_as(expected):
        raise Failed(f"{name}: {answer}, not {shown(expected)}")
    if trace.circuits():
        raise Failed(f"{name}: the proxy was asked for {trace.hosts()}")
    return str(answer)


def questions_are_translated(client, world):
    """The name server is asked for names of its own zone."""
    trace = client.trace()
    client.expect("www.translate.bit", "192.0.2.13")
    names = {message.name.lower() for message in trace.questions()}
    if names != {"www.example.org."}:
        raise Failed(f"asked for {sorted(names)}")
    return "as www.example.org"


def all_questions_to_a_zone(client, label, signing):
    asked = dns_signed.questions(signing)
    names = [f"{part}signed-{label}.bit" for _, part, _ in asked]
    wrong = []
    for (title, _, expected), name, answer in zip(asked, names, client.ask_all(names)):
        if not answer.is_as(expected):
            wrong.append(f"{title} ({name}): {answer}, not {expected}")
    if wrong:
        raise Failed(f"{len(wrong)} of {len(asked)} answers: " + "; ".join(wrong))
    client.expect(f"onion.signed-{label}.bit", ONION)
    return f"{len(asked)} answers"


def a_lie(client, world, forge, label, swap):
    """Both servers lie: that is a failure and never an answer."""
    liar = Liar(world.servers["nsd"].port, forge, swap)
    try:
        for place in dns_signed.LIARS:
            world.lead(place, liar.port)
        answer = client.expect(f"{label}.lied.bit", 1)
        if not liar.lies and forge is not dns_liar.nothing:
            raise Failed("the liar had nothing to lie about")
        return answer
    finally:
        liar.stop()


def an_honest_server_beside_a_liar(client, world):
    liar = Liar(world.servers["nsd"].port, dns_liar.strip_signatures)
    try:
        first, second = dns_signed.LIARS
        world.lead(first, liar.port)
        world.lead(second, world.servers["nsd"].port)
        # Which is asked first is drawn at random.
        for _ in range(6):
            client.expect("onion.lied.bit", ONION, by_command=False)
        return f"{liar.lies} lies, 6 answers"
    finally:
        liar.stop()
