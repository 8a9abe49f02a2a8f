"""Reads the cases. `tests/conformance/README.md` describes their form."""

import dataclasses
import re
import tomllib
from pathlib import Path

DIRECTORY = Path(__file__).resolve().parents[2] / "tests" / "conformance"

SECONDS = (int, float)

REPLY = {
    "value": str,
    "value_hex": str,
    "expired_value": str,
    "error": str,
    "code": int,
    "http": int,
    "body": str,
    "close": bool,
    "cut": bool,
    "silent": bool,
    "delay": SECONDS,
}
# What a reply is, apart from members that only go with one of these.
REPLY_KINDS = {"value", "value_hex", "expired_value", "error", "http", "close", "cut", "silent"}
STEP = {
    "send": (str, list),
    "send_raw": str,
    "send_hex": str,
    "wait": (str, list),
    "wait_request": dict,
    "release": str,
    "set": dict,
    "close": str,
    "signal": str,
    "pause": SECONDS,
    "times": int,
    "within": SECONDS,
}
STEP_KINDS = set(STEP) - {"times", "within"}
NUMBERED = {"line": str, "times": int}
COUNT = {"line": str, "count": int}
WAIT_REQUEST = {"name": str, "id": str, "count": int}
REQUEST = {"name": str, "id": str, "count": int, "min": int, "max": int}


class Malformed(Exception):
    """A file of cases is not of the form that it should have."""


@dataclasses.dataclass
class Case:
    group: str
    name: str
    title: str
    requirements: list
    node: str = "core"
    heights: list = dataclasses.field(default_factory=lambda: [250, 250])
    timeout: float = 3
    env: dict = dataclasses.field(default_factory=dict)
    names: dict = dataclasses.field(default_factory=dict)
    held: list = dataclasses.field(default_factory=list)
    init: str = "INIT 1 0"
    at_once: bool = False
    deaf: bool = False
    steps: list = dataclasses.field(default_factory=list)
    expect: list = dataclasses.field(default_factory=list)
    order: list = dataclasses.field(default_factory=list)
    never: list = dataclasses.field(default_factory=list)
    counts: list = dataclasses.field(default_factory=list)
    init_first: bool = False
    messages_only: bool = False
    stderr_never: list = dataclasses.field(default_factory=list)
    requests: list = dataclasses.field(default_factory=list)
    exit: int | None = None
    exit_within: float | None = None


def read(directory=DIRECTORY):
    """All cases, by their files and in their order."""
    files = sorted(Path(directory).glob("*.toml"))
    found = [case for path in files for case in _read_file(path)]
    names = [case.name for case in found]
    twice = {name for name in names if names.count(name) > 1}
    if twice or not found:
        raise Malformed(f"{directory}: no cases, or names that are used twice: {twice}")
    return found


def _read_file(path):
    return parse(path.stem, path.read_text(encoding="utf-8"))


