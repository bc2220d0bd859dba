"""ONNX: the decoder and the encoder as files that any runtime computes with, the visitor's browser among them.

decoder.onnx   z (N, latents) → mean (N, C, H, W), the likelihood's mean picture, in [0, 1]
encoder.onnx   x (N, C, H, W) in [0, 1] → mean, log_variance (N, latents), of the posterior

and, for a page that has no server to ask (no part of a bundle, and of one image at a time):

score.onnx     x (1, C, H, W), mean, log_variance (1, latents) → log_likelihood, kl (1,), in nats, and score (1,), float64,
               minus the log density of what the anomaly verdict looks at (only where there is a detector)

All else float32, N free, opset 18. Numbers that half precision holds exactly are stored in half precision and widened by a Cast
when the file is opened: half the size, the same pictures.
"""

import logging
import warnings
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.distributions import Normal

from core.data.preprocessing import to_unit
from core.evaluation.anomaly import Detector, image_statistics, noise
from core.evaluation.scores import draws
from core.model.networks import Shape
from core.model.vae import VAE

OPSET = 18
"""The version of ONNX's operators that the files ask a runtime for."""
TOLERANCE = 1e-4
"""How far a file may be from torch: in pictures, where 1 is white; in posteriors, times one plus the number's size."""


class Decoder(nn.Module):
    """Latents → the mean picture, whatever the likelihood."""

    def __init__(self, vae: VAE) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, z: Float[Tensor, "n latents"]) -> tuple[Tensor, ...]:
        return (self.vae.decode(z).mean,)


class Encoder(nn.Module):
    """Images → the posterior's mean and log-variance."""

    def __init__(self, vae: VAE) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, x: Float[Tensor, "n c h w"]) -> tuple[Tensor, ...]:
        posterior = self.vae.posterior(x)
        return posterior.mean, 2 * posterior.stddev.log()


class Scorer(nn.Module):
    """One image and its posterior → what `core.encode` says of its ELBO, and its anomaly score if there is a detector."""

    def __init__(self, vae: VAE, detector: Detector | None) -> None:
        super().__init__()
        self.vae = vae
        self.detector = detector
        self.draw = draws(1, vae.prior.latents, seed=0)
        self.noise = noise(vae.prior.latents)

    def forward(
        self, x: Float[Tensor, "1 c h w"], mean: Float[Tensor, "1 latents"], log_variance: Float[Tensor, "1 latents"]
    ) -> tuple[Tensor, ...]:
        posterior = Normal(mean, (0.5 * log_variance).exp(), validate_args=False)
        z = posterior.mean + posterior.stddev * self.draw
        terms = self.vae.decode(z).log_prob(x), self.vae.prior.kl(posterior, z)
        if self.detector is None:
            return terms
        return *terms, self.detector.score(image_statistics(self.vae, x, posterior, self.noise))


@torch.no_grad()
def onnx_files(vae: VAE, shape: Shape) -> dict[str, bytes]:
    """decoder.onnx and encoder.onnx of a VAE for images of this shape, by name.

    Raises ValueError when a file, run by ONNX Runtime, does not give what torch gives.
    """
    vae = deepcopy(vae).cpu().eval()
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(5, vae.prior.latents, generator=generator)
    x = torch.rand(5, *shape, generator=generator)
    return {
        "decoder.onnx": _export("decoder.onnx", Decoder(vae), [{"z": z}, {"z": z[:1]}], ["mean"]),
        "encoder.onnx": _export("encoder.onnx", Encoder(vae), [{"x": x}, {"x": x[:1]}], ["mean", "log_variance"]),
    }


