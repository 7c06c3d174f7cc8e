"""`RunFolder`: the one place that knows where a run keeps its files. Only paths; nothing is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunFolder:
    """Paths inside one run's folder.

    A cell (system x condition x attack) has a folder of its own, named after the first digits of its key;
    its measurements lie there chunk by chunk. Each chunk has a seal that says what it belongs to and vouches
    for its files (`clearsight.data.seals.Seal`); ``DONE`` is the seal of what the whole run wrote.

    Attributes:
        path: the run folder.
    """

    path: Path

    @property
    def config(self) -> Path:
        """Return the YAML that the run was started with, verbatim."""
        return self.path / "config.yaml"

    @property
    def resolved(self) -> Path:
        """Return the config with every default filled in, the cells with their keys, and what is known."""
        return self.path / "resolved.json"

    @property
    def environment(self) -> Path:
        """Return the versions and the kind of machine."""
        return self.path / "environment.json"

    @property
    def skipped(self) -> Path:
        """Return the list of images that could not be read; the file is there only if there are any."""
        return self.path / "skipped.json"

    @property
    def log(self) -> Path:
        """Return the log."""
        return self.path / "log.txt"

    @property
    def results(self) -> Path:
        """Return the table of one row per (cell, image)."""
        return self.path / "results.parquet"

    @property
    def timings(self) -> Path:
        """Return the table of seconds per (cell, chunk, part)."""
        return self.path / "timings.parquet"

    @property
    def summary(self) -> Path:
        """Return the figures of the run."""
        return self.path / "summary.json"

    @property
    def summary_csv(self) -> Path:
        """Return the figures of the cells, one line a cell and metric."""
        return self.path / "summary.csv"

    @property
    def report(self) -> Path:
        """Return the page for a browser."""
        return self.path / "report.html"

    @property
    def audit(self) -> Path:
        """Return the verdict of an audit; only the runs of audits have one."""
        return self.path / "audit.json"

    @property
    def done(self) -> Path:
        """Return the seal of the whole run, written last: the run is complete."""
        return self.path / "DONE"

    @property
    def stop(self) -> Path:
        """Return the file by which the run is asked to end after its present chunks."""
        return self.path / "STOP"

    @property
    def cells(self) -> Path:
        """Return the folder of the cells' folders."""
        return self.path / "cells"

    def cell(self, key: str) -> Path:
        """Return the folder of the cell with this key."""
        return self.cells / key[:16]

    def chunk(self, key: str, number: int) -> Path:
        """Return the rows of one chunk of a cell."""
        return self.cell(key) / f"chunk-{number:05d}.parquet"

    def timing(self, key: str, number: int) -> Path:
        """Return the seconds that each part took for a chunk."""
        return self.cell(key) / f"timing-{number:05d}.json"

    def attack(self, key: str, number: int) -> Path:
        """Return what an attack noted about a chunk; unattacked cells have none."""
        return self.cell(key) / f"attack-{number:05d}.json"

    def adversarial(self, key: str, number: int) -> Path:
        """Return the adversarial images of a chunk, where the attack has ``keep: true``."""
        return self.cell(key) / f"adversarial-{number:05d}.safetensors"

    def seal(self, key: str, number: int) -> Path:
        """Return the seal of a chunk; written last, it marks the chunk as done."""
        return self.cell(key) / f"seal-{number:05d}.json"

    def done_chunks(self, key: str) -> list[int]:
        """Return the numbers of the chunks of a cell that are done."""
        return sorted(int(path.stem.partition("-")[2]) for path in self.cell(key).glob("seal-[0-9]*.json"))

    def partial(self, key: str, number: int, batch: int) -> Path:
        """Return where an attack remembers how far it came with one batch of a chunk."""
        return self.cell(key) / f"partial-{number:05d}-{batch}.safetensors"

    def partials(self, key: str, number: int) -> list[Path]:
        """Return the `partial` files that attacks left of a chunk that is not done."""
        return sorted(self.cell(key).glob(f"partial-{number:05d}-*.safetensors"))

    @property
    def certificates(self) -> Path:
        """Return one row per (system, condition, certificate, image); only runs with certificates have it."""
        return self.path / "certificates.parquet"

    @property
    def certificates_csv(self) -> Path:
        """Return the certified accuracies, one line a radius."""
        return self.path / "certificates.csv"

    @property
    def ood(self) -> Path:
        """Return one row per (system, source, image) of something else; only runs with ``ood`` have it."""
        return self.path / "ood.parquet"

    @property
    def ood_csv(self) -> Path:
        """Return one line per (system, condition, source, score)."""
        return self.path / "ood.csv"

    @property
    def images(self) -> Path:
        """Return the folder of the images that the report shows."""
        return self.path / "images"

    @property
    def images_index(self) -> Path:
        """Return which file shows what, with the predictions."""
        return self.images / "images.json"

    @property
    def gradients_index(self) -> Path:
        """Return which file shows the input gradient of what."""
        return self.images / "gradients.json"

    def image(self, role: str, key: str, position: int) -> Path:
        """Return an image of the report.

        Args:
            role: ``input`` (of a condition), ``cell`` (what was restored) or ``adversarial``.
            key: that of the corruption, or of the cell.
            position: of the image in the data.
        """
        return self.images / f"{role}-{key[:16]}-{position:06d}.png"

    def gradient_input(self, position: int) -> Path:
        """Return the image at which gradients were taken."""
        return self.images / f"gradient-input-{position:06d}.png"

    def gradient(self, system: int, position: int) -> Path:
        """Return the input gradient of the system with this number at an image."""
        return self.images / f"gradient-{system:03d}-{position:06d}.png"