def parse(group, text):
    """The cases of one file."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Malformed(f"{group}: {error}") from error
    _check_keys(group, content, {"names": dict, "case": list})
    shared = _names(group, content.get("names", {}))
    return [_case(group, raw, shared) for raw in content.get("case", [])]


def _case(group, raw, shared):
    where = f"{group}: {raw.get('name', 'a case without a name')}"
    kinds = {field.name: field.type for field in dataclasses.fields(Case)}
    kinds |= {"timeout": SECONDS, "exit": int, "exit_within": SECONDS}
    del kinds["group"]
    _check_keys(where, raw, kinds)
    for key in ("name", "title", "requirements"):
        if not raw.get(key):
            raise Malformed(f"{where}: {key} is missing")
    if not re.fullmatch(r"[a-z0-9-]+", raw["name"]):
        raise Malformed(f"{where}: not a name")
    case = Case(group=group, **raw)
    _check_texts(where, list(case.env.values()))
    case.names = shared | _names(where, case.names)
    for key in ("requirements", "held", "never", "stderr_never"):
        _check_texts(where, getattr(case, key))
    if case.node not in ("core", "electrum") or [type(h) for h in case.heights] != [int, int]:
        raise Malformed(f"{where}: node is {case.node!r}, heights are {case.heights}")
    if case.exit_within is not None and case.exit is None:
        raise Malformed(f"{where}: exit_within goes with exit")
    for patterns in case.order:
        if not isinstance(patterns, list):
            raise Malformed(f"{where}: {patterns!r} is no list of patterns")
        _check_texts(where, patterns)
    for wanted in case.counts:
        _check_keys(where, wanted, COUNT)
        if wanted.keys() != COUNT.keys():
            raise Malformed(f"{where}: {wanted} is incomplete")
    case.steps = [_step(where, step) for step in case.steps]
    case.expect = [line for element in case.expect for line in _expected(where, element)]
    for request in case.requests:
        _check_keys(where, request, REQUEST)
        if ("count" in request) == bool(request.keys() & {"min", "max"}):
            raise Malformed(f"{where}: {request} has neither or both of count and bounds")
    return case


def _step(where, step):
    _check_keys(where, step, STEP)
    if len(step.keys() & STEP_KINDS) != 1:
        raise Malformed(f"{where}: {step} is not one step")
    if "times" in step and not step.keys() & {"send", "send_raw"}:
        raise Malformed(f"{where}: {step} cannot be repeated")
    if "within" in step and "wait" not in step:
        raise Malformed(f"{where}: {step} waits for nothing")
    for key in ("send", "wait"):
        if isinstance(step.get(key), list):
            _check_texts(where, step[key])
    _check_hex(where, step.get("send_hex", ""))
    if "wait_request" in step:
        _check_keys(where, step["wait_request"], WAIT_REQUEST)
    if "set" in step:
        step = step | {"set": _names(where, step["set"])}
    if step.get("close", "stdin") not in ("stdin", "stdout"):
        raise Malformed(f"{where}: {step} closes nothing")
    if step.get("signal", "TERM") not in ("TERM", "INT"):
        raise Malformed(f"{where}: {step} is no signal")
    return step


def _expected(where, element):
    """An element of `expect` as lists of patterns, one of which must match."""
    if isinstance(element, str):
        return [[element]]
    if not isinstance(element, dict):
        raise Malformed(f"{where}: {element!r} is no line")
    if element.keys() == {"any"}:
        _check_texts(where, element["any"])
        return [element["any"]]
    if element.keys() == NUMBERED.keys():
        _check_keys(where, element, NUMBERED)
        line = element["line"]
        return [[line.replace("{n}", str(n + 1))] for n in range(element["times"])]
    raise Malformed(f"{where}: {element} is no line")


def _names(where, names):
    """Each name with the list of its replies."""
    return {name: _replies(where, replies) for name, replies in names.items()}


def _replies(where, replies):
    if not isinstance(replies, list):
        replies = [replies]
    replies = [{"value": one} if isinstance(one, str) else one for one in replies]
    for reply in replies:
        _check_keys(where, reply, REPLY)
        kinds = {kind for kind in reply.keys() & REPLY_KINDS if reply[kind] is not False}
        complete = len(kinds) == 1 and ("error" in reply) == ("code" in reply)
        if not complete or ("body" in reply and "http" not in reply):
            raise Malformed(f"{where}: {reply} is no reply")
        _check_hex(where, reply.get("value_hex", ""))
    if not replies:
        raise Malformed(f"{where}: a name without a reply")
    return replies


def _check_keys(where, table, kinds):
    if not isinstance(table, dict):
        raise Malformed(f"{where}: {table!r} is no table")
    for key, value in table.items():
        if key not in kinds:
            raise Malformed(f"{where}: unknown key {key}")
        is_right = isinstance(value, kinds[key]) and isinstance(value, bool) == (kinds[key] is bool)
        is_number = isinstance(value, (int, float)) and key not in ("code", "exit")
        if not is_right or (is_number and value < 0):
            raise Malformed(f"{where}: {key} is {value!r}")


def _check_hex(where, digits):
    if not re.fullmatch(r"(?:[0-9A-Fa-f]{2})*", digits):
        raise Malformed(f"{where}: {digits!r} is not hexadecimal")


def _check_texts(where, texts):
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Malformed(f"{where}: {texts!r} is no list of texts")
