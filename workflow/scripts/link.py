"""Bring a folder of pictures into the data set: links to them, and a manifest of their content."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import steps
from tff_core.pictures import data
from tff_core.store.results import write_json


def main() -> None:
    """Command line: the manifest is written last, so a folder that has one is complete."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="a folder in the layout of ForenSynths")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the data set")
    options = parser.parse_args()
    source = options.source.expanduser().resolve()
    images = data.scan(source)
    for path in images.paths:
        told = str(path).encode(errors="backslashreplace").decode()
        if told != str(path):
            raise ValueError(
                f"{told}: its name is not text in UTF-8, as the result tables need it; rename the file"
            )
    if options.out.is_symlink() or options.out.is_file():
        options.out.unlink()
    shutil.rmtree(options.out, ignore_errors=True)
    options.out.mkdir(parents=True)
    # whatever holds pictures at the top: class folders, or 0_real and 1_fake
    for name in sorted({path.relative_to(source).parts[0] for path in images.paths}):
        (options.out / name).symlink_to(source / name, target_is_directory=True)
    write_json(
        options.out / data.MANIFEST,
        {
            "source": str(source),
            "pictures": {"real": images.counts[0], "fake": images.counts[1]},
            "left_out": [str(path.relative_to(source)) for path in images.stray],
            "content": data.content_hash(images),
        },
    )
    for path in images.stray:
        print(f"left out, no picture in its place: {path}")


if __name__ == "__main__":
    steps.run(main)
