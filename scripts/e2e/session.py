"""A naming client with its plugin at work, and what becomes of a connection."""

import time
from dataclasses import dataclass

from e2e.applications import PATIENCE, Socks

# SOCKS 5: the host is unreachable, which is how tor reports a failed lookup.
UNREACHABLE = 4
INTERVAL = 0.005
# How long to wait once nothing has become of a connection, so that the run has
# time left for its other checks.
IMPATIENCE = 2


class Failed(Exception):
    """A check did not hold."""


@dataclass
class Outcome:
    """Where a stream went, or the SOCKS status of its failure."""

    target: str | None
    socks_status: int | None
    seconds: float

    def __str__(self):
        if self.target:
            return f"went to {self.target}"
        return f"failed with SOCKS status {self.socks_status}"


class Session:
    def __init__(self, tor, client, record):
        self.tor = tor
        self.client = client
        self.record = record
        self.patience = PATIENCE
        self.connections = []  # open until the client has stopped: see `close`

    def close(self):
        """Closes all connections. None is closed before the client has stopped,
        which may still have to attach a stream that it has redirected."""
        for connection in self.connections:
            connection.close()

    def wait_until_ready(self):
        """Connects until the client answers, which has to find tor first."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self._outcomes([Socks(self.tor.socks, "ready.bit")], patience=0.5)[0]:
                return
        raise Failed(f"nothing in {PATIENCE} s")

    def connect(self, name, user=None, password=None, port=None):
        """What becomes of one connection to a name."""
        return self.connect_all([Socks(port or self.tor.socks, name, user, password)])[0]

    def connect_all(self, connections):
        patience = self.patience
        outcomes = self._outcomes(connections, patience)
        for connection, outcome in zip(connections, outcomes):
            if outcome is None:
                self.patience = IMPATIENCE
                raise Failed(f"nothing became of {connection.name} in {patience} s")
        return outcomes

    def _outcomes(self, connections, patience):
        begin = time.monotonic()
        self.connections += connections
        outcomes = [None] * len(connections)
        while None in outcomes and time.monotonic() < begin + patience:
            targets = self.tor.targets()
            for n, connection in enumerate(connections):
                if outcomes[n] is None:
                    seconds = time.monotonic() - begin
                    outcomes[n] = self._outcome(connection, targets, seconds)
            time.sleep(INTERVAL)
        return outcomes

    def _outcome(self, connection, targets, seconds):
        if connection.has_reply():
            return Outcome(None, connection.reply()[0], seconds)
        target = targets.get(self.tor.streams.get(connection.port))
        if target and target.lower() != connection.name.lower():
            return Outcome(target, None, seconds)
        return None

    def expect(self, name, target):
        outcome = self.connect(name)
        if outcome.target != target:
            raise Failed(f"{name} {outcome} instead of {target}")

    def expect_failure(self, name, within):
        """The name has no answer, and the application hears so soon."""
        outcome = self.connect(name)
        self.check_failure(name, outcome, within)
        return outcome.seconds

    def check_failure(self, name, outcome, within):
        if outcome.socks_status != UNREACHABLE:
            raise Failed(f"{name} {outcome} instead of with {UNREACHABLE}")
        if outcome.seconds > within:
            raise Failed(f"{name} failed after {outcome.seconds:.1f} s only")
        query = self.last_query(name)
        if query.status != 3:
            raise Failed(f"{name} was answered with status {query.status} {query.result}")

    def last_query(self, name):
        queries = [query for query in self.record.queries() if query.name.lower() == name.lower()]
        if not queries:
            raise Failed(f"the plugin was not asked for {name}")
        return queries[-1]

    def isolation_id(self, name, user=None, password=None, port=None):
        """The isolation id under which the plugin hears of a connection."""
        self.connect(name, user, password, port)
        return self.last_query(name).isolation
