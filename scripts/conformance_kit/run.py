"""Runs one case against a plugin, and judges it."""

import io
import os
import re
import signal
import subprocess
import tempfile
import threading
import time

from .node import PASSWORD, USER, Node

# How long is waited for something beyond the time limit of a query. Only a
# plugin that fails makes anyone wait so long.
PATIENCE = 3

# What is heard of one stream at most; a case needs a small part of it. A plugin
# that says more has failed, and its further words would fill the memory.
MOST_OCTETS = 4 << 20
MOST_LINES = 20_000

MESSAGES = ["INIT *", "CANCELED *", *(f"RESOLVED * {n} *" for n in range(5))]

_QUOTED = re.compile(r'"(?:[ !#-\[\]-~]|\\["\\]|\\x[0-9A-Fa-f]{2})*"')
_ESCAPE = re.compile(r'\\(?:["\\]|x..)')


class Failed(Exception):
    """The plugin did not do what the case says."""


def matches(pattern, line):
    """Whether a whole line matches a pattern."""
    parts = re.split(r"(\*|<quoted>)", pattern)
    wild = {"*": "(?:.*)", "<quoted>": f"({_QUOTED.pattern})"}
    found = re.fullmatch("".join(wild.get(part, re.escape(part)) for part in parts), line, re.S)
    if not found:
        return False
    quoted = (text for text in found.groups() if text is not None)
    return all(len(_ESCAPE.sub("x", text)) - 2 <= 400 for text in quoted)


class _Ear:
    """The lines of a stream so far."""

    def __init__(self, stream):
        self.lines = []
        self.changed = threading.Condition()
        self.ended = False
        self.thread = threading.Thread(target=self._listen, args=(stream,), daemon=True)
        self.thread.start()

    def _listen(self, stream):
        left = MOST_OCTETS
        with io.BufferedReader(stream) as stream:
            while line := stream.readline(left):
                left -= len(line)
                text = line.removesuffix(b"\n").decode(errors="backslashreplace")
                if not line.endswith(b"\n"):
                    text = text[:200] + "<no line end>"
                self._hear(text)
                if not left or len(self.lines) >= MOST_LINES:
                    self._hear("<and more, which nobody can want>")
                    break
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def _hear(self, text):
        with self.changed:
            self.lines.append(text)
            self.changed.notify_all()

    def so_far(self):
        with self.changed:
            return list(self.lines)

    def wait_for(self, found, patience):
        """Whether the lines satisfy `found` in time."""
        with self.changed:
            self.changed.wait_for(lambda: self.ended or found(self.lines), patience)
            return found(self.lines)


