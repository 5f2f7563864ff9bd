"""What the subcommands share: common options, loading a detector, and writing the answer."""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tff_core.pictures import places
from tff_core.store import failures

if TYPE_CHECKING:  # torch, pandas and friends are imported where they are used: --help must not wait for them
    import pandas as pd
    import torch

    from tff_core import detectors
    from tff_core.pictures import data
    from tff_core.store.results import Store

DEFAULT = "resnet50-miniature"
SHARE = 0.005  # of all feature maps are the paper's top ones: 114 of ResNet-50's 22,720
MINIATURE = (
    "this detector was trained on the book's miniature pictures: on photographs, and on other fakes, its "
    "answers are not worth anything"
)


def command(
    commands: Any, name: str, run: Any, help: str, examples: str, description: str = ""
) -> argparse.ArgumentParser:
    """A new subcommand with its help, examples and the options that all have."""
    made: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help,
        description=description or f"{help[0].upper()}{help[1:]}.",
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.set_defaults(run=run)
    made.add_argument("--json", action="store_true", help="answer with one JSON object")
    made.add_argument("--quiet", action="store_true", help="no progress bar and no notes")
    made.add_argument("--traceback", action="store_true", help="show where an error comes from")
    return made


def add_build(to: argparse.ArgumentParser) -> None:
    """Where detectors and results lie."""
    to.add_argument("--build", type=Path, help="build folder (default: $TFF_BUILD, else build/)")


def add_detector(to: argparse.ArgumentParser, weights: bool = True) -> None:
    """Which network, and on what it computes."""
    to.add_argument(
        "--detector", default=DEFAULT, help="its name in the registry, see tff doctor (default: %(default)s)"
    )
    to.add_argument("--seed", type=int, default=0, help="its training seed (default: %(default)s)")
    if weights:
        to.add_argument(
            "--weights", type=Path, metavar="FILE", help="published weights instead: .pth or .safetensors"
        )
        add_network(to)
    add_build(to)
    to.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps (default: what is there)")
    to.add_argument("--batch-size", type=positive, default=64, metavar="N", help="default: %(default)s")


def add_network(to: argparse.ArgumentParser) -> None:
    """What kind of network the weights belong to, and the preprocessing it needs."""
    to.add_argument(
        "--arch", help="network of --weights: resnet50, efb0, or an import path package.module:function"
    )
    to.add_argument(
        "--preprocessing",
        type=settings,
        metavar="YAML",
        help="what it wants done to a picture, such as '{resize: 256, crop: 224}', or mean and std of red, "
        "green, blue (default: ImageNet's, no resize, no crop)",
    )


