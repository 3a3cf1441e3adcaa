"""Training: the two steps of Algorithm 1, and `fit`, which makes them a durable run."""

from gancourse.penalties import Critic
from gancourse.training.checkpoint import CheckpointError
from gancourse.training.config import Nets, Precision, Run, TrainConfig, preferred_precision
from gancourse.training.loop import fit
from gancourse.training.schedules import Schedule
from gancourse.training.speed import Speed
from gancourse.training.stacked import Stacked
from gancourse.training.steps import DStep, GStep, Penalty, d_step, frozen, g_step
from gancourse.training.trainer import BeforeStep, TrainingDiverged

__all__ = [
    "BeforeStep", "CheckpointError", "Critic", "DStep", "GStep", "Nets", "Penalty", "Precision", "Run",
    "Schedule", "Speed", "Stacked", "TrainConfig", "TrainingDiverged", "d_step", "fit", "frozen", "g_step",
    "preferred_precision",
]  # fmt: skip
