"""Latentscape's model package: variational autoencoders, and everything measured about them."""

from core.architecture import Architecture
from core.bundle import Bundle, load, make_bundle, pretrained
from core.data import Data, load_data
from core.evaluation import Encodings, Evaluation, encode, evaluate
from core.gallery import Gallery
from core.geometry import interpolate, neighbours
from core.images import Preprocessing, read_image
from core.projection import Map, fit_map
from core.training import Progress, Settings, train
from core.vae import VAE, Elbo

__all__ = [
    "VAE",
    "Architecture",
    "Bundle",
    "Data",
    "Elbo",
    "Encodings",
    "Evaluation",
    "Gallery",
    "Map",
    "Preprocessing",
    "Progress",
    "Settings",
    "encode",
    "evaluate",
    "fit_map",
    "interpolate",
    "load",
    "load_data",
    "make_bundle",
    "neighbours",
    "pretrained",
    "read_image",
    "train",
]