class Run:
    """One case under way."""

    def __init__(self, case, command, spawn=subprocess.Popen):
        self.case = case
        self.patience = case.timeout + PATIENCE
        self.node = Node(case)
        # What the plugin left behind may still write there.
        self.home = tempfile.TemporaryDirectory(
            prefix="conformance-", ignore_cleanup_errors=True
        )
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TOR_NS_")}
        self.process = spawn(
            [self._fill(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Closing a buffered stream waits for a write that is under way.
            bufsize=0,
            env=environment | {"HOME": self.home.name} | case.env,
            start_new_session=True,
        )
        self.stdout = None if case.deaf else _Ear(self.process.stdout)
        self.stderr = _Ear(self.process.stderr)
        self.is_ending = False

    def _fill(self, word):
        for key, value in {
            "{rpc}": self.node.address,
            "{user}": USER,
            "{password}": PASSWORD,
            "{timeout}": str(self.case.timeout),
            "{timeout_ms}": str(round(self.case.timeout * 1000)),
        }.items():
            word = word.replace(key, value)
        return word

    def failure(self):
        """Why the case fails; None if it passes."""
        try:
            self._play()
            self._end()
            self._judge()
        except Failed as failed:
            return str(failed)
        finally:
            self._clean_up()
        return None

    def story(self):
        """What was said and asked, for people."""
        said = [f"  > {line}" for line in (self.stdout.so_far() if self.stdout else [])]
        said += [f"  ! {line}" for line in self.stderr.so_far()]
        with self.node.changed:
            said += [f"  node: {name} for {id or 'no id'}" for name, id in self.node.log]
        return [line if len(line) < 200 else line[:197] + "..." for line in said[:60]]

    def _play(self):
        if not self.case.at_once and self.stdout:
            self._wait([self.case.init])
        for step in self.case.steps:
            self._step(step)
        if not self.is_ending and self.stdout:
            self._wait_for_lines(self.case.expect, self.patience)

    def _step(self, step):
        if "send" in step:
            lines = [step["send"]] if isinstance(step["send"], str) else step["send"]
            self._send("".join(line + "\n" for line in lines).encode(), step)
        elif "send_raw" in step:
            self._send(step["send_raw"].encode(), step)
        elif "send_hex" in step:
            self._send(bytes.fromhex(step["send_hex"]), step)
        elif "wait" in step:
            patterns = [step["wait"]] if isinstance(step["wait"], str) else step["wait"]
            self._wait(patterns, step.get("within", self.patience))
        elif "wait_request" in step:
            if not self.node.wait_for(self.patience, **step["wait_request"]):
                raise Failed(f"the node was not asked: {step['wait_request']}")
        elif "release" in step:
            self.node.release(step["release"])
        elif "set" in step:
            self.node.set(step["set"])
        elif "close" in step:
            if step["close"] == "stdin":
                self._close_stdin()
            else:
                self.process.stdout.close()
        elif "signal" in step:
            self.is_ending = True
            self.process.send_signal(getattr(signal, "SIG" + step["signal"]))
        else:
            time.sleep(step["pause"])

    def _send(self, octets, step):
        if "times" in step:
            octets = b"".join(
                octets.replace(b"{n}", b"%d" % (n + 1)) for n in range(step["times"])
            )
        # A plugin that does not read would hold up the case for ever.
        writer = threading.Thread(target=self._write, args=(octets,), daemon=True)
        writer.start()
        writer.join(self.patience)
        if writer.is_alive():
            raise Failed("it does not read its stdin")

    def _write(self, octets):
        rest = memoryview(octets)
        try:
            while rest:
                rest = rest[self.process.stdin.write(rest) :]
        except (OSError, ValueError):
            pass  # It has ended; what it did not answer tells so.

    def _close_stdin(self):
        self.is_ending = True
        try:
            self.process.stdin.close()
        except OSError:
            pass

    def _wait(self, patterns, patience=None):
        self._wait_for_lines([[one] for one in patterns], patience or self.patience)

    def _wait_for_lines(self, wanted, patience):
        if not self.stdout.wait_for(lambda lines: not missing(wanted, lines), patience):
            lacking = missing(wanted, self.stdout.so_far())
            when = "before stdout ended" if self.stdout.ended else f"in {patience:g} s"
            raise Failed(f"no line {describe(lacking[0])} {when}")

    def _end(self):
        self.node.release()
        if not self.is_ending:
            self._close_stdin()
        try:
            self.process.wait(self.case.exit_within or self.patience)
        except subprocess.TimeoutExpired:
            if self.case.exit is not None:
                raise Failed("it does not end") from None
            self._kill()
        for ear in (self.stdout, self.stderr):
            if ear:
                # What the plugin started, and left, may hold the pipe open.
                ear.thread.join(PATIENCE)

    def _judge(self):
        case = self.case
        lines = self.stdout.so_far() if self.stdout else []
        lacking = missing(case.expect, lines) if self.stdout else []
        if lacking:
            raise Failed(f"no line {describe(lacking[0])}")
        for pattern in case.never:
            refuse(pattern, lines, "stdout")
        for pattern in case.stderr_never:
            refuse(pattern, self.stderr.so_far(), "stderr")
        for patterns in case.order:
            judge_order(patterns, lines)
        for wanted in case.counts:
            judge_count(wanted["line"], wanted["count"], lines)
        if case.init_first and not (lines and matches(case.init, lines[0])):
            raise Failed(f"the first line is not {case.init}")
        if case.messages_only:
            judge_messages(lines)
        for request in case.requests:
            self._judge_request(request)
        if case.exit is not None and self.process.returncode != case.exit:
            raise Failed(f"it ended with {self.process.returncode}, not {case.exit}")

    def _judge_request(self, request):
        count = self.node.count(request.get("name"), request.get("id"))
        least = request.get("count", request.get("min", 0))
        most = request.get("count", request.get("max", count))
        if not least <= count <= most:
            raise Failed(f"the node was asked {count} times: {request}")

    def _kill(self):
        """Kills the plugin and what it started, which may hold its pipes open."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def _clean_up(self):
        self.node.stop()
        self._kill()
        self._close_stdin()
        self.home.cleanup()


def missing(wanted, lines):
    """The alternatives of `wanted` for which no line of their own is there."""
    left = list(lines)
    lacking = []
    for patterns in wanted:
        for line in left:
            if any(matches(pattern, line) for pattern in patterns):
                left.remove(line)
                break
        else:
            lacking.append(patterns)
    return lacking


def describe(patterns):
    return " or ".join(patterns)


def refuse(pattern, lines, where):
    for line in lines:
        if matches(pattern, line):
            raise Failed(f"a line on {where} that must not be: {line}")


def judge_order(patterns, lines):
    places = []
    for pattern in patterns:
        found = [at for at, line in enumerate(lines) if matches(pattern, line)]
        if not found:
            raise Failed(f"no line {pattern}")
        places.append(found[0])
    if places != sorted(places):
        raise Failed("not in this order: " + ", ".join(patterns))


def judge_count(pattern, wanted, lines):
    count = sum(matches(pattern, line) for line in lines)
    if count != wanted:
        raise Failed(f"{count} lines {pattern}, not {wanted}")


def judge_messages(lines):
    for line in lines:
        if not any(matches(message, line) for message in MESSAGES):
            raise Failed(f"no message: {line}")
