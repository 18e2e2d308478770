"""Provide the base of annotators that answer from the masks of the pool."""

from typing import Any, ClassVar

import pyarrow as pa

from ray_al.core.errors import DataError
from ray_al.core.families.annotators import Annotator, Answers, LabelRequest
from ray_al.core.types import LABEL_SCHEMA, Refusal


class MaskAnnotator(Annotator):
    """The masks of the queried images, which answer at once; nothing else is read."""

    answers_at_once: ClassVar[bool] = True
    reads_masks: ClassVar[bool] = True

    def request(self, asked: LabelRequest) -> int:
        """Return 0, as nothing is handed out."""
        return 0

    def collect(self, asked: LabelRequest) -> Answers:
        """Return the labels of all regions; refuse those whose mask cannot be used."""
        queried = asked.query.select(["image_index", "image_id", "region"]).to_pylist()
        answers: dict[int, dict[str, Any]] = {}
        refused: dict[int, Refusal] = {}
        done = asked.left_out | asked.taken
        # Image by image, so that the mask of a large image is decoded once for all of its tiles.
        for place, row in sorted(enumerate(queried), key=lambda item: item[1]["image_index"]):
            image_id, region = row["image_id"], row["region"]
            if (image_id, region) in done:
                continue
            try:
                truth = asked.truth(row["image_index"], region)
            except DataError as error:
                refused[place] = Refusal(
                    image_id=image_id, region=region, reason=str(error), final=True
                )
                continue
            label = asked.label.of_truth(truth.ids, truth.region)
            answer = asked.label.row(label, truth.box, truth.region)
            answers[place] = {**row, **answer, "annotator": self.kind, "seconds": 0.0}
        rows = [answers[place] for place in sorted(answers)]
        table = pa.Table.from_pylist(rows, schema=LABEL_SCHEMA)
        return Answers(table=table, refused=tuple(refused[place] for place in sorted(refused)))
