"""The program that is checked, as a command and as a plugin, and what the proxy
saw of it."""

import dataclasses
import itertools
import subprocess

from plugin import Child

from e2e import dns_wire
from e2e.session import Failed

PATIENCE = 30
# Messages for one query.
MOST_MESSAGES = 16
# For connections to be closed.
CLOSING = 5
_numbers = itertools.count(1)


@dataclasses.dataclass
class Answer:
    status: int
    text: str
    seconds: float = 0.0

    def __str__(self):
        return self.text if self.status == 0 else f"status {self.status} {self.text}"

    def is_as(self, expected):
        """`expected` is a status, several of them, an answer, or several of them."""
        if isinstance(expected, int):
            return self.status == expected
        if isinstance(expected, tuple):
            return self.status in expected
        answers = {expected} if isinstance(expected, str) else expected
        return self.status == 0 and self.text in answers


class Client:
    """One plugin process, and the command. `proxy` is one in front of the world's."""

    def __init__(self, program, world, proxy=None):
        self.program = program
        self.world = world
        self.arguments = ["--names-file", world.names_file, (proxy or world.proxy).argument()]
        self.plugin = None
        self.stderr = (world.folder / "plugin.log").open("ab")

    def start(self):
        self.plugin = Child(list(map(str, self.arguments)), stderr=self.stderr, program=self.program)

    def ask(self, name, isolation=None):
        """Asks the plugin, under an isolation id of its own unless one is given."""
        query = next(_numbers)
        try:
            seconds, rest = self.plugin.ask(query, name, isolation or f"id-{query}")
        except SystemExit as error:  # The run goes on with other checks.
            raise Failed(f"{name}: {error}") from None
        return _answer(rest, seconds)

    def ask_all(self, names):
        """Asks the plugin for all names at once, each under an id of its own."""
        queries = [(str(next(_numbers)), name) for name in names]
        lines = [f"RESOLVE {query} {name} id-{query}\n" for query, name in queries]
        self.plugin.send("".join(lines))
        try:
            return [_answer(self.plugin.wait(query, PATIENCE)[1]) for query, _ in queries]
        except SystemExit as error:
            raise Failed(str(error)) from None

    def resolve(self, name):
        """Asks by the command `resolve`."""
        command = [self.program, "resolve", name, f"--isolation=id-{next(_numbers)}"]
        done = subprocess.run(
            [*map(str, command), *map(str, self.arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        if done.returncode == 0:
            return Answer(0, done.stdout.strip())
        if done.stdout:
            raise Failed(f"{name}: {done.stdout!r} and exit status {done.returncode}")
        return Answer(done.returncode, done.stderr.strip())

    def expect(self, name, expected, by_command=True):
        """The answer of the plugin, which has to ask for it; and of the command, unless
        that is not wanted."""
        trace = self.trace()
        answer = self.ask(name)
        if not trace.circuits():
            raise Failed(f"{name}: {answer}, and nobody was asked")
        if (messages := len(trace.questions())) > MOST_MESSAGES:
            raise Failed(f"{name}: {answer}, after {messages} messages")
        if not answer.is_as(expected):
            raise Failed(f"{name}: {answer}, not {shown(expected)}")
        if by_command and not (again := self.resolve(name)).is_as(expected):
            raise Failed(f"resolve {name}: {again}, not {shown(expected)}")
        return str(answer)

    def trace(self):
        return Trace(self.world.proxy)

    def stop(self):
        if self.plugin:
            self.plugin.close()
        self.stderr.close()


def _answer(rest, seconds=0.0):
    status, text = rest.split(" ", 1)
    return Answer(int(status), text.strip('"'), seconds)


def shown(expected):
    if isinstance(expected, str):
        return expected
    if isinstance(expected, set):
        return "one of the addresses"
    return f"status {expected}"


class Trace:
    """The connections that a proxy sees from now on."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.begin = len(proxy.circuits)

    def circuits(self):
        """All of them, once they are closed."""
        return self.proxy.wait_until_closed(CLOSING)[self.begin :]

    def questions(self):
        """The messages in all of them."""
        sent = [circuit.sent for circuit in self.circuits()]
        return [dns_wire.parse(frame) for stream in sent for frame in dns_wire.frames(stream)]

    def hosts(self):
        return [circuit.target.rpartition(":")[0] for circuit in self.circuits()]
