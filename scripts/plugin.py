"""ncprop279 as a child process, for the scripts here."""

import functools
import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


def build(*arguments):
    command = ["cargo", "build", "--release", "--locked", "--quiet", *arguments]
    subprocess.run(command, cwd=ROOT, check=True)


@functools.cache
def binary():
    """The release binary, built if it is not there or out of date."""
    build()
    return TARGET / "release" / "ncprop279"


class Child:
    """The plugin with these arguments. What it says is read by threads, so that
    every wait here has an end. `program` is another binary than the built one."""

    def __init__(self, arguments, environment=None, stderr=None, program=None):
        self.process = subprocess.Popen(
            [program or binary(), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment,
        )
        self.answers = {}
        self.complaints = []
        self.ready = None
        self.arrived = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()
        if self.process.stderr:
            threading.Thread(target=self._listen, daemon=True).start()
        with self.arrived:
            self.arrived.wait_for(lambda: self.ready is not None, 10)
        assert self.ready == b"INIT 1 0\n", self.ready

    def _read(self):
        ready = self.process.stdout.readline()
        with self.arrived:
            self.ready = ready
            self.arrived.notify_all()
        for line in self.process.stdout:
            at = time.perf_counter()
            keyword, query, rest = line.decode().rstrip("\n").split(" ", 2)
            with self.arrived:
                assert query not in self.answers, f"answered twice: {line}"
                self.answers[query] = (at, rest)
                self.arrived.notify_all()

    def _listen(self):
        for line in self.process.stderr:
            with self.arrived:
                self.complaints.append(line.decode(errors="replace").rstrip("\n"))
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

    def hear(self, text, patience=60):
        """Waits for a line on stderr that holds a text."""
        with self.arrived:
            heard = lambda: any(text in line for line in self.complaints)
            if not self.arrived.wait_for(heard, patience):
                raise SystemExit(f"{text!r} not said in {patience} s: {self.complaints}")

    def memory(self, field="VmRSS"):
        """Resident memory in octets; VmHWM for the most that ever was."""
        with open(f"/proc/{self.process.pid}/status") as status:
            lines = dict(line.split(":", 1) for line in status)
        return int(lines[field].split()[0]) * 1024

    def close(self):
        self.process.stdin.close()
        status = self.process.wait(30)
        assert status == 0, status


class Plugin(Child):
    """The plugin on a scripted node that listens at this port."""

    def __init__(self, port, *arguments):
        self.config = credentials()
        super().__init__(
            ["--rpc-address", f"127.0.0.1:{port}", "--config", self.config.name, *arguments]
        )

    @staticmethod
    def raw(port, *arguments):
        """The same as a bare process, ready, whose output nobody reads yet."""
        config = credentials()
        node = ["--rpc-address", f"127.0.0.1:{port}", "--config", config.name]
        process = subprocess.Popen(
            [binary(), *node, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        ready = process.stdout.readline()
        assert ready == b"INIT 1 0\n", ready
        return process


def credentials():
    """A file with what the scripted node is shown; it goes with the object."""
    file = tempfile.NamedTemporaryFile("w", suffix=".toml")
    file.write('rpc-user = "u"\nrpc-password = "p"\n')
    file.flush()
    return file
