"""A naming plugin that does what a test says.

    python3 plugin.py LOG SCRIPT

LOG receives a line for everything that happens: START with the process id, each
line that is read, and END when stdin is closed. SCRIPT is JSON: the key INIT has
the lines of each start, and a name has the lines of each answer, with {id} for
the number that was asked for. What is listed last is repeated. Names that SCRIPT
does not know get status 3. A line that begins with ! is an order.
"""

import json
import os
import sys
import time


def note(line):
    with open(sys.argv[1], "a") as log:
        log.write(line + "\n")


def say(line):
    os.write(1, (line + "\n").encode())


def do(line, number):
    order, _, argument = line.partition(" ")
    if order == "!exit":
        os._exit(int(argument))
    elif order == "!wait":
        while not os.path.exists(argument):
            time.sleep(0.005)
    elif order == "!hang":
        time.sleep(1000)
    elif order == "!close":
        os.close(int(argument))
    elif order == "!long":
        say("RESOLVED %s 0 " % number + "x" * 1_000_000)
    elif order == "!flood":
        while True:
            os.write(1, b"NOISE " + b"x" * 60_000 + b"\n")
    else:
        say(line.replace("{id}", number))


def main():
    with open(sys.argv[2]) as file:
        script = json.load(file)
    attempts = {}

    def act(key, number):
        count = attempts.get(key, 0)
        attempts[key] = count + 1
        lines = script.get(key, [['RESOLVED {id} 3 "no such name"']])
        for line in lines[min(count, len(lines) - 1)]:
            do(line, number)

    try:
        with open(sys.argv[1]) as log:
            attempts["INIT"] = log.read().count("START")
    except FileNotFoundError:
        pass
    note("START %d" % os.getpid())
    note("VERSION " + os.environ["TOR_NS_PROTO_VERSION"])
    act("INIT", "")
    for line in os.fdopen(0, "rb", 0):
        line = line.decode().rstrip("\n")
        note(line)
        words = line.split(" ")
        if words[0] == "RESOLVE":
            act(words[2], words[1])
        elif words[0] == "CANCEL":
            say("CANCELED " + words[1])
    note("END")


main()
