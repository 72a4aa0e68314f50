"""Which formats there are, and the writing of a set into one of them.

Formats come from plugins, through the hook `dmix_formats`; those of dmix-data are in `dmix_data.plugin`. Each is a pure
function of a set: the same set gives the same files.
"""

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmix_core.errors import WriteError, did_you_mean
from dmix_core.files import sync_folder

from ..data_card import CARD, data_card
from ..exceptions import DataError
from ..stored_set import StoredSample, StoredSet
from .writing import Format, Writing, put

if TYPE_CHECKING:
    from dmix_core.registry import Registry

__all__ = ["Format", "StoredSample", "StoredSet", "Writing", "export", "named"]


def named(name: str, registry: "Registry", settings: Mapping[str, Any] | None = None) -> Format:
    """The format of that name with these settings; of "yolo-seg" the first word is enough, while no other has it.

    Raises:
        DataError: there is none.
        PluginError: two plugins claim the name, or a setting that the format does not take.
    """
    known = registry.names("format")
    meant = [each for each in known if each == name] or [each for each in known if each.startswith(f"{name}-")]
    if len(meant) != 1:
        raise DataError(f"No format {name!r}.{did_you_mean(name, known)} Expected one of: {', '.join(known)}.")
    found: Format = registry.create("format", meant[0], settings)
    return found


def check_target(source: StoredSet, out: Path) -> None:
    """Refuse a folder that an export must not write to.

    Raises:
        DataError: it is the set's own, lies in it or holds it, or has files already.
    """
    root, target = source.root.resolve(), out.resolve()
    if target == root or target.is_relative_to(root) or root.is_relative_to(target):
        raise DataError(
            f"The export {str(out)!r} would lie in the set {str(source.root)!r} or around it. "
            "Expected a folder beside it; name another one with -o."
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(
            f"{str(out)!r} is there already. Expected a new or an empty folder, since an export is written as a whole; "
            "remove it, or name another one with -o."
        )


def export(source: StoredSet, form: Format, out: Path) -> Writing:
    """Write a set in a format, with its data card, whole or not at all: under a temporary name, renamed at the end.

    Yields each sample when it is written; returns what a user should know.

    Raises:
        DataError: the folder must not be written to, or something is wrong with the set.
        ImageError: a picture or mask that is damaged or of another size.
        WriteError: the disk is full, or the folder cannot be written to.
    """
    check_target(source, out)
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}.dmix-part")
    try:
        temporary.mkdir(parents=True)
        notes = yield from form.write(source, temporary)
        put(temporary / CARD, data_card(source).encode())
        if out.exists():
            out.rmdir()
        os.replace(temporary, out)
        sync_folder(out.parent)
    except OSError as error:
        raise WriteError(
            f"Cannot write {str(out)!r} ({error.strerror}); nothing of it was kept. "
            "Expected a folder that can be written to and has free space."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return notes
