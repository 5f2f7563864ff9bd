"""One picture file as pixels: the same values whatever container holds them.

Values are taken as they are stored: no rotation (EXIF and TIFF orientation are ignored), no colour profile,
no transparency. Gray, palette and CMYK become RGB. Of 16 bits the upper 8 are taken, which undoes both usual
conversions from 8 to 16 bits (times 256 and times 257); of 12 bits likewise. Gray that counts from white is
inverted. Files that can be read as more than one picture are refused: pages, floating-point, signed and
32-bit values, L*a*b*, CMYK in a JPEG file that does not say which way round it counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from tff_core.pictures import containers

MAX_PIXELS = 89_478_485  # Pillow's own warning level: a larger picture is taken for a decompression bomb
# what Pillow may open; others of its readers start programs (EPS) or are rarely used
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM", "GIF")


class PictureError(ValueError):
    """A file that should be a picture is not one, is broken, or is of an unsupported kind."""


@dataclass(frozen=True)
class Decoded:
    """A picture with its colours last, uint8 (H, W, 3), and what else its decoder reports.

    ``alpha``, uint8 (H, W), is None where nothing is transparent; ``image`` tells container and mode.
    """

    pixels: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    image: Image.Image


def read(path: str | Path) -> torch.Tensor:
    """One picture as uint8 RGB, shape (3, H, W), as it is stored: no resize, no crop, no rotation.

    Gray, palette and CMYK pictures become RGB, of 16 bits the upper 8 are taken, transparency is dropped, and
    of an animation the first frame is taken. Raises FileNotFoundError, or PictureError that names the file,
    what is wrong with it and what to do.
    """
    return torch.from_numpy(decoded(path).pixels).permute(2, 0, 1).contiguous()


def decoded(path: str | Path) -> Decoded:
    """As `read`, but as the decoder gives it, and with what else it reports."""
    path = Path(path)
    found = "no size"
    try:
        size = path.stat().st_size
        found = f"{size} bytes"
        if size == 0:
            raise PictureError(_complaint(path, "the file is empty (0 bytes)"))
        with path.open("rb") as stream:
            bare = containers.bare(stream)
            with Image.open(bare.stream, formats=FORMATS) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise PictureError(
                        _complaint(path, f"{width}x{height} pixels are more than the {MAX_PIXELS} allowed")
                    )
                image.load()
                return Decoded(_rgb(image, bare), _alpha(image), image)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist: expected a picture; check the path") from None
    except PermissionError as error:
        raise PictureError(f"{path} may not be read ({error.strerror}); change its permissions") from error
    except PictureError:
        raise
    except containers.Ambiguous as error:
        raise PictureError(_complaint(path, str(error))) from error
    except Image.DecompressionBombError as error:
        raise PictureError(_complaint(path, f"more than the {MAX_PIXELS} pixels allowed")) from error
    except UnidentifiedImageError as error:
        raise PictureError(
            _complaint(path, f"{found}, UnidentifiedImageError: of no kind that is read")
        ) from error
    except Exception as error:  # many kinds of error on broken files; all mean the same here
        raise PictureError(_complaint(path, f"{found}, {type(error).__name__}: {error}")) from error


def size(path: str | Path) -> tuple[int, int]:
    """Width and height of what `read` gives; from the header alone where that is whole. Raises as `read`."""
    try:
        with Path(path).open("rb") as stream:
            head = stream.read(24)
            if head[:8] == b"\x89PNG\r\n\x1a\n" and head[12:16] == b"IHDR":
                return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
            stream.seek(0)
            with Image.open(containers.bare(stream).stream, formats=FORMATS) as image:
                return image.size
    except Exception:  # whatever is wrong: reading it says what, in one sentence
        picture = read(path)
        return picture.shape[-1], picture.shape[-2]


def _complaint(path: Path, found: str) -> str:
    return (
        f"{path} cannot be read as a picture ({found}): expected a whole PNG, JPEG or similar file; "
        "replace or remove it"
    )


def _rgb(image: Image.Image, bare: containers.Bare) -> NDArray[np.uint8]:
    if image.mode == "F":
        raise containers.Ambiguous("floating-point values, whose black and white are not said")
    if image.mode.startswith("I;16"):
        values = np.asarray(image)
        return _gray((values >> (4 if bare.bits == 12 else 8)).astype(np.uint8), bare)
    if image.mode == "I":  # netpbm's gray is brought down before: nothing says what white is
        raise containers.Ambiguous("32 bits, whose black and white are not said")
    if image.mode in ("1", "L", "LA", "La"):
        whole = image.convert("LA") if image.mode == "La" else image
        return _gray(np.asarray(whole.convert("L")), bare)
    if image.mode == "LAB":
        raise containers.Ambiguous("CIE L*a*b*; convert it to RGB")
    return np.array(image.convert("RGB"))


def _gray(values: NDArray[np.uint8], bare: containers.Bare) -> NDArray[np.uint8]:
    return np.repeat((255 - values if bare.inverted else values)[..., None], 3, axis=2)


def _alpha(image: Image.Image) -> NDArray[np.uint8] | None:
    """Opacity, uint8 (H, W); None where every pixel is opaque."""
    key = image.info.get("transparency")
    if image.mode == "La":
        image = image.convert("LA")
    if "A" in image.getbands():
        alpha = np.asarray(image.getchannel("A"))
    elif key is None:
        return None
    elif image.mode.startswith("I;16") and isinstance(key, int):
        alpha = np.where(np.asarray(image) == key, 0, 255).astype(np.uint8)
    elif image.mode == "RGB" and isinstance(key, tuple):
        same = (
            np.asarray(image) == np.array([value >> 8 if max(key) > 255 else value for value in key])
        ).all(2)
        alpha = np.where(same, 0, 255).astype(np.uint8)
    else:
        alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    return alpha if alpha.size and alpha.min() < 255 else None
