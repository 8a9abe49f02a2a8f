"""StemNS as the naming client, from a folder or file that the user names."""

import shutil
import subprocess
import sys
from pathlib import Path

from e2e.processes import end

PATIENCE = 5

# Each setting under every name that a version of StemNS has had, and the port
# both as a number and as a function.
CONFIG = """
import os


class Port(int):
    def __call__(self):
        return int(self)


def nothing():
    pass


def end():
    os._exit(0)


tor_control_port = Port({port})
service_to_command = _service_to_command = {{"bit": {command!r}, "bit.onion": {command!r}}}
bootstrap_callback = _bootstrap_callback = nothing
exit_callback = _exit_callback = end
"""


def program(path):
    """StemNS itself, in the folder that was named or as the file; None if it is
    not there."""
    path = Path(path)
    found = path / "stemns.py" if path.is_dir() else path
    return found if found.is_file() else None


class StemNs:
    title = "StemNS"

    def __init__(self, tor, command, folder, path):
        self.problems = []
        # It reads its configuration beside itself, so it runs as a copy.
        home = folder / "stemns"
        (home / "config").mkdir(parents=True)
        shutil.copy(program(path), home / "stemns.py")
        command = [str(part) for part in command]
        config = CONFIG.format(port=tor.control_port, command=command)
        (home / "config" / "e2e.py").write_text(config)
        self.output = open(home / "output", "w+")
        self.process = subprocess.Popen(
            [sys.executable, home / "stemns.py"],
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=subprocess.STDOUT,
        )

    def stop(self):
        if self.process.poll() is not None:
            self.problems.append(f"StemNS ended by itself with {self.process.returncode}")
        end(self.process, PATIENCE)
        self.output.seek(0)
        # Its threads end by an exception that is printed.
        if "Traceback" in (text := self.output.read()):
            self.problems.append("StemNS: " + text.strip().splitlines()[-1])
        self.output.close()
