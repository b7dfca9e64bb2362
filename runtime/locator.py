"""Where the faces of a frame are: detected, or followed from the frame before."""

from edge.contract import Picture
from edge.runtime.detectors import Detector
from edge.runtime.tracking import Track, Tracker

# Of a face in a picture that has nothing to do with the one before.
NO_ID = 0


class Locator:
    """Finds the faces of one picture after the other.

    Args:
        detector: Finds faces.
        every: Detect in every so many pictures and follow the faces in between; a face that is
            lost is detected earlier.
        related: Each picture shows what the one before showed, a little later: faces keep their
            ids. Else each picture is searched for itself.
    """

    def __init__(self, detector: Detector, *, every: int = 1, related: bool = False) -> None:
        self._detector = detector
        self._every = every
        self._tracker = Tracker(follows=every > 1) if related else None
        self._turn = 0
        self._seen = 0

    def locate(self, picture: Picture) -> list[Track]:
        """Find the faces of the next picture: uint8 (height, width, 3), BGR."""
        if self._tracker is None:
            return [Track(NO_ID, found) for found in self._detector.detect(picture)]
        tracks = []
        if self._turn:
            tracks = self._tracker.follow(picture)
        # One that is lost is looked for at once: most of them are still there.
        if not self._turn or len(tracks) < self._seen:
            self._turn = 0
            tracks = self._tracker.detected(picture, self._detector.detect(picture))
        self._turn = (self._turn + 1) % self._every
        self._seen = len(tracks)
        return tracks
