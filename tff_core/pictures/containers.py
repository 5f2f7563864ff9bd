"""What a picture file holds besides its pixels: listed by name, and kept away from the decoder.

Metadata must not decide whether a picture can be read, nor how it is rotated. `bare` gives the bytes that a
decoder needs and no others: no texts, no EXIF, no colour profiles, no orientation. `contents` names the rest,
wherever it is in the file, without unpacking it. PNG (W3C, 3rd edition), JPEG (ITU T.81, T.871), TIFF 6.0 and
BigTIFF, WebP (RFC 9649), GIF89a and netpbm are walked by their own structure.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import TiffTags

MAX_BYTES = 1 << 30  # of a file read in one piece; no picture with an allowed number of pixels needs more

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_PNG_TEXTS = {b"tEXt", b"zTXt", b"iTXt"}
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_TIFF = {b"II*\0": "<", b"MM\0*": ">", b"II+\0": "<", b"MM\0+": ">"}
# tags that say where the pixels are and how they are packed; orientation (274) does not
_TIFF_PIXELS = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325}
    | {332, 334, 338, 339, 347, *range(512, 522), 529, 530, 531, 532}
)
_TIFF_KINDS = {
    0: "gray", 1: "gray", 2: "RGB", 3: "palette", 4: "a transparency mask", 5: "CMYK", 6: "YCbCr",
    8: "CIE L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*", 32803: "a sensor's colour filter array",
    34892: "linear sensor values",
}  # fmt: skip
_TIFF_TYPES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
_TIFF_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}


class Ambiguous(ValueError):
    """A file that can be read as more than one picture; the message says why."""


@dataclass(frozen=True)
class Bare:
    """A file reduced to its pixels: its bytes, and what its decoder would not report.

    ``inverted``: gray values count from white. ``bits`` per gray value, where not 8 or 16.
    """

    stream: BinaryIO
    inverted: bool = False
    bits: int = 16


@dataclass
class Contents:
    """Names of the fields other than pixels, and the number of frames where the header gives it."""

    fields: set[str] = field(default_factory=set)
    frames: int = 1


def bare(stream: BinaryIO) -> Bare:
    """The pixels of a picture file, as a file that a decoder can read.

    Raises Ambiguous where the file does not say which picture it is: pages, values without a scale, colours
    without a space. Damaged files and unknown containers are returned unchanged.
    """
    head = stream.read(16)
    stream.seek(0)
    if head.startswith(_PNG):
        return Bare(_bare_png(stream))
    if head.startswith(b"\xff\xd8\xff"):
        return Bare(io.BytesIO(_bare_jpeg(_whole(stream))))
    if head[:4] in _TIFF:
        return _bare_tiff(bytearray(_whole(stream)))
    if re.match(rb"P[2356]\s", head):
        return Bare(io.BytesIO(_bare_netpbm(_whole(stream))))
    return Bare(stream)


def contents(path: Path) -> Contents:
    """What a picture file contains besides its pixels, by name; damaged parts are left out."""
    found = Contents()
    with path.open("rb") as stream:
        head = stream.read(16)
        stream.seek(0)
        if head.startswith(_PNG):
            _name_png(stream, found)
        elif head.startswith(b"\xff\xd8\xff"):
            _name_jpeg(_whole(stream), found)
        elif head[:4] in _TIFF:
            _name_tiff(_whole(stream), found)
        elif head[:4] == b"RIFF" and head[8:12] == b"WEBP":
            _name_webp(stream, path.stat().st_size, found)
        elif head[:4] == b"GIF8":
            _name_gif(_whole(stream), found)
    return found


def _whole(stream: BinaryIO) -> bytes:
    """The whole file, read by its size, since requesting more would allocate memory for it."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    if size > MAX_BYTES:
        raise Ambiguous(f"{size} bytes are more than the {MAX_BYTES} allowed")
    return stream.read(size)


# ----------------------------------------------------------------------------------------------------- PNG


