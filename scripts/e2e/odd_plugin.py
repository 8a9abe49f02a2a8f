"""A naming plugin that answers with what a file says, and fails where it is asked
to.

    odd_plugin.py ANSWERS

ANSWERS is JSON, answers by name. `die.gns` ends it without an answer, `later.gns`
has its answer at the second query, and `silent.gns` has none.
"""

import json
import os
import sys


def main():
    with open(sys.argv[1]) as file:
        answers = json.load(file)
    later = set()
    print("INIT 1 0", flush=True)
    for line in sys.stdin:
        words = line.split()
        if words[0] != "RESOLVE":
            continue
        number, name = words[1:3]
        if name == "die.gns":
            os._exit(3)
        if name == "silent.gns":
            continue
        if name == "later.gns" and number not in later and not later:
            later.add(number)
            print(f"RESOLVED {number} 1 not yet", flush=True)
        elif name in answers:
            print("nonsense", flush=True)
            print(f"RESOLVED {number} 0 {answers[name]}", flush=True)
        else:
            print(f"RESOLVED {number} 3 no such name", flush=True)


if __name__ == "__main__":
    main()
