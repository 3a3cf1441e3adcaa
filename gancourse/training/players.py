"""The two nets as the steps call them: in bfloat16, with noise on D's inputs, in several processes."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gancourse.checks import check_takes, check_tensor
from gancourse.data.loaders import Loader
from gancourse.distributed import local_part, world_size
from gancourse.losses import GANLoss
from gancourse.regularizers import add_instance_noise
from gancourse.sampling import evaluating, latent_dim
from gancourse.training.config import TrainConfig
from gancourse.training.convolution import fast_convolutions


class Autocast(nn.Module):
    """A net whose forward pass runs in bfloat16 and answers in float32."""

    def __init__(self, net: nn.Module, fast: bool) -> None:
        super().__init__()
        self.net, self.fast = net, fast

    def forward(self, x: Tensor, *labels: Tensor) -> Tensor:
        """Call the net on x (N, ...) and labels (N,), if it takes any."""
        with (
            torch.autocast(x.device.type, torch.bfloat16),
            fast_convolutions() if self.fast else nullcontext(),
        ):
            out: Tensor = self.net(x, *labels)
        return out.float()


class Noisy(nn.Module):
    """A D that sees its samples through Gaussian noise of standard deviation `std`."""

    def __init__(self, D: nn.Module) -> None:
        super().__init__()
        self.D, self.std = D, 0.0

    def forward(self, x: Tensor, *labels: Tensor) -> Tensor:
        """Map samples (N, ...) to the logits of their noisy copies."""
        logits: Tensor = self.D(add_instance_noise(x, self.std), *labels)
        return logits


def check_kinds(G: object, D: object, loss: object, config: object) -> None:
    """Raise TypeError unless G and D are modules with parameters, loss a GANLoss, config a TrainConfig."""
    for name, net in (("G", G), ("D", D)):
        if not isinstance(net, nn.Module) or next(net.parameters(), None) is None:
            raise TypeError(f"expected a module with parameters to train as {name}, got {type(net).__name__}")
    if not isinstance(loss, GANLoss):
        raise TypeError(
            f"expected a GANLoss such as gancourse.losses.NON_SATURATING, got {type(loss).__name__}"
        )
    if not isinstance(config, TrainConfig):
        raise TypeError(f"expected a TrainConfig, got {type(config).__name__}; call TrainConfig(steps=...)")


class Average(AveragedModel):
    """The moving average of a net's weights and buffers, taken in one kernel and without asking the host.

    torch's own update copies a count to the device at each step, which waits for it and cannot be recorded.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        super().__init__(net, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)

    @torch.no_grad()
    def update_parameters(self, net: nn.Module) -> None:
        """Move towards the net's weights and buffers; the first time, to them."""
        ours, theirs = ([*m.parameters(), *m.buffers()] for m in (self.module, net))
        for floating in (True, False):  # which the average treats apart
            pairs = [p for p in zip(ours, theirs, strict=True) if p[0].is_floating_point() is floating]
            if pairs:
                self._move(*([tensor.detach() for tensor in side] for side in zip(*pairs, strict=True)))
        self.n_averaged += 1

    def _move(self, ours: list[Tensor], theirs: list[Tensor]) -> None:
        if int(self.n_averaged) == 0:  # it is counted on the host
            torch._foreach_copy_(ours, theirs)
        else:
            self.multi_avg_fn(ours, theirs, self.n_averaged)


def average_of(G: nn.Module, config: TrainConfig) -> Average | None:
    """Return the moving average of G's weights and buffers, where the config wants one."""
    if config.ema_half_life <= 0:
        return None
    return Average(G, 0.5 ** (config.batch_size / config.ema_half_life))


def copy_extra_state(source: nn.Module, target: nn.Module) -> None:
    """Give a copy of a net the state that is neither parameter nor buffer, such as a stage of growing."""
    for ours, theirs in zip(source.modules(), target.modules(), strict=True):
        if type(ours).get_extra_state is not nn.Module.get_extra_state:
            theirs.set_extra_state(ours.get_extra_state())


@torch.no_grad()
def check_players(G: nn.Module, D: nn.Module, loader: Loader, conditional: bool) -> None:
    """Raise ValueError where G, D and the data do not fit each other, before any step is taken."""
    state = loader.state_dict()
    real, y = loader.draw()
    loader.load_state_dict(state)  # the run begins with the batch that was looked at
    if conditional and y is None:
        raise ValueError("expected data with labels for conditional nets, got a tensor; pass ImageData")
    if len(local_part(real)) == 1 and any(
        isinstance(m, _BATCH_NORMS) for net in (G, D) for m in net.modules()
    ):
        raise ValueError(
            "expected a batch of at least 2 under BatchNorm, which has no variance of one sample, got 1; "
            f"raise batch_size above {world_size()}, or build the nets without BatchNorm"
        )
    labels = (y,) if conditional and y is not None else ()
    z = real.new_zeros(len(real), latent_dim(G))
    check_takes(G, z, *labels)
    check_takes(D, real, *labels)
    with evaluating(G), evaluating(D):
        fake = G(z, *labels)
        check_tensor("what G makes", fake)
        if fake.shape != real.shape:
            made, data = (tuple(t.shape[1:]) for t in (fake, real))
            raise ValueError(f"expected samples of one shape, got: G makes {made} and the data are {data}")
        logits = D(real, *labels)
        check_tensor("D's logits", logits)
    if logits.ndim != 1:
        raise ValueError(f"expected D to return logits (N,), got {tuple(logits.shape)}; end it in .flatten()")


_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
