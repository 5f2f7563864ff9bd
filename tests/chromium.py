"""The browser that the tests read pages in."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))
import print_book

CHROMIUM = next(filter(None, map(shutil.which, print_book.BROWSERS)), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a screen; on a machine that has none the test is skipped, in CI it fails."""
    if CHROMIUM is None and not os.environ.get("CI"):
        pytest.skip("no Chromium on this machine: install one to have the pages read in a browser")
    with sync_playwright() as playwright:
        # --no-sandbox: root, as in a container, has none
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
