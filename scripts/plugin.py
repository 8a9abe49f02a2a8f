"""ncprop279 as a child process, for the scripts here."""

import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def binary():
    """The release binary, built if it is not there or out of date."""
    subprocess.run(
        ["cargo", "build", "--release", "--locked", "--quiet"], cwd=ROOT, check=True
    )
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / "release" / "ncprop279"


class Plugin:
    def __init__(self, port, *arguments):
        config = tempfile.NamedTemporaryFile("w", suffix=".toml")
        config.write('rpc-user = "u"\nrpc-password = "p"\n')
        config.flush()
        self.config = config
        self.process = subprocess.Popen(
            [binary(), "--rpc-address", f"127.0.0.1:{port}", "--config", config.name, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        line = self.process.stdout.readline()
        assert line == b"INIT 1 0\n", line
        self.answers = {}
        self.arrived = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            at = time.perf_counter()
            keyword, query, rest = line.decode().rstrip("\n").split(" ", 2)
            with self.arrived:
                assert query not in self.answers, f"answered twice: {line}"
                self.answers[query] = (at, rest)
                self.arrived.notify_all()

    def send(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def ask(self, query, name, isolation):
        """The time that the answer took in seconds, and the answer."""
        begin = time.perf_counter()
        self.send(f"RESOLVE {query} {name} {isolation}\n")
        at, rest = self.wait(str(query))
        return at - begin, rest

    def wait(self, query, patience=60):
        with self.arrived:
            if not self.arrived.wait_for(lambda: query in self.answers, patience):
                raise SystemExit(f"no answer to {query} in {patience} s")
            return self.answers[query]

    def close(self):
        self.process.stdin.close()
        status = self.process.wait(30)
        assert status == 0, status