def settings(text: str) -> dict[str, Any]:
    """An option that is a YAML mapping."""
    import yaml

    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # such as a date that does not exist
        raise argparse.ArgumentTypeError(f"{text}: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"{text}: expected settings, such as '{{resize: 256, crop: 224}}'")
    return found


def add_pictures(to: argparse.ArgumentParser) -> None:
    """Which labelled pictures."""
    where = to.add_mutually_exclusive_group()
    where.add_argument("--generator", help="test pictures of the build by generator (default: progan)")
    where.add_argument(
        "--data", type=Path, metavar="DIR", help="a folder in the layout of ForenSynths instead"
    )
    to.add_argument("--n", type=positive, help="at most so many pictures of each label (default: all)")


def positive(text: str) -> int:
    """An option that is a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number of at least 1")
    return value


# ------------------------------------------------------------------------------------------------- loading


def check_input(options: argparse.Namespace) -> None:
    """Check, before seconds go into loading libraries, that what is to be read is there."""
    for path in getattr(options, "paths", []):
        places.must_be_there(path)
    folder = getattr(options, "folder", None)
    if folder is not None and not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is no folder: expected pictures in it, laid out as `tff {options.command} --help` "
            "says; check the path"
        )


def check_output(options: argparse.Namespace) -> None:
    """Check, before any work, that ``--out`` can be written and is not one of the files being read."""
    out = getattr(options, "out", None)
    if out is None:
        return
    must_be_writable(out, folder=options.command in ("rank", "patches-test", "clusters", "attribute-test"))
    weights = getattr(options, "weights", None) or []
    read = [*getattr(options, "paths", []), *(weights if isinstance(weights, list) else [weights])]
    if any(out.exists() and path.exists() and out.samefile(path) for path in read):
        raise ValueError(f"--out {out} is one of the files to be read: choose another, it would be lost")


def must_be_writable(path: Path, folder: bool = False) -> None:
    """ValueError or OSError where a file, or with ``folder`` a folder, cannot be written at this place.

    Nothing is left there: what does not exist yet is not created.
    """
    if folder and path.exists() and not path.is_dir():
        raise ValueError(f"--out {path} is a file: expected a folder; choose another place")
    if not folder and path.is_dir():
        raise ValueError(f"--out {path} is a folder: expected a file; name one in it")
    place = path.absolute() if folder else path.absolute().parent
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise NotADirectoryError(f"{path} cannot be written: {place} is no folder; choose another place")
    try:
        # permissions say little on network disks and for root: only writing shows
        with tempfile.TemporaryFile(dir=place):
            pass
        for part in (path.name, f".{path.name}.xxxxxxxx"):  # the temporary file's name is longer
            (place / part).exists()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise OSError(
            f"{path} cannot be written ({why}): expected a place that you may write to; choose another"
        ) from error


def bar(options: argparse.Namespace) -> bool:
    """Whether a progress bar is shown: on a terminal, unless ``--quiet`` is given."""
    return not options.quiet and sys.stderr.isatty()


def note(options: argparse.Namespace, text: str) -> None:
    """Say something besides the answer; line breaks are kept, but control characters are escaped."""
    if not options.quiet:
        failures.say("\n".join(shown(line) for line in text.split("\n")))


def project() -> Path | None:
    """The checkout that this package or the working folder belongs to; None where there is none."""
    here = Path.cwd().resolve()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if (folder / "workflow" / "config.yaml").is_file() and (folder / "notebooks").is_dir():
            return folder
    return None


def checkout(what: str) -> Path:
    """As `project`; FileNotFoundError where there is none."""
    found = project()
    if found is None:
        raise FileNotFoundError(
            f"{what} needs a checkout of the project, with its notebooks/ and workflow/: {Path.cwd()} is in "
            "none; get one with git clone and run the command there"
        )
    return found


def local_config(root: Path | None) -> dict[str, Any]:
    """What workflow/config.local.yaml says; empty where there is none. ValueError where it is damaged."""
    import yaml

    path = root / "workflow" / "config.local.yaml" if root else None
    if path is None or not path.is_file():
        return {}
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid YAML: {' '.join(str(error).split())}; correct it") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds {type(found).__name__}: expected settings, `name: value`; correct it")
    kinds = {"added": list, "sources": dict, "names": dict, "external": dict}
    for key, kind in kinds.items():
        if key in found and not isinstance(found[key], kind):
            raise ValueError(
                f"{path}: {key} is {type(found[key]).__name__}, expected a {kind.__name__}; correct it"
            )
    return found


def device(name: str) -> torch.device:
    """The device by name; ValueError if it is missing or unknown."""
    import torch

    from tff_core import detectors

    if name == "auto":
        return detectors.default_device()
    try:
        chosen = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"--device {name}: expected auto, cpu, cuda, cuda:1 or mps") from error
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(chosen.type) or (chosen.index or 0) >= max(1, torch.cuda.device_count()):
        found = torch.cuda.device_count()
        raise ValueError(
            f"--device {name} is not available: {found} GPUs with a working driver were found; "
            "use --device cpu, or install the driver"
        )
    return chosen


def load(options: argparse.Namespace) -> tuple[detectors.Detector, torch.device, Store]:
    """The detector that the options name, on its device, and the store."""
    from tff_core import detectors
    from tff_core.detectors import answer
    from tff_core.pictures import data
    from tff_core.store.results import Store

    store, where = Store(options.build), device(options.device)
    if getattr(options, "weights", None):
        if not options.arch:
            raise ValueError(
                f"--weights {options.weights} needs --arch: which network is it, "
                f"{' or '.join(detectors.ARCHITECTURES)}?"
            )
        spec = detectors.Spec(
            options.weights.stem,
            options.arch,
            dataset="unknown",
            preprocessing=data.Preprocessing.of(options.preprocessing or {}),
            external=True,
        )
        model = detectors.load_weights(detectors.build(options.arch), options.weights)
        answer.must_be_a_logit(spec.name, answer.declare(model, spec.preprocessing))
        return detectors.Detector(detectors.ready(model, where), math.nan, spec, {}), where, store
    for name in ("arch", "preprocessing"):
        if getattr(options, name, None):
            raise ValueError(f"--{name} belongs to --weights FILE: a detector of the store has its own")
    trained = detectors.load(options.detector, options.seed, store, where)
    if trained.spec.classes:
        raise ValueError(
            f"{options.detector} tells classes of pictures apart: expected a detector, one of "
            f"{', '.join(detectors.names())}"
        )
    return trained, where, store


def images(options: argparse.Namespace, store: Store, dataset: str, part: str = "test") -> data.ImageSet:
    """All the labelled pictures that the options name; the caller takes as many as it needs."""
    from tff_core.pictures import data

    if options.data:
        return data.scan(options.data.resolve())
    generator = getattr(options, "generator", None) or "progan"
    folder = store.data(dataset, part, generator)
    if not folder.is_dir():
        own = local_config(project()).get("sources", {}).get(generator)
        if isinstance(own, Mapping) and part in own:
            return data.scan(own[part])
        raise FileNotFoundError(
            f"{folder} is not there: expected the {part} pictures of {generator}; make them with `make` or "
            f"`python -m tff_core.miniature sample --part {part} --generator {generator} --out {folder}`, "
            "or name a folder with --data DIR"
        )
    return data.scan(folder)


# ------------------------------------------------------------------------------------------------- answers


def shown(path: object) -> str:
    """A path for people: bytes that are not text, and terminal control characters, are escaped."""
    return failures.printable(path)


def plain(value: Any) -> Any:
    """A value that strict JSON can hold: no NaN, no infinity, no types of numpy or pandas."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(value, "item"):  # of numpy
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return shown(value)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table; missing values are left out."""
    rows = [plain(row) for row in frame.to_dict("records")]
    return [{key: value for key, value in row.items() if value is not None} for row in rows]


def csv_text(frame: pd.DataFrame) -> str:
    """A table as CSV that reads back with as many rows, whatever its cells contain.

    Bytes of file names that are not text are escaped.
    """
    # a name may hold a carriage return: readers take it for a line end, and the writer does not quote it
    texts = frame.select_dtypes(exclude=["number", "bool"])
    returns = any(texts[name].astype(str).str.contains("\r", regex=False).any() for name in texts)
    quoting: Any = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
    text: str = frame.to_csv(index=False, lineterminator="\n", quoting=quoting)
    return failures.utf8(text)


def answer(options: argparse.Namespace, facts: Mapping[str, Any], frame: pd.DataFrame | None = None) -> None:
    """Give the rows as CSV, or with ``--json`` facts and rows as one object; to ``--out`` if there is one."""
    if options.json:
        whole = plain(facts) | ({} if frame is None else {"rows": records(frame)})
        text = json.dumps(whole, indent=1) + "\n"
    else:
        text = "" if frame is None else csv_text(frame)
    out = getattr(options, "out", None)
    if out is None:
        if sys.stdout.isatty():
            text = "\n".join(shown(line) for line in text.split("\n"))
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        from tff_core.store.results import write_text

        write_text(out, text)
        note(options, f"written: {shown(out)}")
