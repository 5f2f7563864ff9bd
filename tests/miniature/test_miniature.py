"""The miniature: scenes and camera, what lies on disk, and that nothing is lost or shared."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image

from tff_core.miniature import __main__ as command
from tff_core.miniature import camera, generators, scenes
from tff_core.miniature import sample as sample_function
from tff_core.miniature.learning import HISTORY
from tff_core.miniature.sample import (
    MARK,
    WITH_CLASSES,
    layouts,
    made_by,
    makers,
    place,
    sample,
    weights,
)
from tff_core.pictures import data
from tff_core.pictures.data import MANIFEST
from tff_core.store.results import read_json

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out, threads = tmp_path_factory.mktemp("sampled") / "progan", torch.get_num_threads()
    torch.set_num_threads(1)  # as in the tests, whose `one_thread` comes after a fixture of the module
    sample("test", "progan", out, 12, progress=False)
    torch.set_num_threads(threads)
    return out


def _content(out):
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*.png"))}


def _pixels(out):
    return {name: Image.open(out / name).tobytes() for name in _content(out)}


# --- scenes and camera


@pytest.mark.parametrize("label", scenes.CLASSES)
def test_a_picture_is_a_function_of_its_name(label):
    first, again = camera.take("test", label, 3), camera.take("test", label, 3)
    assert np.array_equal(first.pixels, again.pixels) and np.array_equal(first.segments, again.segments)
    assert first.pixels.shape == (64, 64, 3) and first.pixels.dtype == np.uint8
    assert first.segments.shape == (64, 64) and first.segments.max() < len(scenes.SEGMENTS)
    assert first.light in scenes.LIGHTS
    for other in (("val", 3, 0, ""), ("test", 4, 0, ""), ("test", 3, 1, ""), ("test", 3, 0, "stargan")):
        part, index, seed, generator = other
        assert not np.array_equal(first.pixels, camera.take(part, label, index, seed, 64, generator).pixels)


@pytest.mark.slow
def test_no_scene_stands_in_two_parts():
    seen = [
        hashlib.sha256(camera.take(part, label, index, generator=generator).pixels).hexdigest()
        for part in scenes.PARTS
        for generator in ("progan", "stylegan")
        for label in scenes.CLASSES
        for index in range(3)
    ]
    assert len(set(seen)) == len(seen) == 168


def test_classes_show_their_own_things():
    shown = {
        label: {
            scenes.SEGMENTS[i] for k in range(6) for i in np.unique(camera.take("val", label, k).segments)
        }
        for label in scenes.CLASSES
    }
    assert {"wall", "window"} <= shown["facade"] and {"sky", "ground"} <= shown["landscape"]
    assert {"table", "object"} <= shown["stilllife"] and shown["pebbles"] == {"pebble", "gap"}


@pytest.mark.slow
def test_some_pictures_are_nearly_gray_and_some_are_colourful():
    spread = [np.ptp(camera.take("val", label, i).pixels.astype(int), axis=2).mean()
              for label in scenes.CLASSES for i in range(15)]  # fmt: skip
    assert min(spread) < 8 and max(spread) > 50


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("testing", "facade", 0), "unknown part 'testing'.*expected one of"),
        (("test", "castle", 0), "unknown scene class 'castle'.*expected one of facade"),
        (("test", "facade", -1), "start at 0: found index -1"),
        (("test", "facade", 0, 0, 8), "8 pixels are too small"),
    ],
)
def test_what_cannot_be_photographed_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        camera.take(*arguments)


# --- on disk


def test_the_package_offers_the_function():
    assert sample_function is sample


@pytest.mark.parametrize("generator", generators.FAMILIES)
def test_layout_is_that_of_forensynths(tmp_path, generator):
    sample("test", generator, tmp_path / generator, 4, progress=False)
    found = sorted(path.relative_to(tmp_path / generator).as_posix() for path in tmp_path.rglob("*.png"))
    if generator in WITH_CLASSES:
        expected = [f"{label}/{kind}/{i:05d}.png" for i, label in enumerate(scenes.CLASSES)
                    for kind in ("0_real", "1_fake")]  # fmt: skip
    else:
        expected = [f"{kind}/{i:05d}.png" for kind in ("0_real", "1_fake") for i in range(4)]
    assert found == sorted(expected)
    for name in found:
        with Image.open(tmp_path / generator / name) as image:
            assert image.size == (64, 64) and image.mode == "RGB"
            assert np.asarray(image).std() > 3, f"{name} is flat"


def test_manifest_counts_and_hashes_what_is_there(folder):
    manifest = read_json(folder / MANIFEST)
    assert manifest["counts"] == {"real": 12, "fake": 12}
    assert manifest["config"]["part"] == "test" and manifest["config"]["weights"]
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest().startswith(digest)
    assert set(manifest["files"]) == set(_content(folder))


@pytest.mark.slow
def test_a_whole_folder_is_left_alone(folder, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    monkeypatch.setattr(
        sys.modules["tff_core.miniature.sample"], "write_png", None
    )  # nothing is made to be written
    sample("test", "progan", folder, 12, progress=False)
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_an_interrupted_sampling_continues(folder, tmp_path, monkeypatch):
    out, module = tmp_path / "progan", sys.modules["tff_core.miniature.sample"]
    write, count = module.write_png, [0]

    def fails_after_eighteen(*arguments):
        count[0] += 1
        if count[0] > 18:
            raise KeyboardInterrupt
        write(*arguments)

    monkeypatch.setattr(module, "write_png", fails_after_eighteen)
    with pytest.raises(KeyboardInterrupt):
        sample("test", "progan", out, 12, progress=False)
    assert not (out / MANIFEST).exists() and len(_content(out)) == 18
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    monkeypatch.setattr(module, "write_png", write)
    sample("test", "progan", out, 12, progress=False)
    assert _content(out) == _content(folder)
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "missing", "manifest"])
def test_what_is_damaged_is_made_anew(folder, tmp_path, damage):
    out = tmp_path / "progan"
    for name, content in _content(folder).items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content)
    (out / MANIFEST).write_bytes((folder / MANIFEST).read_bytes())
    victim = place(out, "progan", 1, 5)
    content = victim.read_bytes()
    if damage == "cut":
        victim.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        victim.write_bytes(b"")
    elif damage == "flipped":
        middle = len(content) // 2
        victim.write_bytes(content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :])
    elif damage == "missing":
        victim.unlink()
    else:
        (out / MANIFEST).write_text("{")
    sample("test", "progan", out, 12, progress=False)
    assert _content(out) == _content(folder) and read_json(out / MANIFEST)["counts"]["fake"] == 12


@pytest.mark.slow
def test_more_pictures_keep_the_first_and_fewer_remove_the_last(folder, tmp_path):
    out = tmp_path / "progan"
    sample("test", "progan", out, 4, progress=False)
    small = _content(out)
    sample("test", "progan", out, 12, progress=False)
    large = _content(out)
    assert all(large[name] == content for name, content in small.items() if "0_real" in name)
    assert len(large) == 24
    sample("test", "progan", out, 4, progress=False)
    assert set(_content(out)) == set(small) and read_json(out / MANIFEST)["counts"]["real"] == 4


def test_pictures_of_other_origin_are_never_overwritten(tmp_path):
    path = place(tmp_path, "progan", 0, 0)
    path.parent.mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"00000.png was not made by the miniature.*choose another folder"):
        sample("test", "progan", tmp_path, 4, progress=False)
    assert path.read_bytes() == before


def test_another_seed_gives_other_pictures_and_replaces_the_old(tmp_path):
    sample("test", "stargan", tmp_path, 2, seed=0, progress=False)
    first = _content(tmp_path)
    sample("test", "stargan", tmp_path, 2, seed=1, progress=False)
    second = _content(tmp_path)
    assert set(first) == set(second) and not set(first.values()) & set(second.values())
    with Image.open(next(tmp_path.rglob("*.png"))) as image:
        assert len(image.info[MARK]) == 12


def test_pictures_of_another_camera_replace_the_old_and_are_redrawn_with_it(tmp_path):
    out = tmp_path / "stargan"
    sample("test", "stargan", out, 4, camera=camera.EDITION_1, progress=False)
    first, manifest = _content(out), read_json(out / MANIFEST)
    assert manifest["config"]["camera"]["name"] == "1"
    reals = data.scan(out).where(label=0)
    assert [scene.pixels.tobytes() for scene in layouts(reals)] == [
        pixels.permute(1, 2, 0).numpy().tobytes() for pixels in data.load(reals)
    ]
    sample("test", "stargan", out, 4, camera=camera.EDITION_2, progress=False)
    second = _content(out)
    assert set(second) == set(first) and not set(first.values()) & set(second.values())
    assert read_json(out / MANIFEST)["config"]["camera"] == json.loads(json.dumps(asdict(camera.EDITION_2)))


@pytest.mark.slow
def test_other_models_take_turns_in_place_of_those_that_ship(tmp_path):
    shipped, (path, _) = tmp_path / "shipped", weights("test", "stargan")
    sample("test", "stargan", shipped, 8, progress=False)
    model, info = generators.load(path)
    with torch.no_grad():
        model.net.rgb.bias.add_(0.5)
    other = tmp_path / "other.safetensors"
    generators.save(model, other, info)
    ours, turned = tmp_path / "ours", tmp_path / "turned"
    sample("test", "stargan", ours, 8, models=[path, other], progress=False)
    files, mixed = _pixels(shipped), _pixels(ours)
    # four pictures from one, four from the next; the reals are what they were
    same = {name for name in files if files[name] == mixed[name]}
    assert same == {name for name in files if "0_real" in name or name[-9:-4] < "00004"}
    sample("test", "stargan", turned, 8, models=[other, path], progress=False)
    assert {name for name, pixels in _pixels(turned).items() if pixels == mixed[name]} == {
        name for name in mixed if "0_real" in name
    }
    sample("test", "stargan", turned, 8, models=[path, other], progress=False)
    assert _content(turned) == _content(ours)
    with pytest.raises(ValueError, match="has weights of stargan: expected those of gaugan"):
        sample("test", "gaugan", tmp_path / "none", 4, models=[path], progress=False)
    with pytest.raises(ValueError, match="two of the 2 models have one name"):
        sample("test", "stargan", tmp_path / "none", 4, models=[path, path], progress=False)
    with pytest.raises(FileNotFoundError, match="no generator weights at"):
        sample("test", "stargan", tmp_path / "none", 4, models=[tmp_path / "gone"], progress=False)
    assert not (tmp_path / "none").exists()


def test_new_weights_replace_the_fakes_and_leave_the_reals(folder, tmp_path, monkeypatch):
    out = tmp_path / "stargan"
    sample("test", "stargan", out, 3, progress=False)
    before = _content(out)
    model, info = generators.load(weights("test", "stargan")[0])
    with torch.no_grad():
        model.net.rgb.bias.add_(0.5)
    generators.save(model, tmp_path / "new.safetensors", info)
    monkeypatch.setattr(generators, "WEIGHTS", tmp_path)
    monkeypatch.setattr(generators, "SHIPPED", {"stargan": {"test": ("new.safetensors",)}})
    sample("test", "stargan", out, 3, progress=False)
    after = _content(out)
    assert all((after[name] == before[name]) == ("0_real" in name) for name in before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tests", "progan", 4), "unknown part 'tests'"),
        (("test", "dalle", 4), "unknown generator 'dalle'.*expected one of progan"),
        (("train", "stargan", 4), "holds ProGAN only"),
        (("test", "progan", 0), "at least 1 picture per label: found n_per_label=0"),
        (("test", "progan", 4, 0, 30), "multiple of 4.*found 30"),
    ],
)
def test_what_cannot_be_sampled_is_named(tmp_path, arguments, message):
    part, generator, *rest = arguments
    with pytest.raises(ValueError, match=message):
        sample(part, generator, tmp_path, *rest, progress=False)


def test_missing_weights_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(generators, "WEIGHTS", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no generator weights at .*gaugan.*train-generator"):
        sample("test", "gaugan", tmp_path / "out", 1, progress=False)


def test_command_line_says_what_it_made_and_what_was_wrong(tmp_path, capsys):
    arguments = [
        "--quiet",
        "sample",
        "--part",
        "test",
        "--generator",
        "biggan",
        "--out",
        str(tmp_path),
        "--n",
    ]
    assert command.main([*arguments, "2"]) == 0
    assert "2 real, 2 fake" in capsys.readouterr().out
    assert read_json(tmp_path / MANIFEST)["config"]["camera"]["name"] == "2"
    assert command.main([*arguments, "2", "--camera", "other"]) == 0
    assert read_json(tmp_path / MANIFEST)["config"]["camera"]["name"] == "other"
    capsys.readouterr()
    assert command.main([*arguments, "0"]) == 2
    assert capsys.readouterr().err.startswith("error: a folder needs at least 1 picture")


# --- what ships


def test_every_folder_has_its_models_and_they_are_small():
    for generator in generators.SHIPPED:
        for path in weights("test", generator):
            if generator in generators.NEW and not path.is_file():
                continue  # to be trained by whoever wants them
            assert path.is_file()
            model, info = generators.load(path)
            assert info["family"] == generator and info["steps"] > 0
            assert str(info["command"]).startswith(
                f"python -m tff_core.miniature train-generator {generator}"
            )
            assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    # the history of a training may lie beside its weights
    files = [
        path for path in generators.WEIGHTS.iterdir() if path.is_file() and not path.name.endswith(HISTORY)
    ]
    whole = [path for path in generators.WEIGHTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in whole) <= 40_000_000
    assert sum(path.stat().st_size for path in files) <= 14_000_000
    used = {name for parts in generators.SHIPPED.values() for names in parts.values() for name in names}
    optional = {path.name for generator in generators.NEW for path in weights("test", generator)}
    assert used - optional <= {path.name for path in files} <= used


def test_progan_is_several_models():
    seen = {path.stem.split("-")[0] for path in weights("train", "progan")}
    held_out = {part: {path.stem for path in weights(part, "progan")} for part in ("val", "test")}
    assert len(seen) >= 8 and not seen & (held_out["val"] | held_out["test"])
    assert not held_out["val"] & held_out["test"]
    others = [name for name in generators.FAMILIES if name != "progan"]
    assert all(len(weights("test", name)) == 2 for name in others)


def test_broken_weights_are_named(tmp_path):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"broken.safetensors holds no weights of a miniature generator"):
        generators.load(path)
    content = weights("test", "stargan")[0].read_bytes()
    path.write_bytes(content[:-500])
    with pytest.raises(ValueError, match="holds no weights"):
        generators.load(path)


def test_manifest_is_plain_json(folder):
    assert json.loads((folder / MANIFEST).read_text())["config"]["dataset"] == "miniature"


@pytest.mark.slow
def test_each_fake_is_known_by_the_weights_that_made_it(folder, tmp_path):
    assert makers(folder) == ("progan.s310.safetensors",)
    images = data.scan(folder)
    assert made_by(images) == ["progan.s310.safetensors" if label else "" for label in images.labels]
    two = tmp_path / "cyclegan"
    sample("test", "cyclegan", two, 12, progress=False)
    first, second = (path.name for path in weights("test", "cyclegan"))
    fakes = data.scan(two).where(label=1)
    told = dict(zip((int(path.stem) for path in fakes.paths), made_by(fakes), strict=True))
    assert told == {i: second if 4 <= i < 8 else first for i in range(12)}
    # the second model alone makes the same of its own, and something else of the others
    alone = tmp_path / "alone" / "cyclegan"
    sample("test", "cyclegan", alone, 12, progress=False, models=weights("test", "cyclegan")[1:])
    assert makers(alone) == (second,)
    for i in range(12):
        one, other = (np.asarray(Image.open(place(at, "cyclegan", 1, i)), dtype=int) for at in (two, alone))
        assert (np.abs(one - other).mean() < 0.1) == (told[i] == second)
    manifest = json.loads((two / MANIFEST).read_text())
    manifest["config"]["weights"] = {"cyclegan.s1.safetensors": "0", "cyclegan.s2.safetensors": "1"}
    (two / MANIFEST).write_text(json.dumps(manifest))
    assert makers(two) == (), "weights that no longer ship"
    (two / MANIFEST).unlink()
    assert makers(two) == () and set(made_by(data.scan(two))) == {""}
