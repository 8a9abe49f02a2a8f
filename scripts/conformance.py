#!/usr/bin/env python3
"""Runs the conformance cases against a plugin of Tor proposal 279."""

import argparse
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

sys.dont_write_bytecode = True

from conformance_kit import cases, run  # noqa: E402

OUR_ARGUMENTS = (
    "--rpc-address {rpc} --rpc-user {user} --rpc-password {password} --timeout {timeout}"
).split()

USAGE = "conformance.py [OPTIONS] PLUGIN [ARGS...]"
DESCRIPTION = """\
Runs the cases in tests/conformance against a plugin command and prints which
requirements of spec/prop279-isolation.md it meets. In ARGS, {rpc} is replaced
by the node's HOST:PORT, {user} and {password} by its credentials, {timeout} by
the time limit of a query in seconds and {timeout_ms} by the same in
milliseconds. Without ARGS the flags of ncprop279 are used. Exit status: 0 if
all cases passed, 1 if not, 2 if the kit could not be used."""


def arguments():
    parser = argparse.ArgumentParser(
        usage=USAGE,
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--case", action="append", metavar="NAME", help="only this case; may be repeated")
    parser.add_argument("--group", action="append", metavar="NAME", help="only this group; may be repeated")
    parser.add_argument("--jobs", type=int, default=16, metavar="N", help="cases at once [16]")
    parser.add_argument("--list", action="store_true", help="list the cases, run nothing")
    parser.add_argument("--requirements", action="store_true", help="with --list: the requirements that have a case")
    parser.add_argument("--verbose", action="store_true", help="tell each failure in detail")
    parser.add_argument("plugin", nargs="?", metavar="PLUGIN", help=argparse.SUPPRESS)
    parser.add_argument("args", nargs=argparse.REMAINDER, metavar="ARGS", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if not given.plugin and not given.list:
        parser.error("no PLUGIN")
    return given


def chosen(all_cases, given):
    """The cases that the command line asks for."""
    known = {case.name for case in all_cases} | {case.group for case in all_cases}
    for name in (given.case or []) + (given.group or []):
        if name not in known:
            raise cases.Malformed(f"no case or group {name}")
    if not given.case and not given.group:
        return all_cases
    return [
        case
        for case in all_cases
        if case.name in (given.case or []) or case.group in (given.group or [])
    ]


def verdicts(selected, command, jobs, **options):
    """Each case with why it fails (None if it passes) and what was said."""

    def one(case):
        under_way = run.Run(case, command, **options)
        return case, under_way.failure(), under_way.story()

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, selected))


def order_of(requirement):
    """Requirements in the order of the specification."""
    return "FIQSTCE".find(requirement[0]), [int(n) for n in requirement[1:].split(".")]


def table(results):
    """A line for each requirement: its number, verdict, and failed cases."""
    numbers = {number for case, _, _ in results for number in case.requirements}
    lines = ["number  cases  verdict"]
    for number in sorted(numbers, key=order_of):
        about = [(case, why) for case, why, _ in results if number in case.requirements]
        failed = [case.name for case, why in about if why]
        line = f"{number:6}  {len(about):5}  {'FAILED ' if failed else 'passed'}"
        lines.append(fit(line + " ".join(failed)))
    return lines


def fit(line, columns=80):
    return line if len(line) <= columns else line[: columns - 3] + "..."


def failed_requirements(results):
    return {number for case, why, _ in results if why for number in case.requirements}


def report(results, verbose):
    print("\n".join(table(results)))
    failed = [result for result in results if result[1]]
    if verbose:
        for case, why, story in failed:
            print(f"\n{case.group}/{case.name} ({', '.join(case.requirements)}): {case.title}")
            print("\n".join([f"  {why}", *story]))
    numbers = {number for case, _, _ in results for number in case.requirements}
    print(f"\ncases: {len(results) - len(failed)} of {len(results)} passed")
    met = len(numbers) - len(failed_requirements(results))
    print(f"requirements: {met} of {len(numbers)} met")
    if failed and not verbose:
        print("--verbose tells each failure in detail")
    return 1 if failed else 0


def main():
    given = arguments()
    try:
        selected = chosen(cases.read(), given)
    except cases.Malformed as error:
        print(f"conformance.py: {error}", file=sys.stderr)
        return 2
    if given.list and given.requirements:
        numbers = {number for case in selected for number in case.requirements}
        print("\n".join(sorted(numbers, key=order_of)))
        return 0
    if given.list:
        for case in selected:
            print(fit(f"{case.group}/{case.name} ({' '.join(case.requirements)}): {case.title}"))
        return 0
    if not shutil.which(given.plugin):
        print(f"conformance.py: {given.plugin} cannot be run", file=sys.stderr)
        return 2
    command = [given.plugin, *(given.args or OUR_ARGUMENTS)]
    try:
        results = verdicts(selected, command, max(1, given.jobs))
    except OSError as error:
        print(f"conformance.py: {given.plugin} cannot be run: {error}", file=sys.stderr)
        return 2
    return report(results, given.verbose)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:
        # Nobody reads on, as with head; what is left goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
