"""Decoded pictures are kept up to a limit, and read again beyond it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from tff_core.pictures import data
from tff_core.pictures.kept import Kept


def test_pictures_are_decoded_once_while_they_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    for i, path in enumerate(paths):
        Image.new("RGB", (4, 4), (i, 0, 0)).save(path)
    read, decoded = data.read, []
    monkeypatch.setattr(data, "read", lambda path: decoded.append(Path(path).stem) or read(path))
    all_fit, two_fit = Kept(paths), Kept(paths, lambda x: x + 10, limit=2 * 48)
    for _ in range(2):
        assert [int(all_fit[i][0, 0, 0]) for i in range(4)] == [0, 1, 2, 3]
    assert decoded == ["0", "1", "2", "3"]
    decoded.clear()
    assert [int(two_fit[i][0, 0, 0]) for i in (0, 1, 0, 2, 0, 1)] == [10, 11, 10, 12, 10, 11]
    assert decoded == ["0", "1", "2", "1"]  # 1 was the one used least recently
    torch.testing.assert_close(two_fit[1], read(paths[1]) + 10)
    with pytest.raises(data.PictureError):
        (tmp_path / "broken.png").write_bytes(b"no")
        Kept([tmp_path / "broken.png"])[0]
