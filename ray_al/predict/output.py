"""The folder of predictions: whose model made them, which image each belongs to, what is done."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence

from ray_al.core.errors import ConfigError
from ray_al.core.places import before_work, storage_errors
from ray_al.core.storage import Storage, check_writable
from ray_al.predict.choose import TakenModel
from ray_al.predict.forms import FORMS

MODEL_FILE = "model.json"
"""Which model predicts, and its classes."""
IMAGES_FILE = "images.csv"
"""Name of the predictions of each image, and the image."""
REFUSED_FILE = "refused.csv"
"""Images of the last call that could not be used, and why."""


class Output:
    """The files below the folder that `ray-al predict` writes.

    Args:
        out: path or URI of the folder.
    """

    def __init__(self, out: str) -> None:
        self.storage = Storage(out)

    @staticmethod
    @before_work("--out")
    def open(out: str, model: TakenModel) -> "Output":
        """Open a new folder, an empty one, or one with predictions of the same model.

        Nothing is written.

        Raises:
            ConfigError: the folder cannot be written, or holds something else.
        """
        check_writable(out, key="--out")
        output = Output(out)
        known = output.storage.read_if_there(MODEL_FILE)
        if known is None:
            if output.storage.list(""):
                raise ConfigError(
                    f"--out {out!r}: holds files that `ray-al predict` has not made; "
                    "give a new or an empty folder"
                )
            return output
        _check_same_model(out, known, model)
        return output

    def begin(self, model: TakenModel, names: Mapping[str, str]) -> None:
        """Write the model's description and the names of all images, before any prediction."""
        self.storage.replace(MODEL_FILE, _json(describe(model)))
        rows = ((name, uri) for uri, name in names.items())
        self.storage.replace(IMAGES_FILE, _table(("name", "image"), rows))
        self.storage.remove_leftovers()

    def names(self) -> dict[str, str]:
        """Return the names that earlier calls gave, by the URIs of the images."""
        data = self.storage.read_if_there(IMAGES_FILE)
        if data is None:
            return {}
        rows = csv.DictReader(io.StringIO(data.decode("utf-8", "surrogateescape"), newline=""))
        return {row["image"]: row["name"] for row in rows}

    def done(self, forms: Sequence[str]) -> set[str]:
        """Return the names of predictions of which the files of all `forms` exist."""
        complete: set[str] | None = None
        for form in forms:
            existing = self._existing(form)
            complete = existing if complete is None else complete & existing
        return complete or set()

    def _existing(self, form: str) -> set[str]:
        folder, suffix = self.storage.path(form), FORMS[form].suffix
        with storage_errors(self.storage.uri(form)):
            self.storage.fs.invalidate_cache()
            paths = self.storage.fs.find(folder)
        return {
            path.removeprefix(f"{folder}/").removesuffix(suffix)
            for path in paths
            if path.endswith(suffix)
        }

    def write(self, form: str, name: str, data: bytes) -> None:
        """Write one file of a prediction; it appears whole or not at all."""
        self.storage.replace(f"{form}/{name}{FORMS[form].suffix}", data)

    def end(self, refused: Iterable[tuple[str, str]]) -> None:
        """Write which images were refused, or remove the list of an earlier call."""
        rows = list(refused)
        if rows:
            self.storage.replace(REFUSED_FILE, _table(("image", "reason"), rows))
        else:
            self.storage.remove(REFUSED_FILE)


def describe(model: TakenModel) -> dict[str, object]:
    """Return what identifies a model and explains its outputs, ready for JSON."""
    pairs = zip(model.class_names, model.colors, strict=True)
    return {
        "run": model.run_uri,
        "model": model.origin,
        "weights_sha256": model.weights.sha256,
        "image_size": list(model.size),
        "val_miou": model.miou,
        "classes": [
            {"id": number, "name": name, "color": list(color)}
            for number, (name, color) in enumerate(pairs)
        ],
    }


def _check_same_model(out: str, known: bytes, model: TakenModel) -> None:
    try:
        values = json.loads(known)
        digest, origin = values["weights_sha256"], f"{values['model']} of {values['run']}"
    except (ValueError, LookupError, TypeError):
        raise ConfigError(
            f"--out {out!r}: its {MODEL_FILE} is damaged, so it is not known whose predictions it "
            "holds; give a new folder"
        ) from None
    if digest != model.weights.sha256:
        raise ConfigError(
            f"--out {out!r}: holds predictions of another model ({origin}); give a new folder"
        )


def _json(values: object) -> bytes:
    return json.dumps(values, indent=1, ensure_ascii=False).encode()


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return buffer.getvalue().encode("utf-8", "surrogateescape")