def _chunks(stream: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Type, length and position of the data of each PNG chunk; lengths are cut at the end of the file."""
    end, at = stream.seek(0, io.SEEK_END), len(_PNG)
    while True:
        stream.seek(at)
        head = stream.read(8)
        if len(head) < 8:
            return
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        yield kind, min(length, end - at), at + 8
        at += 12 + length
        if kind == b"IEND":
            stream.seek(at)
            return


def _bare_png(stream: BinaryIO) -> BinaryIO:
    kept, begun = [_PNG], False
    for kind, length, at in _chunks(stream):
        if begun and kind != b"IDAT":  # all of it is in one run, whatever follows
            break
        if kind in _PNG_PIXELS:
            stream.seek(at - 8)
            kept.append(stream.read(length + 12))
            begun = kind == b"IDAT"
    return io.BytesIO(b"".join([*kept, _PNG_END]))


def _name_png(stream: BinaryIO, found: Contents) -> None:
    frames = 0
    for kind, length, at in _chunks(stream):
        if kind in _PNG_TEXTS:
            stream.seek(at)
            found.fields.add(_word(stream.read(min(length, 80)).split(b"\0")[0]))
        elif kind == b"fcTL":
            frames += 1
        elif kind not in _PNG_PIXELS and kind not in (b"acTL", b"fdAT"):
            found.fields.add({b"eXIf": "EXIF", b"iCCP": "ICC"}.get(kind, _word(kind)))
    found.frames = max(1, frames)
    if stream.read(1):
        found.fields.add("bytes behind the end")


# ---------------------------------------------------------------------------------------------------- JPEG


def _segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, beginning and end of each segment of a JPEG file, up to and with the end of the picture."""
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:  # fill
            at += 1
            continue
        if marker == 0xD9:
            yield marker, at, at + 2
            return
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 2
            continue
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        if marker == 0xDA:  # coded pixels follow, up to the next marker that is not part of them
            after = _NEXT_MARKER.search(content, end)
            end = after.start() if after else len(content)
        yield marker, at, end
        at = end
    if content[at : at + 2] == b"\xff\xd9":
        yield 0xD9, at, at + 2


_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def _bare_jpeg(content: bytes) -> bytes:
    kept = [content[:2]]
    inks, adobe = 0, False
    for marker, begin, end in _segments(content):
        if marker == 0xDA:  # from here on the decoder knows what is pixels
            if inks == 4 and not adobe:
                raise Ambiguous("CMYK without Adobe's marker: whether 0 is no ink or full ink is not said")
            return b"".join([*kept, content[begin:]])
        name = content[begin + 4 : begin + 9]
        adobe |= marker == 0xEE and name == b"Adobe"
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            inks = content[begin + 9] if begin + 9 < end else 0
        # both say what colours the components are
        colour = (marker, name) in ((0xE0, b"JFIF\0"), (0xEE, b"Adobe"))
        if colour or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            kept.append(content[begin:end])
    return content


def _name_jpeg(content: bytes, found: Contents) -> None:
    end = len(content)
    for marker, begin, end in _segments(content):
        if marker == 0xFE:
            found.fields.add("comment")
        elif 0xE0 <= marker <= 0xEF:
            name = content[begin + 4 : min(end, begin + 64)].split(b"\0")[0]
            known = {b"Exif": "EXIF", b"ICC_PROFILE": "ICC", b"http://ns.adobe.com/xap/1.0/": "XMP"}
            found.fields.add(known.get(name) or f"APP{marker - 0xE0} {_word(name)}".strip())
    if len(content) > end and content[end - 2 : end] == b"\xff\xd9":
        found.fields.add("bytes behind the end")


# ---------------------------------------------------------------------------------------------------- TIFF


@dataclass(frozen=True)
class _Layout:
    """How a TIFF file writes its directories: byte order, and the widths of classic or big TIFF."""

    order: str
    big: bool

    @classmethod
    def of(cls, content: bytes | bytearray) -> _Layout:
        return cls(_TIFF[bytes(content[:4])], content[2:4] in (b"+\0", b"\0+"))

    @property
    def entry(self) -> struct.Struct:
        return struct.Struct(self.order + ("HHQ8s" if self.big else "HHI4s"))

    @property
    def count(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.big else "H"))

    @property
    def pointer(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.big else "I"))

    def first(self, content: bytes | bytearray) -> int:
        return int(self.pointer.unpack_from(content, 8 if self.big else 4)[0])


Entry = tuple[int, int, int, bytes]  # tag, type, count, value or its offset


def _directories(content: bytes | bytearray) -> Iterator[tuple[int, list[Entry]]]:
    """Position and entries of each directory of a TIFF file; stops where the file is damaged."""
    layout, seen = _Layout.of(content), set()
    try:
        at = layout.first(content)
        while at and at not in seen:
            seen.add(at)
            n = layout.count.unpack_from(content, at)[0]
            begin = at + layout.count.size
            if begin + n * layout.entry.size > len(content):
                return
            found = [layout.entry.unpack_from(content, begin + i * layout.entry.size) for i in range(n)]
            yield at, found
            at = int(layout.pointer.unpack_from(content, begin + n * layout.entry.size)[0])
    except struct.error:
        return


