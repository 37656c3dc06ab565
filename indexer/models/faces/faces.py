"""The faces in a picture: where each is and whom it resembles. InsightFace's networks, with our code around them."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from indexer.errors import SettingsError, WeightsError, words_of
from indexer.images import Picture
from indexer.models.files.published import PublishedFile, report
from indexer.models.results import Face
from indexer.models.runtimes.fixed_shapes import Shape
from indexer.models.runtimes.onnx import open_session, usable_device

_SIDE = 640  # side of the square in which faces are detected, as in Immich
_CROP = 112  # side of the upright face that the second network takes
_AT_ONCE = 16  # faces in one call of the second network, which limits memory


class Faces:
    """A loaded face model. `find` may be called from several threads at once; each call keeps `threads` of them busy.

    Args:
        detection, recognition: the model files.
        device: cpu or cuda.
        threads: threads of one call.

    Raises:
        SettingsError: the package insightface is not installed.
        WeightsError: a file is no such model.
    """

    def __init__(self, detection: Path, recognition: Path, *, device: str = "cpu", threads: int = 1) -> None:
        try:
            from insightface.model_zoo import ArcFaceONNX, RetinaFace
            from insightface.utils.face_align import norm_crop
        except ImportError as error:
            raise SettingsError(
                f"faces need the package insightface ({error}): pip install 'immich-indexer[faces]', or let Immich's "
                "own server find them with IMMICH_ML_URL"
            ) from error
        self._crop = norm_crop
        try:
            device = usable_device(device, detection)  # the smaller of the two
            self._detector = RetinaFace(session=open_session(detection, device=device, threads=threads))
            self._detector.prepare(ctx_id=0, input_size=(_SIDE, _SIDE))
            self._recogniser = ArcFaceONNX(
                str(recognition),
                session=open_session(recognition, device=device, threads=threads, shape=_batch),
            )
        except Exception as error:  # ONNX Runtime and protobuf raise exceptions of their own
            raise WeightsError(f"cannot load {detection} and {recognition}: {words_of(error)}") from error
        if not self._detector.use_kps or self._recogniser.input_size != (_CROP, _CROP):
            raise WeightsError(
                f"{detection} and {recognition} are not a detector with landmarks and an ArcFace network"
            )
        self._at_once = _AT_ONCE if isinstance(self._recogniser.input_shape[0], str) else 1

    def find(self, picture: Picture, min_score: float) -> list[Face]:
        """The faces with a detector score of at least `min_score`, the highest score first.

        Raises:
            ValueError: the network answered with values that are not finite numbers.
        """
        bgr = np.ascontiguousarray(picture.rgb[:, :, ::-1])
        detector: Any = copy.copy(self._detector)  # it stores the threshold, and each thread may have another one
        detector.det_thresh = min_score
        boxes, landmarks = detector.detect(_not_too_narrow(bgr))
        crops = [self._crop(bgr, points, image_size=_CROP) for points in landmarks]
        return [
            Face(_box(box), float(box[4]), embedding)
            for box, embedding in zip(boxes, self._embeddings(crops), strict=True)
        ]

    def outputs(self, picture: Picture) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """What the two networks answer for `picture`, scaled to their size: all numbers of each, (n,) and (512,).

        Who asks for this compares it with what is known to be right: a sick detector finds no faces, which is no error.
        """
        bgr = np.ascontiguousarray(picture.rgb[:, :, ::-1])
        detector = self._detector
        blob = cv2.dnn.blobFromImage(
            cv2.resize(bgr, (_SIDE, _SIDE)), 1 / detector.input_std, mean=(detector.input_mean,) * 3, swapRB=True
        )
        found = detector.session.run(detector.output_names, {detector.input_name: blob})
        (embedding,) = self._recogniser.get_feat([cv2.resize(bgr, (_CROP, _CROP))])
        return np.concatenate([part.ravel() for part in found]), embedding

    def _embeddings(self, crops: list[np.ndarray]) -> list[npt.NDArray[np.float32]]:
        found: list[npt.NDArray[np.float32]] = []
        for start in range(0, len(crops), self._at_once):
            found.extend(self._recogniser.get_feat(crops[start : start + self._at_once]))
        if not all(np.isfinite(embedding).all() for embedding in found):
            raise ValueError("the face model answered with values that are not finite numbers")
        return found


def load_faces(files: Sequence[PublishedFile], *, device: str = "cpu", threads: int = 1) -> Faces:
    """The face model of these two files, as `face_weights.published` names them.

    Raises:
        WeightsError: a file is missing, damaged, or not what was published.
        SettingsError: the package insightface is not installed.
    """
    for file in files:
        if not (found := report(file.path, file.sha256)).genuine:
            raise WeightsError(
                f"{found}; it is downloaded again automatically, or with `immich-indexer models fetch --faces`"
            )
    detection, recognition = files
    return Faces(detection.path, recognition.path, device=device, threads=threads)


def _batch(shape: Shape) -> Shape:
    """The shape to pad a batch to: (1 or 16, 3, 112, 112). A network may only take one face at a time."""
    return _AT_ONCE if shape[0] > 1 else 1, *shape[1:]


def _not_too_narrow(bgr: np.ndarray) -> np.ndarray:
    """The picture, with black added where the detector would shrink it to less than a pixel wide, and fail."""
    height, width = bgr.shape[:2]
    least = -(-max(height, width) // _SIDE)
    return np.pad(bgr, ((0, max(0, least - height)), (0, max(0, least - width)), (0, 0)))


def _box(box: np.ndarray) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = (int(edge) for edge in box[:4].round())
    return x1, y1, x2, y2
