"""Stands between a naming client and its plugin and writes down what passes.

    tap.py LOG PLUGIN [ARGS...]

Each line of the log begins with this process's id, since a naming client may run
its plugin more than once. Then comes `start`, a line of the protocol after `>`
(to the plugin) or `<` (from it), or `end STATUS`. A line is logged before it is
passed on, so whoever sees its effect finds it there.
"""

import os
import subprocess
import sys
import threading


def main():
    file = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def log(text):
        os.write(file, b"%d %s\n" % (os.getpid(), text))

    log(b"start")
    plugin = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    to_plugin = threading.Thread(
        target=pass_on, args=(sys.stdin.buffer, plugin.stdin, log, b"> "), daemon=True
    )
    to_plugin.start()
    pass_on(plugin.stdout, sys.stdout.buffer, log, b"< ")
    status = plugin.wait()
    log(b"end %d" % status)
    os._exit(status & 0xFF)


def pass_on(source, sink, log, mark):
    """Passes lines on until there are no more, or nobody reads them."""
    try:
        for line in iter(source.readline, b""):
            log(mark + line.rstrip(b"\n"))
            sink.write(line)
            sink.flush()
        sink.close()
    except OSError:
        pass


if __name__ == "__main__":
    main()
