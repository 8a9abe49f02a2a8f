"""What a tap wrote down, as queries."""

import time
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Query:
    name: str
    isolation: str
    status: int | None = None
    result: str = ""


class Record:
    """The log of one plugin command, which may have run more than once."""

    def __init__(self, path):
        self.path = Path(path)

    def _entries(self):
        """(process id, what happened) of each line."""
        if not self.path.exists():
            return []
        text = self.path.read_text(encoding="latin-1")
        # A last line without its end is still being written.
        return [line.split(" ", 1) for line in text.split("\n")[:-1]]

    def queries(self):
        queries, waiting = [], {}
        for plugin, event in self._entries():
            match event.split(" ", 4):
                case [">", "RESOLVE", query, name, isolation]:
                    queries.append(Query(name, isolation))
                    waiting[plugin, query] = queries[-1]
                case ["<", "RESOLVED", query, status, *result] if (plugin, query) in waiting:
                    answered = waiting.pop((plugin, query))
                    answered.status, answered.result = int(status), " ".join(result)
        return queries

    def wait_for_ends(self, patience=10):
        """The exit status of each plugin; None if it did not end in time."""
        deadline = time.monotonic() + patience
        while True:
            statuses = {}
            for plugin, event in self._entries():
                match event.split():
                    case ["start"]:
                        statuses[plugin] = None
                    case ["end", status]:
                        statuses[plugin] = int(status)
            if None not in statuses.values() or time.monotonic() > deadline:
                return list(statuses.values())
            time.sleep(0.01)
