"""From values to answers: as much of it as the conformance cases need."""

import base64
import hashlib
import ipaddress
import json
import re

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
HOST_LABEL = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9_])?")
LOCAL = {"bit", "onion", "exit", "local", "localhost"}

REFUSED = [
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 "
        "192.168.0.0/16 224.0.0.0/3 ::/128 ::1/128 fc00::/7 fe80::/10 fec0::/10 ff00::/8"
    ).split()
]

# The curve of Ed25519 (RFC 8032).
P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
ORDER = 2**252 + 27742317777372353535851937790883648493
ROOT = pow(2, (P - 1) // 4, P)


class NoAnswer(Exception):
    """The name leads to nothing that Tor accepts."""


def is_label(label):
    return bool(LABEL.fullmatch(label))


def answer(name, only_onion, fetch, followed=0):
    """What a name in .bit leads to. `fetch` gives the value of a name key."""
    labels = name.split(".")[:-1]
    if followed > 8:
        raise NoAnswer("too many aliases")
    item = load("d/" + labels[-1], fetch, ())
    for label in reversed(labels[:-1]):
        item = child(item, label)
    texts = strings(child(child(item, "_tor"), "").get("txt"))
    texts += strings(child(item, "_tor").get("txt"))
    addresses = [] if only_onion else strings(item.get("ip")) + strings(item.get("ip6"))
    found = [text.lower() for text in texts if is_onion(text.lower())]
    found += [text for text in addresses if is_public(text)]
    if found:
        return found[0]
    return alias(item, only_onion, fetch, followed)


def alias(item, only_onion, fetch, followed):
    target = item.get("alias")
    if not isinstance(target, str):
        raise NoAnswer("no address")
    target = target.removesuffix(".").lower()
    if target.endswith(".bit") and all(is_label(label) for label in target.split(".")):
        return answer(target, only_onion, fetch, followed + 1)
    if is_onion(target) or (not only_onion and is_host(target)):
        return target
    raise NoAnswer("no address")


def load(key, fetch, within):
    """The object of a name, with what it imports."""
    if key in within or len(within) > 8:
        raise NoAnswer("imports in a circle")
    try:
        item = json.loads(fetch(key))
    except (ValueError, RecursionError):
        item = None
    if not isinstance(item, dict):
        raise NoAnswer("no domain object")
    if isinstance(item.get("import"), str):
        item = load(item["import"], fetch, (*within, key)) | item
    return item


def child(item, label):
    found = item.get("map")
    found = found.get(label) if isinstance(found, dict) else None
    if isinstance(found, str):
        return {"ip": found}
    return found if isinstance(found, dict) else {}


def strings(item):
    items = item if isinstance(item, list) else [item]
    return [text for text in items if isinstance(text, str)]


def is_public(text):
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return not any(mapped in network for network in REFUSED) and "%" not in text


def is_host(text):
    labels = text.split(".")
    last = labels[-1]
    return (
        len(text) <= 253
        and all(HOST_LABEL.fullmatch(label) for label in labels)
        and last not in LOCAL
        and not last.isdigit()
        and not re.fullmatch(r"0x[0-9a-f]*", last)
    )


def is_onion(text):
    *front, label, last = ["", *text.removesuffix(".").split(".")]
    front = front[1:] if front else []
    if last != "onion" or not re.fullmatch(r"[a-z2-7]{56}", label):
        return False
    octets = base64.b32decode(label.upper())
    key, checksum, version = octets[:32], octets[32:34], octets[34:]
    wanted = hashlib.sha3_256(b".onion checksum" + key + version).digest()[:2]
    return (
        version == b"\3"
        and checksum == wanted
        and all(HOST_LABEL.fullmatch(one) for one in front)
        and is_key(key)
    )


def is_key(octets):
    """Whether octets are a point of the curve of the right order."""
    number = int.from_bytes(octets, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= P:
        return False
    x_squared = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(x_squared, (P + 3) // 8, P)
    if x * x % P != x_squared:
        x = x * ROOT % P
    if x * x % P != x_squared or (x == 0 and sign):
        return False
    if x & 1 != sign:
        x = P - x
    return (x, y) != (0, 1) and times(ORDER, (x, y, 1, x * y % P)) == (0, 1)


def times(scalar, point):
    """A multiple of a point, as x and y."""
    total = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point = add(point, point)
        scalar >>= 1
    x, y, z, _ = total
    inverse = pow(z, -1, P)
    return x * inverse % P, y * inverse % P


def add(first, second):
    """The sum of two points in extended coordinates."""
    x1, y1, z1, t1 = first
    x2, y2, z2, t2 = second
    a, b = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P
