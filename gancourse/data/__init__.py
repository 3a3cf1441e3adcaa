"""Data of the book: mixtures, MNIST and what stands in for it, a reader's own pictures, and the loader."""

from gancourse.data.digits import digits
from gancourse.data.folder import image_folder
from gancourse.data.images import ImageData, to_unit
from gancourse.data.loaders import DeviceLoader, MixtureLoader
from gancourse.data.mixtures import Mixture, bimodal, grid, ring
from gancourse.data.mnist import DataNotFound, mnist, mnist_or_digits
from gancourse.data.stacked import stacked_mnist

__all__ = [
    "DataNotFound",
    "DeviceLoader",
    "ImageData",
    "Mixture",
    "MixtureLoader",
    "bimodal",
    "digits",
    "grid",
    "image_folder",
    "mnist",
    "mnist_or_digits",
    "ring",
    "stacked_mnist",
    "to_unit",
]
