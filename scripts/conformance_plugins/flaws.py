"""Plugins that are wrong in one way each, and the requirements that they break."""

import os
import signal
import threading

from . import values
from .plugin import ID, Plugin


class SharesItsCache(Plugin):
    """Ignores isolation ids in its cache."""

    def place(self, key, isolation):
        return key


class DropsTheId(Plugin):
    """Asks Electrum-NMC in a way that has no room for the isolation id."""

    def __init__(self, options):
        super().__init__(options)
        with_id = self.client.parameters
        without = lambda key: [key]  # noqa: E731
        self.client.parameters = lambda key, isolation: (
            without(key) if self.client.is_electrum else with_id(key, isolation)
        )


class OneAtATime(Plugin):
    """Looks one name up after the other."""

    turn = threading.Lock()

    def look_up(self, name, isolation, deadline):
        with self.turn:
            return super().look_up(name, isolation, deadline)


class KeepsFailures(Plugin):
    """Keeps a failure as if it were an answer."""

    def failed(self, why):
        return why


class TellsNames(Plugin):
    """Writes names to its log."""

    def resolve(self, id, name, isolation):
        self.log(f"looking up {name} for {isolation}")
        super().resolve(id, name, isolation)


class AnswersTwice(Plugin):
    def write_answer(self, id, status, text):
        super().write_answer(id, status, text)
        super().write_answer(id, status, text)


class AnswersCancelledQueries(Plugin):
    def __init__(self, options):
        super().__init__(options)
        self.cancelled = set()

    def cancel(self, id):
        with self.lock:
            ticket, _ = self.unanswered.get(self.number(id), (None, None))
            self.cancelled.add(ticket)
        super().cancel(id)

    def answer(self, id, ticket, status, text):
        super().answer(id, ticket, status, text)
        with self.lock:
            if ticket in self.cancelled:
                self.write_answer(id, status, text)


class DropsQueriesAtTheEnd(Plugin):
    """Ends with stdin, whatever is unanswered."""

    def may_end(self):
        return True


class EndsWithThree(Plugin):
    """Takes closed stdin for an error."""

    def run(self):
        return super().run() or 3


class DiesOfSigterm(Plugin):
    def start(self):
        problem = super().start()
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, signal.SIG_DFL)
        return problem


class DiesOfOtherOctets(Plugin):
    """Takes for granted that its input is US-ASCII."""

    def line(self, line):
        if not line.isascii():
            os._exit(1)
        super().line(line)


class TalksFirst(Plugin):
    def start(self):
        self.write("Hello! This is a plugin.")
        return super().start()


class MindsNoVersion(Plugin):
    """Speaks version 1 to a client that does not."""

    def start(self):
        os.environ.pop("TOR_NS_PROTO_VERSION", None)
        return super().start()


class SplitsAtSpaces(Plugin):
    """Takes each single space, and nothing else, for a separator."""

    def words(self, line):
        return line.split(b" ") if line.strip() else []


class MindsFurtherWords(Plugin):
    """Takes no line with more words than it knows."""

    def words(self, line):
        words = super().words(line)
        most = {b"RESOLVE": 4, b"CANCEL": 2}
        return words if words and len(words) <= most.get(words[0], 0) else []


class ReadsLongLines(Plugin):
    def lines(self):
        with os.fdopen(os.dup(0), "rb") as stream:
            for line in stream:
                yield line.removesuffix(b"\n")


class WritesIdsAsNumbers(Plugin):
    def written(self, id):
        return str(int(id))


class ComparesIdsAsText(Plugin):
    def number(self, id):
        return id


class ComparesIdsIn64Bits(Plugin):
    """Loses what is above the 64th bit of an id."""

    def number(self, id):
        return int(id) % 2**64


class HasNoIdsAbove64Bits(Plugin):
    """Takes the greatest number of 64 bits for any greater one."""

    def number(self, id):
        return min(int(id), 2**64 - 1)


class AnswersEveryLine(Plugin):
    """Takes a second query under an id that is unanswered."""

    def take(self, id, isolation):
        with self.lock:
            self.unanswered.pop(self.number(id), None)
        return super().take(id, isolation)


class FailureIsPermanent(Plugin):
    def transient(self, why):
        return 3, why


class AbsenceIsTransient(Plugin):
    def absent(self, why):
        return 1, why


class QuotesBadly(Plugin):
    """Puts quotes around a message and leaves it at that."""

    def escaped(self, octet):
        return chr(octet)


class EchoesValues(Plugin):
    """Answers what stands in a value, unseen."""

    def look_up(self, name, isolation, deadline):
        checks = "is_public", "is_onion", "is_host"
        for check in checks:
            setattr(values, check, lambda text: True)
        return super().look_up(name, isolation, deadline)


class ComparesIdsWithoutCase(Plugin):
    """Keeps values for isolation ids whatever their case; the node is told them."""

    def place(self, key, isolation):
        return super().place(key, isolation and isolation.lower())


class CutsIsolationIds(Plugin):
    """Takes the first 64 octets of an isolation id for the whole."""

    def resolve(self, id, name, isolation):
        is_valid = isolation is not None and len(isolation) <= 1024
        super().resolve(id, name, isolation[:64] if is_valid else isolation)


class AnswersWhatHasNoId(Plugin):
    """Answers a query without a usable id under an id of its own choice."""

    def line(self, line):
        words = self.words(line)
        if words[:1] == [b"RESOLVE"] and not ID.fullmatch((words + [b""])[1]):
            self.write_answer("0", 1, "no usable id")
        super().line(line)


# What each of them breaks, and nothing else.
FLAWS = {
    SharesItsCache: {"S2.1"},
    DropsTheId: {"S2.2"},
    OneAtATime: {"S2.1"},
    KeepsFailures: {"S2.4"},
    TellsNames: {"S2.5"},
    AnswersTwice: {"Q1"},
    AnswersCancelledQueries: {"Q1", "C2"},
    DropsQueriesAtTheEnd: {"E1.1"},
    EndsWithThree: {"E1.2"},
    DiesOfSigterm: {"E2"},
    DiesOfOtherOctets: {"Q6.1", "S1.2", "E4"},
    TalksFirst: {"I1.1", "F5.1"},
    MindsNoVersion: {"I2.1", "I4.1"},
    SplitsAtSpaces: {"F2.1"},
    MindsFurtherWords: {"F2.2"},
    ReadsLongLines: {"F4.1"},
    WritesIdsAsNumbers: {"Q2.2"},
    ComparesIdsAsText: {"Q2.1"},
    ComparesIdsIn64Bits: {"Q2.1"},
    HasNoIdsAbove64Bits: {"Q2.1"},
    AnswersEveryLine: {"Q3.1"},
    FailureIsPermanent: {"T1.2", "T3.1", "S2.4"},
    AbsenceIsTransient: {"T1.1", "T3.3"},
    QuotesBadly: {"T2.2"},
    EchoesValues: {"T2.1"},
    ComparesIdsWithoutCase: {"S2.1"},
    CutsIsolationIds: {"S2.1"},
    AnswersWhatHasNoId: {"Q4.2"},
}
