"""``tff doctor``: what is here, what is missing and how to get it, and what can therefore be run."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from tff_core.cli import common

_EXAMPLES = """  tff doctor
  tff doctor --json
  tff doctor --build /data/build"""
_PACKAGES = (
    "torch", "torchvision", "efficientnet-pytorch", "numpy", "scipy", "scikit-learn", "pandas", "pillow",
    "captum", "plotly", "papermill", "snakemake", "jupyter-book",
)  # fmt: skip
_SPACE_GB = 2.0  # what a book takes in its build folder


def add_to(commands: Any) -> None:
    """The command line."""
    made = common.command(
        commands, "doctor", run, "what is here, what is missing and how to get it", _EXAMPLES
    )
    common.add_build(made)


def run(options: argparse.Namespace) -> int:
    """Look around; 1 if something essential is missing."""
    import json

    found = examine(options.build)
    if options.json:
        print(json.dumps(common.plain(found), indent=1))
    else:
        print(text(found))
    return 1 if found["broken"] else 0


def examine(build: Path | None = None) -> dict[str, Any]:
    """The facts, as plain values: versions, device, space, data, weights, what runs, what is missing."""
    versions: dict[str, str | None] = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    broken = [f"the package {name} is not installed: run make env" for name, v in versions.items() if not v]
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
        "broken": broken,
    }
    try:
        import torch

        from tff_core import detectors
        from tff_core.pictures import data
        from tff_core.store.results import Store
    except ImportError as error:
        broken.append(f"the packages cannot be loaded ({error}): run make env")
        return found
    store, project = Store(build), common.project()
    space = _space(store.root)
    if space["free_gb"] < _SPACE_GB:
        broken.append(f"{space['free_gb']} GB are free at {store.root}, about {_SPACE_GB:.0f} are needed")
    if not space["writable"]:
        broken.append(f"{store.root} cannot be written: choose another folder with TFF_BUILD or --build")
    local = common.local_config(project)
    names = [*detectors.names(), *detectors.classifiers(), *map(str, local.get("external", {}))]
    trained = {
        name: sorted(
            int(path.name.removeprefix(f"{name}.s").removesuffix(".safetensors"))
            for path in (store.root / "detectors").glob(f"{name}.s*.safetensors")
            if path.name.removeprefix(f"{name}.s").removesuffix(".safetensors").isdigit()
        )
        for name in names
    }
    pictures = {
        "/".join(path.parts[-4:-1]): _counts(path)
        for path in sorted((store.root / "data").glob(f"*/*/*/{data.MANIFEST}"))
    }
    ranked = sorted(path.name for path in (store.root / "results" / "omega").glob("*.csv"))
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    imagenet = sorted(
        p.name for p in cache.glob("*.pth") if p.name.startswith(("resnet50", "efficientnet-b0"))
    )
    external = {name: str(entry.get("weights")) for name, entry in local.get("external", {}).items()}
    found |= {
        "device": {
            "chosen": str(detectors.default_device()),
            "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
            "mps": torch.backends.mps.is_available(),
            "cores": os.cpu_count(),
        },
        "build": {"folder": str(store.root), **space},
        "checkout": str(project) if project else None,
        "pictures": pictures,
        "detectors": trained,
        "rankings": ranked,
        "imagenet_weights": imagenet,
        "paper": _paper(project),
        "added_generators": list(local.get("added", [])),
        "added_detectors": external,
    }
    found["missing"], found["runs"] = _abilities(found)
    return found


def _space(folder: Path) -> dict[str, Any]:
    there = folder
    while not there.exists():
        there = there.parent
    return {
        "free_gb": round(shutil.disk_usage(there).free / 1e9, 1),
        "writable": os.access(there, os.W_OK),
    }


def _paper(project: Path | None) -> dict[str, bool]:
    """The paper's files that its own grid needs, and whether each is there; none outside a checkout."""
    import yaml

    if project is None or not (project / "workflow" / "config.paper.yaml").is_file():
        return {}
    grid = project / "workflow" / "config.paper.yaml"
    settings = yaml.safe_load(grid.read_text(encoding="utf-8"))
    named = [folder for parts in settings["sources"].values() for folder in parts.values()]
    named += [entry["weights"] for entry in settings["external"].values()]
    assets = os.environ.get("TFF_ASSETS") or str(project / "assets")
    paths = [Path(name.replace("$TFF_ASSETS", assets)).expanduser() for name in named]
    return {str(path): path.exists() for path in paths}


