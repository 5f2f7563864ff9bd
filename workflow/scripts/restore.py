"""Take what a release has computed, so that `make` does not compute it again. Needs nothing but Python.

Looks for the release of this tag, then for the latest one, and unpacks its archive of the build folder once
its checksum is verified. A build folder that has detectors is left as it is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ARCHIVE = re.compile(r".+-build\.tar\.gz")


class RestoreError(Exception):
    """Why nothing could be taken from an existing release, in one sentence."""


def fetch(address: str, kind: str = "application/octet-stream") -> bytes | None:
    """The content at an address, None if there is none; RestoreError if it cannot be fetched."""
    headers = {"Accept": kind, "User-Agent": "transferable-forensic-features"}
    if token := os.environ.get("GITHUB_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=600) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise RestoreError(f"{address} answered {error.code} {error.reason}; run again later") from error
    except OSError as error:
        raise RestoreError(f"{address} could not be reached ({error}); run again later") from error


def releases(server: str, repository: str, tag: str) -> Iterator[dict[str, Any]]:
    """The release of the tag, then the latest, as far as there are any."""
    for name in ([f"tags/{tag}"] if tag else []) + ["latest"]:
        found = fetch(f"{server}/repos/{repository}/releases/{name}", "application/json")
        if found is not None:
            yield json.loads(found)


def restore(release: dict[str, Any], root: Path) -> bool:
    """Unpack a release's archive below ``root``; False where it has none.

    Raises RestoreError where the archive is not the one that the release's checksums are about.
    """
    assets = {asset["name"]: asset["url"] for asset in release["assets"]}
    name = next(filter(ARCHIVE.fullmatch, assets), None)
    if name is None or "SHA256SUMS" not in assets:
        return False
    content, sums = fetch(assets[name]), fetch(assets["SHA256SUMS"])
    if content is None or sums is None:
        return False
    if f"{hashlib.sha256(content).hexdigest()}  {name}" not in sums.decode().splitlines():
        raise RestoreError(
            f"{name} of release {release['tag_name']} is not what its SHA256SUMS says; nothing is taken"
        )
    with tempfile.TemporaryDirectory(dir=root) as aside:
        packed = Path(aside) / name
        packed.write_bytes(content)
        with tarfile.open(packed) as archive:
            # files keep their one date: what a step read is not newer than what it wrote
            archive.extractall(root, filter="data")
    return True


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    where = os.environ.get
    parser.add_argument("--server", default=where("GITHUB_API_URL") or "https://api.github.com")
    parser.add_argument("--repository", default=where("GITHUB_REPOSITORY"), help="owner/name on GitHub")
    parser.add_argument("--tag", default=where("GITHUB_REF_NAME", ""), help="the tag that is being released")
    parser.add_argument("--root", type=Path, default=ROOT, help="where build/ is (default: the project)")
    options = parser.parse_args()
    if any((options.root / "build" / "detectors").glob("*.safetensors")):
        print("build/ has detectors already; nothing is taken from a release")
        return 0
    if not options.repository:
        parser.error("--repository owner/name says whose releases; GITHUB_REPOSITORY is not set")
    try:
        for release in releases(options.server, options.repository, options.tag):
            if restore(release, options.root):
                print(f"build/ is that of release {release['tag_name']}")
                return 0
    except (RestoreError, OSError, ValueError, tarfile.TarError) as error:
        print(f"restore: {error}", file=sys.stderr)
        return 1
    print("no release has a build archive; everything is computed here")
    return 0


if __name__ == "__main__":
    sys.exit(main())
