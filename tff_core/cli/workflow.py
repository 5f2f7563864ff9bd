"""``tff run`` and ``tff add``: one chapter of the book, and new generators and detectors for all of it."""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tff_core.cli import common

if TYPE_CHECKING:
    from torch import nn

    from tff_core import detectors

_RUN = """  tff run 05 -p detector efb0-miniature -p n 20
  tff run 03_sensitivity -p generators '[progan, cyclegan]' --out sensitivity.ipynb
A value has the type that the chapter gives it: text is taken letter by letter, lists are written [a, b], and
where the chapter says None, a number is expected or null. A chapter reads what `make` has computed."""
_ADD = """  tff add mygan pictures/mygan --title "My GAN"
  tff add wang05 --weights blur_jpg_prob0.5.pth --arch resnet50
  tff add mine --weights mine.pth --arch torchvision.models:resnet18 --k 20
  tff add block2 --weights block2.safetensors --arch xception_block2
Then run make: it adds the pages, table rows and verdicts. What was added
stands in workflow/config.local.yaml, which git ignores; delete it there to take it back."""
_HEADER = "# What `tff add` has put beside workflow/config.yaml; git ignores this file.\n"


def add_to(commands: Any) -> None:
    """The command lines."""
    adding = common.command(
        commands, "add", add, "give a generator (or a detector, with --weights) its place in the book", _ADD
    )
    adding.add_argument("name", metavar="NAME", help="letters, digits, - and _")
    adding.add_argument("folder", nargs="?", type=Path, metavar="DIR", help="its test pictures")
    adding.add_argument("--weights", type=Path, metavar="FILE", help="add a detector: its weights")
    common.add_network(adding)
    adding.add_argument("--k", type=common.positive, help="its number of top feature maps (default: paper's)")
    adding.add_argument("--title", help="its name on the pages (default: NAME)")

    running = common.command(commands, "run", chapter, "execute one notebook of the book", _RUN)
    running.add_argument("chapter", metavar="CHAPTER", help="such as 05, 05_lrp_max or data_card")
    running.add_argument(
        "-p", "--parameter", nargs=2, action="append", default=[], metavar=("KEY", "VALUE"), dest="parameters"
    )
    running.add_argument(
        "--out", type=Path, metavar="FILE", help="executed notebook (default: build/runs/CHAPTER.ipynb)"
    )
    common.add_build(running)


# --------------------------------------------------------------------------------------------------- add


def add(options: argparse.Namespace) -> int:
    """Check, then register."""
    import json

    from tff_core.store import names

    root = common.checkout("tff add")
    name = options.name
    names.check(name)
    if (options.folder is None) == (options.weights is None):
        raise ValueError("expected either DIR, the pictures of a generator, or --weights FILE of a detector")
    config = common.local_config(root)
    _is_new(name, root, config)
    done = _generator(options, config) if options.weights is None else _detector(options, config)
    config["names"] = dict(config.get("names", {})) | {name: options.title or name}
    unknown = sorted(set(config) - set(_base(root)))
    if unknown:
        raise ValueError(
            f"{root / 'workflow' / 'config.yaml'} has no setting {unknown[0]!r}, so make could not take "
            f"{name} in, and nothing was written: update the checkout"
        )
    path = write(root, config)
    if options.json:
        print(json.dumps(common.plain({"added": name, "configuration": path, **done}), indent=1))
    else:
        print(f"{name} is added in {common.shown(path)}; now run make")
    return 0


def _is_new(name: str, root: Path, config: Mapping[str, Any]) -> None:
    from tff_core import detectors
    from tff_core.store import names

    base = _base(root)
    taken = {
        *map(str, base.get("generators", [])),
        *map(str, base.get("all_detectors", [])),
        *map(str, config.get("added", [])),
        *map(str, config.get("external", {})),
        *detectors.names(),
        *detectors.classifiers(),
    }
    # case-insensitive file systems would confuse them
    if same := names.same(name, sorted(taken)):
        raise ValueError(
            f"{same} is already in the book: choose another name, or delete its lines from "
            f"{root / 'workflow' / 'config.local.yaml'} first"
        )


def _base(root: Path) -> dict[str, Any]:
    import yaml

    found = yaml.safe_load((root / "workflow" / "config.yaml").read_text(encoding="utf-8"))
    return dict(found)


def _generator(options: argparse.Namespace, config: dict[str, Any]) -> dict[str, Any]:
    from tff_core.pictures import audit, data

    if options.arch or options.k or options.preprocessing:
        raise ValueError("--arch, --k and --preprocessing belong to --weights, not to a folder of pictures")
    folder = options.folder.expanduser().resolve()
    images = data.scan(folder)  # one generator, with both labels
    found = audit.audit(folder, whole=True, progress=common.bar(options))
    for one in found.findings:
        common.note(options, f"{one.level}: {common.shown(one.detail)}")
    if not found.usable:
        first = found.of("error")[0]
        raise ValueError(f"{folder} was not added: {first.detail}; `tff check {folder}` tells more")
    config["added"] = [*config.get("added", []), options.name]
    config["sources"] = dict(config.get("sources", {})) | {options.name: {"test": str(folder)}}
    return {
        "pictures": {"real": images.counts[0], "fake": images.counts[1]},
        "warnings": [one.detail for one in found.of("warning")],
    }