@torch.no_grad()
def score_file(vae: VAE, detector: Detector | None, images: UInt8[Tensor, "n c h w"]) -> bytes:
    """score.onnx; ValueError when, run by ONNX Runtime on these images, it does not give what torch gives."""
    vae = deepcopy(vae).cpu().eval()
    examples: list[dict[str, Tensor]] = []
    for x in to_unit(images).split(1):
        posterior = vae.posterior(x)
        examples.append({"x": x, "mean": posterior.mean, "log_variance": 2 * posterior.stddev.log()})
    outputs = ["log_likelihood", "kl", *([] if detector is None else ["score"])]
    return _export("score.onnx", Scorer(vae, detector), examples, outputs)


def exact_half(tensor: Tensor) -> Tensor:
    """The tensor in half precision where that changes none of its numbers; else the tensor itself.

    >>> exact_half(torch.tensor([0.5, -3.0])).dtype, exact_half(torch.tensor([0.1])).dtype
    (torch.float16, torch.float32)
    """
    half = tensor.half()
    return half if tensor.dtype == torch.float32 and torch.equal(half.float(), tensor) else tensor


def _export(file: str, module: nn.Module, examples: list[dict[str, Tensor]], outputs: list[str]) -> bytes:
    """One network as an ONNX file, compared with torch on the examples; it takes batches if the first of them is one."""
    first, *_ = examples
    batches = all(len(tensor) > 1 for tensor in first.values())
    # The exporter warns of packages that it does without and of its own insides.
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module,
                tuple(first.values()),
                input_names=list(first),
                output_names=outputs,
                dynamic_shapes=tuple({0: torch.export.Dim("n")} for _ in first) if batches else None,
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    finally:
        logger.setLevel(level)
    assert program is not None
    content = _compact(program.model_proto)
    for given in examples:
        _check(file, content, given, [output.numpy() for output in module(*given.values())])
    return content


def _compact(model: Any) -> bytes:
    """The file without the exporter's notes, which name this machine's folders, and with exact halves."""
    # Imported here alone, like ONNX Runtime below: only saving needs them.
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    model.producer_name, model.producer_version = "latentscape", ""
    del graph.value_info[:], model.metadata_props[:], graph.metadata_props[:]
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    _stabilise_log_sigmoid(graph)
    casts = []
    for stored in graph.initializer:
        if stored.data_type != TensorProto.FLOAT:
            continue
        half = exact_half(torch.from_numpy(np.array(numpy_helper.to_array(stored))))
        if half.dtype != torch.float16:
            continue
        name = stored.name
        stored.CopyFrom(numpy_helper.from_array(half.numpy(), f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return model.SerializeToString(deterministic=True)


def _stabilise_log_sigmoid(graph: Any) -> None:
    """Write log σ(x) as -softplus(-x): the exporter's Log(Sigmoid(x)) loses its digits from x = -17 on, and all from -104."""
    from onnx import helper

    made_by = {output: node for node in graph.node for output in node.output}
    nodes = []
    for node in graph.node:
        inner = made_by.get(node.input[0]) if node.op_type == "Log" else None
        if inner is None or inner.op_type != "Sigmoid":
            nodes.append(node)
            continue
        (name,) = node.output
        minus, soft = f"{name}.minus", f"{name}.soft"
        steps = [("Neg", inner.input[0], minus), ("Softplus", minus, soft), ("Neg", soft, name)]
        nodes += [helper.make_node(kind, [given], [made]) for kind, given, made in steps]
    del graph.node[:]
    graph.node.extend(nodes)


def _check(file: str, content: bytes, given: dict[str, Tensor], expected: list[np.ndarray]) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    answers = session.run(None, {name: tensor.numpy() for name, tensor in given.items()})
    for answer, truth in zip(answers, expected, strict=True):
        answer = np.asarray(answer)
        error = float(np.max(np.abs(answer - truth) / (1 + np.abs(truth)))) if answer.shape == truth.shape else np.inf
        if not error <= TOLERANCE:
            raise ValueError(
                f"{file} must give what torch gives, to {TOLERANCE}; it is {error:.2g} off. "
                "Weights this large overflow or lose their digits: train with a smaller learning rate or more clipping."
            )
