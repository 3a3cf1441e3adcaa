"""The checks of the assignment: each tells the student what was expected, found, and where to look."""

from gancourse.assignment.batch import check_data
from gancourse.assignment.blanks import Blank, built, unless_blank
from gancourse.assignment.discriminator import check_discriminator
from gancourse.assignment.distance import check_fid
from gancourse.assignment.epochs import Training, train
from gancourse.assignment.losses import check_losses
from gancourse.assignment.networks import check_generator
from gancourse.assignment.pictures import check_interpolation, check_progress
from gancourse.assignment.report import Report
from gancourse.assignment.samples import check_samples
from gancourse.assignment.shares import check_class_shares
from gancourse.assignment.training_step import check_training_step

__all__ = [
    "Blank",
    "Report",
    "Training",
    "built",
    "check_class_shares",
    "check_data",
    "check_discriminator",
    "check_fid",
    "check_generator",
    "check_interpolation",
    "check_losses",
    "check_progress",
    "check_samples",
    "check_training_step",
    "train",
    "unless_blank",
]
