"""Data of the book: MNIST and what stands in for it, and the loader that keeps it on the device."""

from gancourse.data.digits import digits
from gancourse.data.images import DeviceLoader, ImageData, to_unit
from gancourse.data.mnist import DataNotFound, mnist, mnist_or_digits

__all__ = ["DataNotFound", "DeviceLoader", "ImageData", "digits", "mnist", "mnist_or_digits", "to_unit"]