def _counts(manifest: Path) -> str:
    from tff_core.store.results import read_json

    try:
        found = read_json(manifest)
        counts = found.get("counts") or found.get("pictures")
        return f"{counts['real']} real, {counts['fake']} fake"
    except (ValueError, KeyError, TypeError, AttributeError):
        return "damaged manifest: delete the folder and run make"


def _abilities(found: dict[str, Any]) -> tuple[list[dict[str, str]], dict[str, str]]:
    """What is missing and how to get it, and for each command "yes" or what it lacks."""
    missing = []
    parts = {key.split("/")[1] for key in found["pictures"]}
    for part in ("train", "val", "test"):
        if part not in parts:
            sample = (
                f"python -m tff_core.miniature sample --part {part} --generator progan --out "
                f"{found['build']['folder']}/data/miniature/{part}/progan"
            )
            missing.append({"what": f"{part} pictures", "get": f"make, or {sample}"})
    for name, seeds in found["detectors"].items():
        if not seeds and name in found["added_detectors"]:
            missing.append({"what": f"detector {name}, not taken in yet", "get": "make"})
        elif not seeds:
            missing.append({"what": f"detector {name}", "get": f"tff train --detector {name} --seed 0"})
    for name, seeds in found["detectors"].items():
        for seed in seeds:
            if f"{name}.s{seed}-fake.csv" not in found["rankings"] and "scenes" not in name:
                missing.append(
                    {
                        "what": f"ranking of {name}, seed {seed}",
                        "get": f"tff rank --detector {name} --seed {seed}",
                    }
                )
    for name, file in found["added_detectors"].items():
        if not Path(file).is_file():
            missing.append({"what": f"weights of {name}", "get": f"put them at {file}"})
    if not found["imagenet_weights"]:
        missing.append({"what": "ImageNet weights (optional)", "get": "see the page on real assets"})
    absent = [path for path, there in found["paper"].items() if not there]
    if absent:
        told = f"{len(absent)} of {len(found['paper'])} files of the paper's grid (optional)"
        missing.append({"what": told, "get": f"the page on real assets says where; the first: {absent[0]}"})
    trained = any(seeds for name, seeds in found["detectors"].items() if "scenes" not in name)
    ranked = bool(found["rankings"])
    detector = "yes" if trained else "needs a detector, or published weights with --weights and --arch"
    runs = {
        "check": "yes",
        "detect, explain": detector,
        "train": "yes" if {"train", "val"} <= parts else "needs train and val pictures",
        "rank": detector if "val" in parts else "needs val pictures, or a folder with --data",
        "sensitivity, patches, median": "yes" if trained and ranked else "needs a detector and its ranking",
        "color": detector,
        "run, add, make": "yes" if found["checkout"] else "needs a checkout of the project",
        "make CONFIG=paper": "needs files of the paper" if absent or not found["paper"] else "yes",
    }
    return missing, runs


def text(found: dict[str, Any]) -> str:
    """The facts for people."""
    versions = ", ".join(f"{name} {number or 'MISSING'}" for name, number in found["versions"].items())
    lines = [f"Python {found['python']} ({sys.executable}) on {found['platform']}", versions, ""]
    if "device" in found:
        device, build = found["device"], found["build"]
        gpus = ", ".join(device["gpus"]) or "no GPU"
        lines += [
            f"device      {device['chosen']} ({gpus}, {device['cores']} cores)",
            f"build       {common.shown(build['folder'])}: {build['free_gb']} GB free"
            + ("" if build["writable"] else ", NOT WRITABLE"),
            f"checkout    {common.shown(found['checkout'] or 'none')}",
        ]
        lines += [
            f"pictures    {common.shown(name)}: {counts}" for name, counts in found["pictures"].items()
        ] or ["pictures    none"]
        lines += [
            f"detector    {common.shown(name)}: "
            + (f"trained with seed {', '.join(map(str, seeds))}" if seeds else "not trained")
            for name, seeds in found["detectors"].items()
        ]
        lines += [f"rankings    {len(found['rankings'])} tables of omega"]
        lines += [f"added       {common.shown(name)} (generator)" for name in found["added_generators"]]
        lines += ["", "what runs"]
        lines += [
            f"  {name if name.startswith('make') else f'tff {name}'}: {state}"
            for name, state in found["runs"].items()
        ]
        if found["missing"]:
            lines += ["", "what is missing, and how to get it"]
            lines += [f"  {one['what']}: {common.shown(one['get'])}" for one in found["missing"]]
    lines += [f"\nPROBLEM: {problem}" for problem in found["broken"]]
    return "\n".join(lines)
