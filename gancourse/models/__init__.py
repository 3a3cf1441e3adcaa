"""The networks of the book; resolution, width and channels are parameters."""

from gancourse.models.dcgan import (
    DCGANDiscriminator,
    DCGANGenerator,
    dcgan_init_,
    resize_conv,
    transposed_conv,
)

__all__ = ["DCGANDiscriminator", "DCGANGenerator", "dcgan_init_", "resize_conv", "transposed_conv"]
