"""Checks this peer against `test/vectors/x1.json`."""
import hashlib
import json
import re
from dataclasses import fields, is_dataclass
from typing import Any

from x1_fields import BAD_RECORD, LIMIT, UNKNOWN_CRITICAL, Fault
from x1_node import emit
from x1_records import MAX_CONTROL, OPS, Ack, decode, encode
from x1_replay import session_fault
from x1_wire import Transcript, is_x1_token, key_id, mac, make_accept, make_hello

ERRORS = {BAD_RECORD: "ASOC_BAD_RECORD", UNKNOWN_CRITICAL: "ASOC_UNKNOWN_CRITICAL_RECORD", LIMIT: "ASOC_RECORD_LIMIT"}
LEVELS = {1: "received", 2: "verified", 3: "consumed"}
OTHERS = {"source", "keyRotation"}  # the standard library has no AES-GCM


def as_json(value: Any) -> Any:
    """A record as the vectors have it: names in camel case, bytes in hex, what is not there left out."""
    if isinstance(value, bytes):
        return value.hex()
    if is_dataclass(value) or hasattr(value, "_asdict"):
        pairs = ((each.name, getattr(value, each.name)) for each in fields(value)) if is_dataclass(value) else \
            value._asdict().items()
        return {re.sub("_(.)", lambda found: found[1].upper(), name): as_json(each) for name, each in pairs
                if each is not None}
    return [as_json(each) for each in value] if isinstance(value, tuple) else value


def record_fits(vector: dict[str, Any]) -> bool:
    """Read it has these fields, and they are written as the same bytes."""
    payload = bytes.fromhex(vector["hex"])
    (record,) = decode(payload, ())
    kind = re.sub("(?<=[a-z])([A-Z])", r"_\1", type(record).__name__).lower()
    found = {"kind": kind, **as_json(record)}
    if isinstance(record, Ack):
        found["level"] = LEVELS[record.level]
    return found == vector["fields"] and encode(record) == payload


def refusal_fits(vector: dict[str, Any]) -> bool:
    """It is refused, for that reason. The limit of a frame is judged on its header, which is not here."""
    payload = bytes.fromhex(vector["hex"])
    try:
        decode(payload, ())
    except Fault as fault:
        return vector["error"] in (ERRORS[fault.code], "ASOC_FRAME_TOO_LARGE" if len(payload) > MAX_CONTROL else "")
    return False


def handshake_fits(vector: dict[str, Any]) -> bool:
    """Every value of the proof, made from what was on the wire."""
    key = vector["key"].encode()
    raw = {name: bytes.fromhex(vector.get(name, "")) for name in (
        "helloFrame", "acceptFrame", "diallerCaps", "acceptorCaps", "tlsBinding", "sharedSecret")}
    made = Transcript(key, *raw.values())
    hello, accept = raw["helloFrame"], raw["acceptFrame"]
    return (make_hello(key, hello[14:30], hello[46:]), make_accept(key, accept[14:22])) == (hello, accept) and all((
        made.th.hex() == vector["th"], made.prk.hex() == vector["prk"],
        *(made.role_key(role).hex() == vector[f"{role}Key"] and made.proof(role).hex() == vector[f"{role}Proof"]
          for role in ("dialler", "acceptor"))))


def glob_fits(vector: dict[str, Any]) -> bool:
    """RFC-0004, section 12.8: `*` stays within a segment, two or more cross; nothing else is special."""
    wild = {"*": "[^/]*"}
    parts = re.findall(r"\*+|[^*]+", vector["glob"])
    pattern = "".join(wild.get(part, ".*") if part[0] == "*" else re.escape(part) for part in parts)
    return (re.fullmatch(pattern, vector["topic"], re.DOTALL) is not None) == vector["fits"]


def derived_fits(vector: dict[str, Any]) -> bool:
    """RFC-0102, section 8: the key of a cluster from a master key."""
    salt = b"asoc/cluster/" + vector["cluster"].encode()
    made = hashlib.pbkdf2_hmac("sha256", vector["masterKey"].encode(), salt, 600_000, 32)
    return made.hex() == vector["key"]


def rotation_keys_fit(vector: dict[str, Any]) -> bool:
    """RFC-0102, section 4: what each side seals keys with."""
    prk = bytes.fromhex(vector["prk"])
    return all(mac(prk, b"rotate" + role.encode() + b"\1").hex() == vector[role] for role in ("dialler", "acceptor"))


CHECKS = {
    "records": record_fits,
    "rejected": refusal_fits,
    "keyIds": lambda vector: key_id(vector["key"].encode()).hex() == vector["keyId"],
    "tokens": lambda vector: is_x1_token(vector["key"].encode(), bytes.fromhex(vector["token"])) == vector["isX1"],
    "handshakes": handshake_fits,
    "globs": glob_fits,
    "derivedKeys": derived_fits,
    "rotationKeys": rotation_keys_fit,
}


def check(path: str) -> int:
    """Prints how many vectors hold; a part of the file without a check fails."""
    with open(path, encoding="utf-8") as file:
        parts = json.load(file)
    bad = [name for name in parts if name not in {"sessions", *CHECKS, *OTHERS}]
    good = 0
    for name, fits in CHECKS.items():
        for vector in parts.get(name, ()):
            if fits(vector):
                good += 1
            else:
                bad.append(f"{name}: {vector.get('name', vector)}")
    for session in parts.get("sessions", ()):
        if fault := session_fault(session):
            bad.append(f"session: {fault}")
        else:
            good += 1
    missing = {op for op in OPS if op not in {bytes.fromhex(each["hex"])[0] for each in parts["records"]}}
    emit("golden", passed=good, bad=bad, missing=sorted(missing))
    return 1 if bad or missing else 0
