"""What a generator is measured by: distances of features, scores of classes, coverage of modes.

Metrics take tensors and return numbers, computed in float64. They never print, and load no network.
Taught in chapters 3 and 5 to 8.
"""

from gancourse.metrics.frechet import (
    Extrapolation,
    FeatureStats,
    extrapolate_to_infinity,
    frechet_distance,
    frechet_distance_from_features,
)
from gancourse.metrics.inception import InceptionScore, inception_score
from gancourse.metrics.kernel import KernelDistance, kernel_distance, squared_mmd
from gancourse.metrics.manifold import DensityCoverage, PrecisionRecall, density_coverage, precision_recall
from gancourse.metrics.modes import (
    ModeReport,
    StackedReport,
    class_histogram,
    collapse_alarms,
    mode_report,
    perfect_mode_report,
    stacked_classes,
    stacked_report,
)
from gancourse.metrics.strokes import ink, slant, stroke_width

__all__ = [
    "DensityCoverage",
    "Extrapolation",
    "FeatureStats",
    "InceptionScore",
    "KernelDistance",
    "ModeReport",
    "PrecisionRecall",
    "StackedReport",
    "class_histogram",
    "collapse_alarms",
    "density_coverage",
    "extrapolate_to_infinity",
    "frechet_distance",
    "frechet_distance_from_features",
    "inception_score",
    "ink",
    "kernel_distance",
    "mode_report",
    "perfect_mode_report",
    "precision_recall",
    "slant",
    "squared_mmd",
    "stacked_classes",
    "stacked_report",
    "stroke_width",
]
