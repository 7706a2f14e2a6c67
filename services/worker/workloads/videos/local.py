"""Draws a moving test picture without any model, as a real file, so that everything else can be tried out.

An animated PNG, which any browser plays; an MP4 where there is an `ffmpeg`. The same item gives the same picture.
"""

import hashlib
import shutil
import struct
import subprocess
import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]
FRAMES_PER_S = 8
SECONDS = 4
SIZE = (320, 180)
LONGEST_SIDE = 640
_NOTE = "A test picture by Batchyard's local renderer; no model made it."
_FFMPEG_S = 120


def size_of(text: str | None) -> tuple[int, int]:
    """Return an even width and height in the requested proportions, small enough to be drawn quickly."""
    width, height = map(int, text.split("x")) if text else SIZE
    scale = min(1.0, LONGEST_SIDE / max(width, height))
    return max(16, int(width * scale) // 2 * 2), max(16, int(height * scale) // 2 * 2)


def frames(prompt: str, seed: int, size: tuple[int, int], seconds: int) -> Iterator[Frame]:
    """Draw waves in colours of the prompt, and a line at the bottom that grows with time."""
    digest = hashlib.sha256(f"{seed}:{prompt}".encode()).digest()
    width, height = size
    number = seconds * FRAMES_PER_S
    x = np.linspace(0, 2 * np.pi * (1 + digest[0] % 3), width, dtype=np.float32)
    y = np.linspace(0, 2 * np.pi * (1 + digest[1] % 3), height, dtype=np.float32)[:, None]
    tint = np.frombuffer(digest[2:8], np.uint8).astype(np.float32).reshape(2, 3)
    for n in range(number):
        turn = 2 * np.pi * n / number
        wave = ((np.sin(x + turn) * np.cos(y - turn) + 1) / 2)[..., None]
        picture = (tint[0] * wave + tint[1] * (1 - wave)).astype(np.uint8)
        picture[-max(2, height // 40) :, : max(1, width * (n + 1) // number)] = 255
        yield picture


def render(prompt: str, seed: int, size: tuple[int, int], seconds: int, ffmpeg: str | None = None) -> bytes:
    """Return the bytes of the file. Raises `OSError` when ffmpeg is given and fails."""
    drawn = frames(prompt, seed, size, seconds)
    return _mp4(drawn, size, ffmpeg) if ffmpeg else _apng(drawn, size, seconds * FRAMES_PER_S)


def find_ffmpeg() -> str | None:
    """Find the path of an installed ffmpeg."""
    return shutil.which("ffmpeg")


def _apng(drawn: Iterator[Frame], size: tuple[int, int], number: int) -> bytes:
    """Write an APNG by the PNG specification, third edition: https://www.w3.org/TR/png-3/."""
    parts = [
        b"\x89PNG\r\n\x1a\n",
        _chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)),
        _chunk(b"acTL", struct.pack(">II", number, 0)),
        _chunk(b"tEXt", b"Comment\0" + _NOTE.encode("latin-1")),
    ]
    sequence = 0
    for n, picture in enumerate(drawn):
        control = struct.pack(">IIIIIHHBB", sequence, *size, 0, 0, 1, FRAMES_PER_S, 0, 0)
        parts.append(_chunk(b"fcTL", control))
        sequence += 1
        rows = np.concatenate([np.zeros((size[1], 1), np.uint8), picture.reshape(size[1], -1)], axis=1)
        data = zlib.compress(rows.tobytes(), 1)
        if n == 0:
            parts.append(_chunk(b"IDAT", data))
        else:
            parts.append(_chunk(b"fdAT", struct.pack(">I", sequence) + data))
            sequence += 1
    return b"".join([*parts, _chunk(b"IEND", b"")])


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _mp4(drawn: Iterator[Frame], size: tuple[int, int], ffmpeg: str) -> bytes:
    """Encode a fragmented MP4, since a pipe cannot be rewritten."""
    width, height = size
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(FRAMES_PER_S), "-i", "-"]
    coded = ["-an", "-pix_fmt", "yuv420p", "-metadata", f"comment={_NOTE}"]
    command = [ffmpeg, "-v", "error", *raw, *coded, "-movflags", "frag_keyframe+empty_moov", "-f", "mp4", "-"]
    given = b"".join(picture.tobytes() for picture in drawn)
    done = subprocess.run(command, input=given, capture_output=True, timeout=_FFMPEG_S, check=False)  # noqa: S603
    if done.returncode or not done.stdout:
        raise OSError(f"ffmpeg ended with {done.returncode}: {done.stderr[-300:].decode('utf-8', 'replace')}")
    return done.stdout