def _detector(options: argparse.Namespace, config: dict[str, Any]) -> dict[str, Any]:
    from tff_core import detectors
    from tff_core.detectors import adoption

    if not options.arch:
        raise ValueError(
            f"--weights {options.weights} needs --arch: which network is it, "
            f"{', '.join(detectors.ARCHITECTURES)}, or an import path such as torchvision.models:resnet18?"
        )
    path = options.weights.expanduser().resolve()
    patches = _patch_classifier(path, options.arch)
    given = {"k": options.k, "preprocessing": options.preprocessing}
    entry: dict[str, Any] = {"weights": str(path), "arch": options.arch, "k": None}
    entry |= patches.entry if patches else {}
    entry |= {key: value for key, value in given.items() if value}
    spec = detectors.external(options.name, entry)
    # refuses weights of another network
    model = patches.model if patches else detectors.load_weights(detectors.build(spec.arch), path)
    adoption.must_be_a_detector(options.name, model, spec.preprocessing)
    _must_rank(options, spec, model)
    if patches:
        patches.write()
    entry["k"] = spec.k
    config["external"] = dict(config.get("external", {})) | {options.name: entry}
    return {"detector": entry}


class _Patches(NamedTuple):
    """A patch classifier as a detector of whole pictures, and where its weights as such go."""

    model: nn.Sequential
    path: Path
    entry: dict[str, Any]

    def write(self) -> None:
        from tff_core.localization import detector

        detector.write(self.model, self.path)


def _patch_classifier(path: Path, arch: str) -> _Patches | None:
    """The weights of a patch classifier; None where ``arch`` is none, or a detector that has its name."""
    from tff_core import detectors, localization
    from tff_core.localization import detector, networks, weights

    if ":" in arch or arch in detectors.ARCHITECTURES:
        return None
    try:
        networks.known(arch)
    except ValueError:
        return None  # the registry says which networks there are
    net = localization.load(path, arch)
    preparation = weights.preparation(path)
    written = path.with_name(f"{path.stem}.detector.safetensors")
    maps = sum(detector.canonize(net, preparation).layers.values())
    entry = {
        "weights": str(written),
        "arch": f"{detector.__name__}:{arch}",
        "k": max(1, round(common.SHARE * maps)),
        "preprocessing": preparation.settings,
    }
    return _Patches(detector.as_detector(net), written, entry)


_ENOUGH = 50  # validation pictures of each label that show whether a detector's sign is flipped


def _must_rank(options: argparse.Namespace, spec: detectors.Spec, model: nn.Module) -> None:
    """ValueError if the detector ranks reals above fakes on the validation pictures, where there are any."""
    from tff_core import detectors, metrics
    from tff_core.pictures import data
    from tff_core.store.results import Store

    folder = Store().data(spec.dataset, "val", "progan")
    if not folder.is_dir():
        common.note(options, "its label order is checked by make: there are no validation pictures yet")
        return
    images = data.scan(folder).where(first=_ENOUGH)
    where = detectors.default_device()
    batches = data.batches(images, 16, device=where, preprocessing=spec.preprocessing)
    logits = detectors.logits(detectors.ready(model, where), batches)
    order = metrics.order(images.labels, logits)
    try:
        metrics.gmean_threshold(images.labels, logits)
    except ValueError as error:
        raise ValueError(f"{options.name} was not added: on the pictures of {folder}, {error}") from error
    if order.reversed:
        raise ValueError(
            f"{options.name} was not added: on the pictures of {folder} it {order.warning()}; turn the sign "
            "of its last layer, or enter it under `external` in workflow/config.local.yaml if it is meant so"
        )
    if order.at_chance:
        common.note(options, f"warning: on the pictures of {folder} it {order.warning()}")


def write(root: Path, config: Mapping[str, Any]) -> Path:
    """Write workflow/config.local.yaml, completely or not at all; returns its path."""
    import yaml

    from tff_core.store.results import write_text

    path = root / "workflow" / "config.local.yaml"
    write_text(path, _HEADER + yaml.safe_dump(dict(config), sort_keys=True, allow_unicode=True))
    return path


# --------------------------------------------------------------------------------------------------- run


