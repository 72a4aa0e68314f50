"""What an experiment is: which data, how detectors are trained and tested, and its rows."""

import json
import tomllib
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from dmix_core.errors import DmixError, did_you_mean


class ExperimentError(DmixError):
    """An experiment that cannot be understood, or results that do not belong to it."""


def _beside(path: Path, info: ValidationInfo) -> Path:
    """A path relative to the file that states it."""
    return Path((info.context or {}).get("base", "")) / path


def _two_names(path: Path) -> str:
    return "/".join(path.parts[-2:])


Folder = Annotated[Path, AfterValidator(_beside), PlainSerializer(_two_names)]
"""A folder, in JSON by two names, so that what was measured elsewhere is known again."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Addition(_Part):
    """Windows that are added to the real ones of each batch.

    Attributes:
        use: copy-paste and poisson paste the row's real defects into normal pictures; perlin paints textures there; set
            takes windows of generated pictures.
        ratio: how many of them for each window on a real defect.
        folder: of a set.
        negatives: of a set, windows on its twins and near-misses, which show no defect, for each window on a real
            defect: hard negatives.
    """

    use: Literal["copy-paste", "poisson", "perlin", "set"]
    ratio: Annotated[float, Field(ge=0, le=64)] = 1.0
    folder: Folder | None = None
    negatives: Annotated[float, Field(ge=0, le=64)] = 0.0

    @model_validator(mode="after")
    def _check_folder(self) -> Self:
        if (self.use == "set") != (self.folder is not None):
            raise ValueError("a folder belongs to use = 'set', and only to that")
        if self.negatives and self.use != "set":
            raise ValueError("negatives are the twins and near-misses of use = 'set'")
        return self


class Row(_Part):
    """What detectors of one row learn from.

    Attributes:
        real: how many real pictures of defects; None: all. Normal pictures are the same for all rows.
        add: what is added.
        schedule: additions throughout, or until half of the steps and then real windows alone.
        against: the rows that it is compared with; empty: the first row with as many real pictures and no additions.
    """

    name: Annotated[str, Field(min_length=1, max_length=80)]
    real: Annotated[int, Field(ge=1)] | None = None
    add: tuple[Addition, ...] = ()
    schedule: Literal["together", "synthetic-first"] = "together"
    against: tuple[str, ...] = ()


class Training(_Part):
    """How detectors learn; the same for all rows.

    Attributes:
        steps: of Adam, whatever is added.
        side: of the windows, in pixels.
        defects, elsewhere: windows of each batch on real defects, and anywhere in real pictures; additions displace
            neither.
        learning_rate: the highest; it rises over a tenth of the steps and falls to zero.
        gain: grey values are multiplied by a number between 1 / gain and gain.
    """

    steps: Annotated[int, Field(ge=1, le=1_000_000)] = 1500
    side: Annotated[int, Field(ge=16, le=512, multiple_of=8)] = 64
    defects: Annotated[int, Field(ge=1, le=256)] = 4
    elsewhere: Annotated[int, Field(ge=1, le=256)] = 4
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 2e-3
    gain: Annotated[float, Field(ge=1, le=4)] = 1.4


class Experiment(_Part):
    """An experiment, as its TOML file states it; paths are relative to the file.

    Attributes:
        train, validation, test: folders of real pictures, in any layout that has normal pictures; no tile or other
            thing may be in two of them.
        classes: the defects that count; pictures of others are left out. Empty: all.
        seeds: each row is trained once for each.
        stride: of the windows by which whole pictures are tested, in pixels.
        normals: how many normal pictures a part is tested on, from as many tiles as there are; None: all.
        leaking: parts that may show tiles which training shows, too, as some published divisions do; tables say so.
        rows: at least one without additions.
    """

    name: str
    train: Folder
    validation: Folder
    test: Folder
    classes: tuple[str, ...] = ()
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**31)], ...], Field(min_length=1)] = (0, 1, 2)
    stride: Annotated[int, Field(ge=1)] = 32
    normals: Annotated[int, Field(ge=1)] | None = None
    leaking: tuple[Literal["validation", "test"], ...] = ()
    training: Training = Training()
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _check_rows(self) -> Self:
        names = [row.name for row in self.rows]
        if len({*names}) < len(names):
            raise ValueError("two rows have the same name")
        for row in self.rows:
            self.baselines(row)
        if self.stride > self.training.side:
            raise ValueError(f"stride {self.stride} leaves gaps between windows of {self.training.side} pixels")
        return self

    def row(self, name: str) -> Row:
        """The row of this name.

        Raises:
            ExperimentError: there is none.
        """
        names = [row.name for row in self.rows]
        if name not in names:
            raise ExperimentError(f"No row {name!r}.{did_you_mean(name, names)} Expected one of: {', '.join(names)}.")
        return self.rows[names.index(name)]

    def baselines(self, row: Row) -> list[str]:
        """The names of the rows that a row is compared with, which may be its own."""
        if row.against:
            return [self.row(name).name for name in row.against]
        plain = [each for each in self.rows if not each.add and each.real == row.real]
        return [(plain or [row])[0].name]

    def digest(self, row: Row) -> str:
        """Of all that decides a row's results but the files themselves; of folders the last two names count."""
        own = self.model_dump(mode="json", exclude={"rows", "seeds", "name", "leaking"})
        own["row"] = row.model_dump(mode="json", exclude={"against", "name"})
        return sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()[:16]


def read_experiment(path: str | Path) -> Experiment:
    """Read a TOML file.

    Raises:
        ExperimentError: no such file, no TOML, or what it states does not fit.
    """
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return Experiment.model_validate(data, context={"base": path.parent})
    except OSError as error:
        raise ExperimentError(f"Cannot read {str(path)!r} ({error.strerror}); expected a TOML file.") from error
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "the experiment"
        raise ExperimentError(f"{str(path)!r}: {where}: {problem['msg']}.") from error
    except ValueError as error:
        raise ExperimentError(f"{str(path)!r} is no TOML: {error}.") from error
