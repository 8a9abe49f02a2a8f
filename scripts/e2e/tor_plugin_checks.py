"""The checks of `--naming-plugin`: other plugins behind `ncprop279 serve
--tor-control`."""

import json
import shlex
import sys
from pathlib import Path

from e2e import names
from e2e.control import wait_for
from e2e.names import ONION
from e2e.record import Record
from e2e.session import UNREACHABLE, Failed
from e2e.tor_door import Case, TorDoor, close_all, expect_status, expect_targets
from e2e.tor_lifecycle_checks import TIMED_OUT

HERE = Path(__file__).resolve().parent
GOOD = {
    "onion.gns": ONION,
    "a.b.gns": "192.0.2.5",
    "host.gns": "www.example.com",
    "later.gns": ONION,
}
# A name of another plugin's, or of this one's, goes to an exit as it is.
HOSTILE = [*names.REFUSED_BY_TOR, names.NOT_CANONICAL, "x.gns", "ip.bit", "x.exit", "a/b", "a:80"]


def _command(*words):
    return " ".join(shlex.quote(str(word)) for word in words)


def this_program_as_a_plugin_for_bit(tor, plugin, source, folder):
    """It is asked under the isolation ids that the program itself would use."""
    record = Record(folder / "plugin-tap")
    command = _command(sys.executable, HERE / "tap.py", record.path, plugin, *source)
    door = TorDoor(tor, plugin, source, more=["--naming-plugin", f"bit={command}"])
    cases = [
        Case(tor, "onion.bit", user="alice", password="p"),
        Case(tor, "IP.bit.", user="alice", password="p"),
        Case(tor, "ip.bit", user="bob", password="p"),
        Case(tor, "ip6.bit", at="other"),
    ]
    try:
        expect_targets(tor, cases, [ONION, "192.0.2.1", "192.0.2.1", "2001:db8::1"])
        failing = Case(tor, "missing.bit")
        expect_status(failing, UNREACHABLE)
        failing.close()
    finally:
        close_all(cases)
        door.stop()
    asked = {}
    for query in record.queries():
        asked.setdefault(query.isolation, []).append(query.name)
    expected = [["ip.bit", "onion.bit"], ["ip.bit"], ["ip6.bit"], ["missing.bit"]]
    if sorted(sorted(one) for one in asked.values()) != sorted(expected):
        raise Failed(f"the plugin was asked for {asked}")
    if (ends := record.wait_for_ends()) != [0]:
        raise Failed(f"it ended with {ends}")
    return f"{len(asked)} ids"


def other_suffixes_are_safe_too(tor, plugin, source, folder):
    """Answers that Tor must not have, and a plugin that fails."""
    answers = GOOD | {f"bad{n}.gns": answer for n, answer in enumerate(HOSTILE)}
    path = folder / "odd.json"
    path.write_text(json.dumps(answers))
    command = _command(sys.executable, HERE / "odd_plugin.py", path)
    more = ["--naming-plugin", f"gns={command}", "--timeout", "1"]
    door = TorDoor(tor, plugin, source, more=more)
    try:
        cases = [Case(tor, name) for name in (*GOOD, "A.B.GNS.", "ip.bit")]
        targets = [*GOOD.values(), "192.0.2.5", "192.0.2.1"]
        try:
            expect_targets(tor, cases, targets)
        finally:
            close_all(cases)
        refused = [Case(tor, f"bad{n}.gns") for n in range(len(HOSTILE))]
        refused += [Case(tor, name) for name in ("missing.gns", "gns", "a_b.gns")]
        for case in refused:
            expect_status(case, UNREACHABLE)
            case.close()
        before = door.children()
        waiting = [Case(tor, name) for name in ("die.gns", "silent.gns")]
        for case in waiting:
            expect_status(case, TIMED_OUT)
        close_all(waiting)
        wait_for(lambda: door.children() - before, "the plugin has not been started again")
        # The pause before the next one has become longer with each that ended.
        wait_for(lambda: _answers(tor, "onion.gns"), "it does not answer again", 15)
        if not door.is_running():
            raise Failed("the program has ended")
    finally:
        door.stop()
    return f"{len(HOSTILE)} answers refused"


def _answers(tor, name):
    case = Case(tor, name)
    try:
        expect_targets(tor, [case], [ONION], 2)
        return True
    except Failed:
        return False
    finally:
        case.close()