def chapter(options: argparse.Namespace) -> int:
    """Execute one notebook with papermill."""
    import json
    import os
    import sys

    root = common.checkout("tff run")
    source = find(options.chapter, root / "notebooks")
    import nbformat
    import papermill
    from papermill.exceptions import PapermillExecutionError

    from tff_core.book.notebooks import defaults, relevant
    from tff_core.store.results import Store, write_text

    known = papermill.inspect_notebook(str(source))
    notebook = nbformat.read(source, as_version=4)  # type: ignore[no-untyped-call]
    own, values = defaults(notebook), {}
    for key, written in options.parameters:
        if key not in known:
            raise ValueError(
                f"{source.stem} has no parameter {key!r}: expected one of {', '.join(known) or 'none'}"
            )
        try:
            values[key] = value(written, own.get(key))
        except ValueError as error:
            raise ValueError(f"-p {key} {written!r}: {error}; {source.stem} has {own.get(key)!r}") from error
    store = Store(options.build)
    if options.build and "build" in known:
        values.setdefault("build", str(store.root))
    out = (options.out or store.root / "runs" / f"{source.stem}.ipynb").resolve()
    common.must_be_writable(out)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    notebook.cells = relevant(notebook.cells, {**own, **values})
    try:
        done = papermill.execute_notebook(
            notebook,
            None,
            parameters=values,
            kernel_name="python3",
            cwd=str(source.parent),
            progress_bar=common.bar(options),
            start_timeout=600,
        )
    except PapermillExecutionError as error:
        first = "\n".join(f"    {line}" for line in error.source.strip().splitlines()[:8])
        print(
            f"error: {source.stem} failed in code cell {error.exec_count}: {error.ename}: {error.evalue}\n"
            f"The cell begins:\n{first}",
            file=sys.stderr,
        )
        return 1
    write_text(out, nbformat.writes(done) + "\n")  # type: ignore[no-untyped-call]
    if options.json:
        print(json.dumps({"notebook": str(out), "chapter": source.stem, "parameters": values}, indent=1))
    else:
        print(common.shown(out))
    return 0


_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def value(written: str, default: Any) -> Any:
    """A parameter's value from the command line, with the type of its default.

    Text is kept exactly, whatever YAML would make of it (``no``, ``007``, ``2024-01-01``). Lists are written
    in YAML's brackets, and their items have the type of the default's. Where the default is None, a number, a
    list, quoted text or null is expected. ValueError says what was expected.
    """
    text = written.strip()
    if isinstance(default, str):
        return written
    if isinstance(default, bool):
        if text.lower() not in _BOOLEANS:
            raise ValueError("expected true or false")
        return _BOOLEANS[text.lower()]
    if isinstance(default, int):
        return _number(text, int, "a whole number")
    if isinstance(default, float):
        return _number(text, float, "a number")
    if isinstance(default, list | tuple):
        found = _yaml(text)
        if not isinstance(found, list):
            raise ValueError("expected a list, such as [a, b]")
        return [_member(one, default[0] if default else "") for one in found]
    if isinstance(default, dict):
        found = _yaml(text, as_text=False)
        if not isinstance(found, dict):
            raise ValueError("expected settings, such as {a: 1}")
        return found
    if text.lower() in ("null", "none", "~", ""):
        return None
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return _number(text, kind, "")
    if text[0] in "[{\"'":
        return _yaml(text, as_text=False)
    raise ValueError("expected a number, a list, quoted text or null")


def _member(found: Any, example: Any) -> Any:
    """One item of a list, with the type of an example."""
    if isinstance(found, str):
        return value(found, example)
    if isinstance(found, list) and isinstance(example, list | tuple):
        return [_member(one, example[0] if example else "") for one in found]
    raise ValueError(f"expected members such as {example!r}, found {found!r}")


def _number(text: str, kind: type[int] | type[float], expected: str) -> float:
    try:
        number = kind(text)
    except ValueError as error:
        raise ValueError(f"expected {expected}") from error
    if not math.isfinite(number):
        raise ValueError(f"expected {expected}")
    return number


def _yaml(text: str, as_text: bool = True) -> Any:
    """A value in YAML; ``as_text`` leaves everything between brackets and commas as it is written."""
    import yaml

    try:
        return yaml.load(text, Loader=yaml.BaseLoader if as_text else yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        first = " ".join(str(error).split())[:200]
        raise ValueError(f"it cannot be read as YAML ({first}): expected a list such as [a, b]") from error


def find(name: str, folder: Path) -> Path:
    """The notebook of a chapter by its name, the number in front of it, or part of it.

    FileNotFoundError lists the chapters; ValueError if several match.
    """
    there = {path.stem: path for path in sorted(folder.glob("*.ipynb"))}
    wanted = Path(name).name.removesuffix(".py").removesuffix(".ipynb")
    if wanted in there:
        return there[wanted]
    fitting = [stem for stem in there if stem.startswith(f"{wanted}_")] or [s for s in there if wanted in s]
    if not fitting:
        raise FileNotFoundError(f"no chapter {name!r} in {folder}: expected one of {', '.join(there)}")
    if len(fitting) > 1:
        raise ValueError(f"{name!r} fits {', '.join(fitting)}: say which one")
    return there[fitting[0]]
