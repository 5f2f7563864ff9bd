"""The software that the book is made with: a bill of materials (CycloneDX, JSON) from requirements.lock."""

from __future__ import annotations

import hashlib
import re
import tomllib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

TEXT_LICENCE = "CC-BY-4.0"  # see LICENSE-TEXT
_NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")  # RFC 9562: names that are addresses


@dataclass(frozen=True)
class Pin:
    """One entry of the lock: a package, where it is installed, its files' hashes, and who asked for it."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    via: tuple[str, ...]

    @property
    def ref(self) -> str:
        return f"pkg:pypi/{self.name}@{self.version}"


def pins(lock: str) -> list[Pin]:
    """The entries of a lock as `uv pip compile --generate-hashes` writes it.

    Raises ValueError where it has none, or one has no hash.
    """
    found = []
    for match in re.finditer(
        r"^([\w.-]+)==([^\s;\\]+)(?: ; (.*?))? *\\?\n((?:    .*\n?)+)", lock, re.MULTILINE
    ):
        name, version, marker, body = match.groups()
        hashes = tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", body))
        if not hashes:
            raise ValueError(
                f"requirements.lock pins {name} without a hash; run `make lock` to write it anew"
            )
        via = re.findall(r"^    #(?: via|  ) +([\w.-]+)", body, re.MULTILINE)
        found.append(Pin(name, version, marker or "", hashes, tuple(via)))
    if not found:
        raise ValueError("requirements.lock pins nothing; run `make lock` to write it anew")
    return found


def needed(found: Iterable[Pin], direct: Iterable[str]) -> set[str]:
    """Names of the packages that the ``direct`` ones pull in, themselves included."""
    brings: dict[str, set[str]] = {}
    for pin in found:
        for parent in pin.via:
            brings.setdefault(parent, set()).add(pin.name)
    reached: set[str] = set()
    waiting = list(direct)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += brings.get(name, ())
    return reached


def bill(root: Path, when: datetime) -> dict[str, Any]:
    """The bill of materials of the project at ``root``, dated ``when``; equal for an equal lock and date.

    What only tests and releases need is "optional". A package that is another version on another Python, or
    is for one system alone, says so in a property.
    """
    lock = (root / "requirements.lock").read_text(encoding="utf-8")
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    me = project["name"]
    own = f"pkg:pypi/{me}@{project['version']}"
    found = pins(lock)
    direct = {re.split(r"[<>=!~ \[;]", line, maxsplit=1)[0].lower() for line in project["dependencies"]}
    required = needed(found, direct)
    refs: dict[str, list[str]] = {}
    for pin in found:
        refs.setdefault(pin.name, []).append(pin.ref)
    depends: dict[str, set[str]] = {own: set()} | {pin.ref: set() for pin in found}
    for pin in found:
        for parent in pin.via:
            for ref in [own] if parent == me else refs.get(parent, []):
                depends[ref].add(pin.ref)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, own + hashlib.sha256(lock.encode()).hexdigest())}",
        "version": 1,
        "metadata": {
            "timestamp": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application", "bom-ref": own, "name": me, "version": project["version"], "purl": own,
                "description": project["description"],
                # of the code, and of the text
                "licenses": [{"license": {"id": one}} for one in (project["license"], TEXT_LICENCE)],
            },
        },
        "components": [_component(pin, pin.name in required) for pin in found],
        "dependencies": [{"ref": ref, "dependsOn": sorted(on)} for ref, on in sorted(depends.items())],
    }  # fmt: skip


def _component(pin: Pin, required: bool) -> dict[str, Any]:
    properties = [{"name": "marker", "value": pin.marker}] if pin.marker else []
    return {
        "type": "library", "bom-ref": pin.ref, "name": pin.name, "version": pin.version, "purl": pin.ref,
        "scope": "required" if required else "optional",
        # of its source and of the wheels for each system; one of them is installed
        "hashes": [{"alg": "SHA-256", "content": one} for one in pin.hashes],
        **({"properties": properties} if properties else {}),
    }  # fmt: skip
