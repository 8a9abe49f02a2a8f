"""What the scripts have in common: the program to check, the end, the results."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def debug_binary():
    subprocess.run(["cargo", "build", "--locked", "--quiet"], cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return ROOT / target / "debug" / "ncprop279"


def end_early(seconds):
    """Has what was started ended in an orderly way, whatever ends the run."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)

    def end(number, _):
        for other in numbers:
            signal.signal(other, signal.SIG_IGN)
        sys.exit(f"FAIL: ended by {signal.Signals(number).name}")

    for number in numbers:
        signal.signal(number, end)
    signal.alarm(seconds)


class Table:
    """Prints each check's line as it ends, and counts."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def check(self, check, *arguments, title=None):
        """Whether the check holds. Its title is the function's name, unless given."""
        begin = time.monotonic()
        try:
            found = check(*arguments)
            mark = "ok"
            self.passed += 1
        except Exception as error:  # A check that cannot be made has failed.
            found = f"{type(error).__name__}: {error}"
            mark = "FAIL"
            self.failed += 1
        title = title or check.__name__.replace("_", " ")
        took = time.monotonic() - begin
        print(f"{mark:4}  {took:5.2f} s  {title:42} {found}".rstrip(), flush=True)
        return mark == "ok"
