"""The latent playground: a GAN of four numbers, to be played by hand. Taught in chapter 1."""

from pathlib import Path
from typing import Any

try:
    import anywidget
    import traitlets
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"expected anywidget, which shows the playground in Jupyter, got {error}; "
        "install it: pip install anywidget",
        name=error.name,
    ) from error

from gancourse.checks import is_count
from gancourse.widgets.game import SEED

_HERE = Path(__file__).parent
_SENTENCE = (
    "The game at its start. Where a page may run scripts, and in Jupyter, this picture can be played: "
    "slide z, and let D and G learn step by step."
)


class LatentPlayground(anywidget.AnyWidget):
    """G(z) = w z + b against D(x) = sigmoid(a x + c), data at -1 and +1: shown by the last line of a cell.

    `seed`, an integer from 0 to 2^32 - 1, fixes all that is drawn, as in `gancourse.widgets.game`. With a
    kernel, `state` tells as numbers what is shown: w, b, a, c, d_steps, g_steps, the batch (real, z,
    generated: 16 each), loss_d and loss_g, in nats. A page without a kernel plays it from the stored output.
    Raises ValueError for another seed, ModuleNotFoundError where anywidget is not installed.
    """

    _esm = _HERE / "latent_playground.js"
    seed = traitlets.Int(SEED).tag(sync=True)
    state = traitlets.Dict().tag(sync=True)

    def __init__(self, seed: int = SEED) -> None:
        if not is_count(seed, 0) or seed >= 2**32:
            raise ValueError(f"expected a seed from 0 to 2^32 - 1, an integer, got {seed!r}")
        super().__init__(seed=int(seed))

    def __repr__(self) -> str:
        return f"LatentPlayground(seed={self.seed})"

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = super()._repr_mimebundle_(**options) or ({}, {})
        return {**data, "text/html": self._still()}, metadata

    def _still(self) -> str:
        """Return where the page mounts the game, and in it what is seen until then: a picture, a sentence."""
        picture = (_HERE / "latent_playground.svg").read_text(encoding="utf-8").strip()
        mount = f'<div class="gancourse-playground" data-seed="{self.seed}">'
        return f"{mount}{picture}<p>{_SENTENCE}</p></div>"
