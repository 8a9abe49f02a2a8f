"""How processes end."""

import subprocess
import time


def end(process, patience=5):
    """Ends a process as a service manager does; how long that took."""
    begin = time.monotonic()
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return time.monotonic() - begin
