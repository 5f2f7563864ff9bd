"""The explorer in a running JupyterLab, used by a real browser: what a reader chooses is what is drawn."""

from __future__ import annotations

import base64
import io
import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from chromium import chromium
from conftest import environment
from lrp_nets import toy
from PIL import Image
from playwright.sync_api import Page

from tff_core import lrp
from tff_core.book import explorer
from tff_core.features.names import FeatureMap
from tff_core.pictures import data

pytestmark = [pytest.mark.slow, pytest.mark.book, pytest.mark.xdist_group("live")]

TOKEN = "a-token-of-the-tests"
PATIENCE = 240  # seconds: a busy machine is slow, not wrong
SEED = 7
MAPS = [FeatureMap("conv1", 1, 4), FeatureMap("blocks.1.conv", 4, 5)]
# the cell of the chapter on patches, with a network that nobody has trained
CELL = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from pathlib import Path
from IPython.display import display
from lrp_nets import toy
from tff_core import lrp
from tff_core.book import explorer
from tff_core.features.names import FeatureMap

net = lrp.canonize(toy({SEED}).float())
maps = [FeatureMap("conv1", 1, 4), FeatureMap("blocks.1.conv", 4, 5)]
pictures = {{path.stem: path for path in sorted(Path("pictures").glob("*.png"))}}
if explorer.live():
    display(explorer.widget(net, pictures, maps))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A notebook that shows the explorer, and pictures."""
    found = tmp_path_factory.mktemp("lab")
    (found / "pictures").mkdir()
    for number, name in enumerate(("pictures/first.png", "pictures/second.png", "own.png")):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(found / name)
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(CELL)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    nbformat.write(notebook, found / "explorer.ipynb")
    return found


@pytest.fixture(scope="module")
def lab(folder: Path) -> Iterator[str]:
    """The address of a JupyterLab that nobody else uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {
        name: str(folder / ".jupyter") for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")
    }
    own["JUPYTER_RUNTIME_DIR"] = str(folder / ".jupyter" / "runtime")
    # asks nobody for news or updates, and no reader whether it may
    settings = folder / ".jupyter/lab/user-settings/@jupyterlab/apputils-extension"
    settings.mkdir(parents=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
    kept = {name: value for name, value in environment().items() if name != "TFF_STATIC"}
    log = folder / "lab.log"
    with log.open("wb") as said:
        server = subprocess.Popen(
            [
                sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
                f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}",
                f"--ServerApp.root_dir={folder}",
            ],
            env={**kept, **own, "OMP_NUM_THREADS": "1"}, stdout=said, stderr=subprocess.STDOUT, cwd=folder,
        )  # fmt: skip
    try:
        address = f"http://127.0.0.1:{port}"
        limit = time.monotonic() + PATIENCE
        while True:
            try:
                urllib.request.urlopen(f"{address}/api/status?token={TOKEN}", timeout=10).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > limit:
                    pytest.fail(f"JupyterLab did not start:\n{log.read_text(errors='replace')[-2000:]}")
                time.sleep(0.5)
        yield f"{address}/lab/tree/explorer.ipynb?token={TOKEN}"
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.fixture(scope="module")
def page(lab: str) -> Iterator[Page]:
    """The notebook in a browser, run, with the explorer on the screen."""
    with chromium() as browser:
        found = browser.new_page(viewport={"width": 1280, "height": 1000})
        found.set_default_timeout(PATIENCE * 1000)
        found.goto(lab)
        found.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
        # before its kernel is there, a notebook runs nothing; its own indicator says "idle" even then
        found.locator("#jp-main-statusbar").get_by_text(re.compile(r"Python 3.*\| Idle")).wait_for()
        found.locator(".jp-Notebook .jp-CodeCell .cm-content").first.click()
        found.keyboard.press("Shift+Enter")
        output = found.locator(".jp-OutputArea")
        raised = output.get_by_text("Traceback (most recent call last)")
        output.locator(".widget-dropdown select").or_(raised).first.wait_for()
        assert not raised.count(), output.first.inner_text()
        yield found


def expected(path: Path, m: FeatureMap) -> explorer.Look:
    return explorer.look(lrp.canonize(toy(SEED).float()), data.read(path), m)


def shown(page: Page, look: explorer.Look) -> None:
    """The page says what was found, and its pictures have those very pixels."""
    assert look.patch is not None
    area = page.locator(".jp-OutputArea")
    area.get_by_text(look.words()).wait_for()
    for name, pixels in (("picture", look.picture), ("relevance", look.overlay), ("patch", look.patch)):
        image = area.get_by_alt_text(name, exact=True)
        content = base64.b64decode(image.get_attribute("src").split(",", 1)[1])  # type: ignore[union-attr]
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")), pixels)
        # a browser decodes pictures in its own time
        assert image.evaluate("(one) => one.decode().then(() => one.naturalWidth > 0 && one.clientWidth > 0)")


def test_a_reader_chooses_a_picture_and_a_map_and_sees_the_patch(page: Page, folder: Path) -> None:
    torch.manual_seed(0)  # whatever the order of the tests
    picture, known, layer = (page.locator(".jp-OutputArea .widget-dropdown select").nth(i) for i in range(3))
    shown(page, expected(folder / "pictures/first.png", MAPS[0]))
    picture.select_option("second")
    shown(page, expected(folder / "pictures/second.png", MAPS[0]))
    known.select_option(str(MAPS[1]))
    shown(page, expected(folder / "pictures/second.png", MAPS[1]))
    layer.select_option("conv1")
    shown(page, expected(folder / "pictures/second.png", FeatureMap("conv1", 3, 4)))


def test_a_reader_gives_a_picture(page: Page, folder: Path) -> None:
    known = page.locator(".jp-OutputArea .widget-dropdown select").nth(1)
    known.select_option(str(MAPS[0]))
    # a reader looks before the next click; a click between a choice and its echo may be taken back
    page.locator(".jp-OutputArea").get_by_text(f"{MAPS[0]}: largest activation").wait_for()
    with page.expect_file_chooser() as chosen:
        page.locator(".jp-OutputArea button").filter(has_text="your own picture").click()
    chosen.value.set_files(folder / "own.png")
    shown(page, expected(folder / "own.png", MAPS[0]))
    known.select_option(str(MAPS[1]))
    shown(page, expected(folder / "own.png", MAPS[1]))
