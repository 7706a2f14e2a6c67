"""Unpacks an export, which is a ZIP archive, into a folder."""

import shutil
import zipfile
from pathlib import Path, PurePosixPath
from typing import IO

from services.cli.errors import BadInput

MAX_FILES = 1_000_000
MAX_FILE_BYTES = 64 * 1024 * 1024


def unpack(content: IO[bytes], folder: Path) -> int:
    """Write the files of an archive into a folder and return their number. A name outside of the folder is an error."""
    try:
        with zipfile.ZipFile(content) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) > MAX_FILES:
                raise BadInput(f"The export has {len(members)} files.", "Narrow it down with --status.")
            folder.mkdir(parents=True, exist_ok=True)
            for member in members:
                _write(archive, member, folder)
            return len(members)
    except zipfile.BadZipFile as error:
        raise BadInput("What the server sent is not a complete zip file.", "Ask for it again.") from error


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    name = PurePosixPath(member.filename)
    if len(name.parts) != 1 or name.parts[0] in {"..", "/"} or "\\" in member.filename:
        raise BadInput(f"The export names a file outside of its folder: {member.filename!r}.", "Nothing of it is kept.")
    if member.file_size > MAX_FILE_BYTES:
        raise BadInput(f"{member.filename} has {member.file_size} bytes.", f"{MAX_FILE_BYTES >> 20} MiB is the most.")
    with archive.open(member) as source, (folder / name.parts[0]).open("wb") as target:
        shutil.copyfileobj(source, target)