def _stored(content: bytes | bytearray, layout: _Layout, entry: Entry) -> bytes:
    """The bytes of an entry's values; none if they are beyond the end."""
    _, kind, n, value = entry
    size = n * _TIFF_SIZES.get(kind, 1)
    if size <= len(value):
        return value[:size]
    at = int(layout.pointer.unpack(value)[0])
    return bytes(content[at : at + size]) if at + size <= len(content) else b""


def _values(content: bytes | bytearray, layout: _Layout, entry: Entry) -> tuple[int, ...]:
    """The integers of an entry; empty if they are of another type, or beyond the end."""
    letter = _TIFF_TYPES.get(entry[1])
    found = _stored(content, layout, entry) if letter else b""
    return struct.unpack(f"{layout.order}{entry[2]}{letter}", found) if found else ()


def _bare_tiff(content: bytearray) -> Bare:
    layout = _Layout.of(content)
    pages = list(_directories(content))
    if not pages:
        return Bare(io.BytesIO(content))

    def value(page: int, tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
        own = [entry for entry in pages[page][1] if entry[0] == tag]
        return (_values(content, layout, own[0]) or default) if own else default

    # smaller copies and masks accompany the picture; they are not further pictures
    whole = [i for i in range(len(pages)) if not value(i, 254, (0,))[0] & 5 and value(i, 255, (1,))[0] != 2]
    if len(whole) > 1 or (whole and whole[0] > 0):
        raise Ambiguous(
            f"{len(pages)} pages: which one is meant is not said; write that page as a file of its own"
        )
    kind, bits = value(0, 262, ()), value(0, 258, (1,))
    _must_be_plain(kind, bits, set(value(0, 339, (1,))))
    kept = {
        entry[0]: (entry[1], _stored(content, layout, entry))
        for entry in pages[0][1]
        if entry[0] in _TIFF_PIXELS and entry[0] != 339
    }
    if kind[0] == 0:  # the decoder inverts some kinds of gray and not others
        kept[262] = 3, struct.pack(layout.order + "H", 1)
    if value(0, 284, (1,))[0] == 2 and bits[0] == 16 and value(0, 259, (1,))[0] == 1:
        # nor does it recognise such planes for what they are
        joined = _interleaved(content, layout, value)
        begin = len(content) + len(content) % 2
        content[len(content) :] = bytes(begin - len(content)) + joined
        kept |= {
            273: (4, struct.pack(layout.order + "I", begin)),
            278: (4, struct.pack(layout.order + "I", value(0, 257, (0,))[0])),
            279: (4, struct.pack(layout.order + "I", len(joined))),
            284: (3, struct.pack(layout.order + "H", 1)),
        }
    return Bare(io.BytesIO(_with_directory(content, layout.order, kept)), kind[0] == 0, bits[0])


def _must_be_plain(kind: tuple[int, ...], bits: tuple[int, ...], samples: set[int]) -> None:
    """Ambiguous where the values of a TIFF file are not colours by themselves."""
    if not kind:
        raise Ambiguous("no photometric interpretation: whether 0 is black or white is not said")
    if kind[0] not in (0, 1, 2, 3, 5, 6):
        raise Ambiguous(
            f"{_TIFF_KINDS.get(kind[0], f'photometric interpretation {kind[0]}')}; convert it to RGB"
        )
    for number, name in ((3, "floating-point"), (2, "signed"), (5, "complex"), (6, "complex")):
        if number in samples:
            raise Ambiguous(f"{name} values, whose black and white are not said; convert it to 8 or 16 bits")
    if max(bits) > 16 or len(set(bits)) > 1:
        told = " and ".join(map(str, sorted(set(bits))))
        raise Ambiguous(f"{told} bits, whose black and white are not said; convert it to 8 or 16 bits")


def _interleaved(
    content: bytearray, layout: _Layout, value: Callable[[int, int, tuple[int, ...]], tuple[int, ...]]
) -> bytes:
    """Uncompressed planes of 16 bits, (C, H, W) in strips, as pixels (H, W, C)."""
    width, height, n = (value(0, tag, (0,))[0] for tag in (256, 257, 277))
    places, sizes = value(0, 273, ()), value(0, 279, ())
    raw = b"".join(content[at : at + size] for at, size in zip(places, sizes, strict=False))
    planes = np.frombuffer(raw, np.uint16)
    if not planes.size or planes.size != n * height * width:
        raise Ambiguous("planes of 16 bits that are not whole strips; write it with its colours together")
    return planes.reshape(n, height, width).transpose(1, 2, 0).tobytes()


def _with_directory(content: bytearray, order: str, kept: Mapping[int, tuple[int, bytes]]) -> bytearray:
    """The file with only this directory, at its end, as classic TIFF whichever variant it was."""
    table, behind = b"", b""
    at = len(content) + len(content) % 2
    end = at + 2 + 12 * len(kept) + 4
    for tag, (kind, stored) in sorted(kept.items()):
        if kind == 16:  # offsets in a file of at most MAX_BYTES
            numbers = struct.unpack(f"{order}{len(stored) // 8}Q", stored)
            kind, stored = 4, struct.pack(f"{order}{len(numbers)}I", *(min(n, 2**32 - 1) for n in numbers))
        n = len(stored) // _TIFF_SIZES.get(kind, 1)
        table += struct.pack(order + "HHI", tag, kind, n)
        if len(stored) <= 4:
            table += stored.ljust(4, b"\0")
        else:
            table += struct.pack(order + "I", end + len(behind))
            behind += stored + bytes(len(stored) % 2)
    written = struct.pack(order + "H", len(kept)) + table + bytes(4) + behind
    content[len(content) :] = bytes(at - len(content)) + written
    content[:8] = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, at)
    return content


