"""The loops that one would write by hand for the work of a command, each a process of its own.

``python benchmarks/_loops.py corrupt IN OUT png``: see `main` for the others. They use plain libraries and do
no more than the work: nothing is checked, nothing can be resumed.
"""

from __future__ import annotations

import sys
from pathlib import Path

SEVERITY, QUALITY = 3, 85


def _files(folder: str) -> list[Path]:
    return sorted(path for path in Path(folder).rglob("*") if path.suffix in (".jpg", ".png"))


def corrupt(source: str, out: str, form: str) -> None:
    """Write every image under the 15 common corruptions with imagecorruptions and Pillow."""
    import numpy as np
    from imagecorruptions import corrupt as corrupted
    from imagecorruptions import get_corruption_names
    from PIL import Image

    options = {"quality": QUALITY} if form == "jpeg" else {}
    for path in _files(source):
        image = np.array(Image.open(path).convert("RGB"))
        for name in get_corruption_names("common"):
            target = Path(out, name, path.parent.name, f"{path.stem}.{form}")
            target.parent.mkdir(parents=True, exist_ok=True)
            made = Image.fromarray(corrupted(image, SEVERITY, name))
            made.save(target, form.upper(), **options)  # type: ignore[arg-type]


def restore(source: str, out: str, weights: str) -> None:
    """Write every image restored by a shipped network, which plain torch and Pillow feed."""
    import numpy as np
    import torch
    from PIL import Image

    from clearsight.restore.learned.unet_denoiser import UNetDenoiser

    network = UNetDenoiser(weights=weights).build()
    Path(out).mkdir(parents=True, exist_ok=True)
    with torch.inference_mode():
        for path in _files(source):
            image = np.array(Image.open(path).convert("RGB"))
            x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
            restored = (network(x)[0] * 255).round().byte().permute(1, 2, 0).numpy()
            Image.fromarray(restored).save(Path(out, f"{path.stem}.png"))


def run(count: str, weights: str, steps: str) -> None:
    """Print a classifier's accuracy on clean and on noisy signs, without or with PGD of torchattacks."""
    import numpy as np
    import torch
    from imagecorruptions import corrupt as corrupted

    from clearsight.data.sources.signs import Signs
    from clearsight.defend.classifiers.small_convnet import SmallConvNet

    network = SmallConvNet(weights=weights).build()
    signs = Signs(split="test", count=int(count))
    entries = signs.index().entries
    labels = torch.tensor([entry.truth for entry in entries])
    images = [signs.load(entry) for entry in entries]
    for name in ("clean", "gaussian_noise"):
        seen = images if name == "clean" else [corrupted(image, SEVERITY, name) for image in images]
        x = torch.from_numpy(np.stack(seen)).permute(0, 3, 1, 2).float() / 255
        right = 0
        for part in range(0, len(x), 64):
            batch, truth = x[part : part + 64], labels[part : part + 64]
            if int(steps):
                import torchattacks

                batch = torchattacks.PGD(network, eps=4 / 255, alpha=1 / 255, steps=int(steps))(batch, truth)
            with torch.no_grad():
                right += int((network(batch).argmax(1) == truth).sum())
        print(name, right / len(x))


def infer(source: str, path: str) -> None:
    """Print the classes that an ONNX file gives, one image after the other."""
    import numpy as np
    import onnxruntime
    from PIL import Image

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    for file in _files(source):
        image = np.array(Image.open(file).convert("RGB"))
        planes = image.transpose(2, 0, 1)[None].astype(np.float32) / 255
        print(file.name, int(np.argmax(session.run(None, {name: planes})[0])))


def main() -> None:
    """Do the loop that the first word names, with the other words."""
    loops = {"corrupt": corrupt, "restore": restore, "run": run, "infer": infer}
    loops[sys.argv[1]](*sys.argv[2:])


if __name__ == "__main__":
    main()
