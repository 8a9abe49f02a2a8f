"""The sections of BENCHMARKS.md that scripts write."""

import os
import platform
import re
from pathlib import Path

from plugin import ROOT


def machine():
    text = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", text, re.M)
    name = model[1] if model else platform.machine()
    return f"{name}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}."


def write(script, text):
    """Puts a section between the marks of its script."""
    begin, end = marks(script)
    path = ROOT / "BENCHMARKS.md"
    before, found, rest = path.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{path} has no marks for the figures of {script}")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def marks(script):
    return f"<!-- {script}: begin -->", f"<!-- {script}: end -->"