def _name_tiff(content: bytes, found: Contents) -> None:
    names = {700: "XMP", 34665: "EXIF", 34675: "ICC"}
    for _, entries in _directories(content):
        for tag in {entry[0] for entry in entries} - _TIFF_PIXELS:
            found.fields.add(names.get(tag) or TiffTags.lookup(tag).name)


# ------------------------------------------------------------------------------------------- WebP, GIF, PNM


def _name_webp(stream: BinaryIO, size: int, found: Contents) -> None:
    stream.seek(4)
    at, end = 12, 8 + int.from_bytes(stream.read(4), "little")
    while at + 8 <= end:
        stream.seek(at)
        head = stream.read(8)
        if len(head) < 8:
            break
        if head[:4] == b"ANMF":
            found.frames += at > 0
        elif head[:4] not in (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM"):
            found.fields.add({b"ICCP": "ICC"}.get(head[:4], _word(head[:4].strip())))
        length = int.from_bytes(head[4:], "little")
        at += 8 + length + length % 2
    found.frames = max(1, found.frames - 1)
    if size > end:
        found.fields.add("bytes behind the end")


def _name_gif(content: bytes, found: Contents) -> None:
    def blocks(at: int) -> int:
        while at < len(content) and content[at]:
            at += content[at] + 1
        return at + 1

    at = 13 + (3 << (content[10] & 7) + 1 if content[10:11] and content[10] & 0x80 else 0)
    frames = 0
    while at + 1 < len(content):
        kind = content[at]
        if kind == 0x2C and at + 9 < len(content):
            frames += 1
            local = content[at + 9]
            at = blocks(at + 11 + (3 << (local & 7) + 1 if local & 0x80 else 0))
        elif kind == 0x21:
            if content[at + 1] == 0xFE:
                found.fields.add("comment")
            elif content[at + 1] == 0xFF:
                found.fields.add(_word(content[at + 3 : at + 14]))
            at = blocks(at + 2)
        else:
            break
    found.frames = max(1, frames)
    if content[at : at + 1] == b";" and len(content) > at + 1:
        found.fields.add("bytes behind the end")


_NETPBM = re.compile(
    rb"(P[2356])((?:\s+|#[^\r\n]*[\r\n])+\d+)((?:\s+|#[^\r\n]*[\r\n])+\d+)((?:\s+|#[^\r\n]*[\r\n])+\d+)\s"
)


def _bare_netpbm(content: bytes) -> bytes:
    """Values of more than 8 bits become 8 bits by the same rule for gray and colours; others stay."""
    head = _NETPBM.match(content[:4096])
    if not head:
        return content
    width, height, white = (int(re.sub(rb"#[^\r\n]*", b"", head[i])) for i in (2, 3, 4))
    if not 255 < white < 65536:
        return content
    kind, n = head[1], width * height * (3 if head[1] in (b"P3", b"P6") else 1)
    body = content[head.end() :]
    if kind in (b"P5", b"P6"):
        if len(body) < 2 * n or n > MAX_BYTES:
            return content  # truncated: the decoder says so
        values = np.frombuffer(body, ">u2", count=n).astype(np.uint32)
    else:
        words = re.sub(rb"#[^\r\n]*", b"", body).split(maxsplit=n)[:n]
        if len(words) < n:
            return content
        values = np.array(words, dtype=np.uint32)
    # to the full scale of 16 bits, as the decoder does it for gray, then as 16 bits of any container
    scaled = (np.minimum(values, white) * 65535 + white // 2) // white
    pixels = (scaled >> 8).astype(np.uint8).tobytes()
    raw = b"P6" if kind in (b"P3", b"P6") else b"P5"
    return b"%s\n%d %d\n255\n" % (raw, width, height) + pixels


def _word(name: bytes) -> str:
    return name.decode("latin-1").strip()
