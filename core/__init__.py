"""Latentscape's model package: train, save, load, evaluate and map variational autoencoders."""

from core.bundle.bundle import Bundle, load, make_bundle
from core.bundle.folders import pretrained
from core.bundle.gallery import Gallery
from core.data.binarization import binarize
from core.data.datasets import Data, load_data, open_data
from core.data.pictures import read_image
from core.data.preprocessing import Preprocessing
from core.distributed import ProcessGroup
from core.evaluation.anomaly import Anomaly
from core.evaluation.scores import Encodings, Evaluation, encode, evaluate
from core.latent.geometry import interpolate, neighbours
from core.latent.projection import Map, fit_map
from core.model.architecture import Architecture
from core.model.vae import VAE, Elbo
from core.training.checkpoint import Checkpoint
from core.training.loop import train
from core.training.progress import Progress
from core.training.settings import Settings

__all__ = [
    "VAE",
    "Anomaly",
    "Architecture",
    "Bundle",
    "Checkpoint",
    "Data",
    "Elbo",
    "Encodings",
    "Evaluation",
    "Gallery",
    "Map",
    "Preprocessing",
    "Progress",
    "ProcessGroup",
    "Settings",
    "binarize",
    "encode",
    "evaluate",
    "fit_map",
    "interpolate",
    "load",
    "load_data",
    "make_bundle",
    "neighbours",
    "open_data",
    "pretrained",
    "read_image",
    "train",
]
