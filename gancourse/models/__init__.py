"""The networks of the book; resolution, width and channels are parameters."""

from gancourse.models.base import Discriminator
from gancourse.models.conditional import (
    ConditionalDiscriminator,
    ConditionalGenerator,
    ConditionalMLPDiscriminator,
    ConditionalMLPGenerator,
    ProjectionDiscriminator,
    check_labels,
)
from gancourse.models.dcgan import (
    DCGANDiscriminator,
    DCGANGenerator,
    dcgan_init_,
    resize_conv,
    transposed_conv,
)
from gancourse.models.growing import MinibatchStd, StyleDiscriminator
from gancourse.models.layers import (
    MinibatchDiscrimination,
    Packed,
    WithMinibatchDiscrimination,
    spectral_norm_,
)
from gancourse.models.mlp import (
    LinearDiscriminator,
    LinearGenerator,
    MLPDiscriminator,
    MLPGenerator,
    he_init_,
    leaky_relu,
    mnist_mlp,
)
from gancourse.models.modulation import ModulatedConv2d, demodulation, modulated_conv
from gancourse.models.style_layers import (
    AdaIN,
    EqualizedConv2d,
    EqualizedLinear,
    MappingNetwork,
    NoiseInjection,
    PixelNorm,
    adain,
)
from gancourse.models.stylegan import StyleGenerator, mix_styles

__all__ = [
    "AdaIN",
    "ConditionalDiscriminator",
    "ConditionalGenerator",
    "ConditionalMLPDiscriminator",
    "ConditionalMLPGenerator",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "Discriminator",
    "EqualizedConv2d",
    "EqualizedLinear",
    "LinearDiscriminator",
    "LinearGenerator",
    "MLPDiscriminator",
    "MLPGenerator",
    "MappingNetwork",
    "MinibatchDiscrimination",
    "MinibatchStd",
    "ModulatedConv2d",
    "NoiseInjection",
    "Packed",
    "PixelNorm",
    "ProjectionDiscriminator",
    "StyleDiscriminator",
    "StyleGenerator",
    "WithMinibatchDiscrimination",
    "adain",
    "check_labels",
    "dcgan_init_",
    "demodulation",
    "he_init_",
    "leaky_relu",
    "mix_styles",
    "mnist_mlp",
    "modulated_conv",
    "resize_conv",
    "spectral_norm_",
    "transposed_conv",
]
