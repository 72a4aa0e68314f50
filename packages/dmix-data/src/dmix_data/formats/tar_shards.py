"""WebDataset's shards: PART-000000.tar with NAME.json, NAME.mask.png and NAME.png of each sample."""

import io
import json
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

from ..exceptions import DataError
from ..stored_set import StoredSample, StoredSet
from .huggingface_folder import facts_of
from .writing import Writing


@dataclass(frozen=True)
class TarShards:
    """Tar files of the USTAR form without times and owners, so that the same set gives the same bytes.

    Args:
        samples: how many samples a shard has, 1 or more.
    """

    samples: int = 1000
    name = "webdataset"
    title = "WebDataset: webdataset, Hugging Face datasets, DALI"

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples is {self.samples}; expected 1 or more in a shard")

    def write(self, source: StoredSet, folder: Path) -> Writing:
        shards: dict[str, _Shards] = {}
        try:
            for sample in source.samples():
                split = sample.entry.split
                shards.setdefault(split, _Shards(folder, split, self.samples)).add(sample)
                yield sample
        finally:
            for each in shards.values():
                each.close()
        return []


@dataclass
class _Shards:
    """The shards of one part, one open at a time; there is none without a sample."""

    folder: Path
    split: str
    most: int
    count: int = 0
    tar: tarfile.TarFile | None = field(default=None, repr=False)

    def add(self, sample: StoredSample) -> None:
        if self.count % self.most == 0:
            self.close()
            path = self.folder / f"{self.split}-{self.count // self.most:06d}.tar"
            self.tar = tarfile.TarFile(path, "w", format=tarfile.USTAR_FORMAT)
        self.count += 1
        key = sample.name.replace(".", "_")  # a key ends at the first dot
        facts = {"kind": sample.entry.kind, "group": sample.entry.group, "objects": facts_of(sample)}
        self._put(f"{key}.json", json.dumps(facts).encode())
        self._put(f"{key}.mask.png", sample.mask.read_bytes())
        self._put(f"{key}{sample.image.suffix.lower()}", sample.image.read_bytes())

    def _put(self, name: str, content: bytes) -> None:
        assert self.tar is not None
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(content), 0o644
        try:
            self.tar.addfile(entry, io.BytesIO(content))
        except ValueError as error:
            raise DataError(f"{name!r} is too long for a tar file; expected at most 100 bytes.") from error

    def close(self) -> None:
        if self.tar is not None:
            self.tar.close()
