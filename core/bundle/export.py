"""Export to ONNX, for any runtime, including those in browsers.

decoder.onnx   z (N, latents) → mean (N, C, H, W) of the likelihood, in [0, 1]
encoder.onnx   x (N, C, H, W) in [0, 1] → mean, log_variance (N, latents) of the posterior

A static page also needs the following file, which is not part of a bundle:

score.onnx     x (1, C, H, W), mean, log_variance (1, latents) → log_likelihood, kl (1,), in nats, and, if there is a detector,
               the anomaly score (1,) as float64

All other tensors are float32, N is dynamic, and the opset is 18. Weights that half precision represents exactly are stored as
float16, with a Cast to float32. This halves the file size and does not change the outputs.
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
"""The ONNX operator set version of the files."""
TOLERANCE = 1e-4
"""Maximum difference between the outputs of a file and of torch, divided by 1 + |torch's output|."""


class Decoder(nn.Module):
    """Maps latents to the mean of the likelihood."""

    def __init__(self, vae: VAE) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, z: Float[Tensor, "n latents"]) -> tuple[Tensor, ...]:
        return (self.vae.decode(z).mean,)


class Encoder(nn.Module):
    """Maps images to the mean and log-variance of the posterior."""

    def __init__(self, vae: VAE) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, x: Float[Tensor, "n c h w"]) -> tuple[Tensor, ...]:
        posterior = self.vae.posterior(x)
        return posterior.mean, 2 * posterior.stddev.log()


class Scorer(nn.Module):
    """Maps one image and its posterior to the ELBO terms of `core.encode`, and to its anomaly score if there is a detector."""

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
    """Export the decoder and the encoder of a VAE for images of this shape; return file contents by name.

    Raises ValueError if the outputs of a file in ONNX Runtime differ from those of torch.
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
    """Return score.onnx. Raises ValueError if its outputs for these images in ONNX Runtime differ from those of torch."""
    vae = deepcopy(vae).cpu().eval()
    examples: list[dict[str, Tensor]] = []
    for x in to_unit(images).split(1):
        posterior = vae.posterior(x)
        examples.append({"x": x, "mean": posterior.mean, "log_variance": 2 * posterior.stddev.log()})
    outputs = ["log_likelihood", "kl", *([] if detector is None else ["score"])]
    return _export("score.onnx", Scorer(vae, detector), examples, outputs)


def exact_half(tensor: Tensor) -> Tensor:
    """Return the tensor in half precision if that is exact, else the tensor itself.

    >>> exact_half(torch.tensor([0.5, -3.0])).dtype, exact_half(torch.tensor([0.1])).dtype
    (torch.float16, torch.float32)
    """
    half = tensor.half()
    return half if tensor.dtype == torch.float32 and torch.equal(half.float(), tensor) else tensor


def _export(file: str, module: nn.Module, examples: list[dict[str, Tensor]], outputs: list[str]) -> bytes:
    """Export a module as an ONNX file and check it on the examples. If the first is a batch, the batch size is dynamic."""
    first, *_ = examples
    batches = all(len(tensor) > 1 for tensor in first.values())
    # The exporter warns about optional packages and its own internals.
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
    for inputs in examples:
        _check(file, content, inputs, [output.numpy() for output in module(*inputs.values())])
    return content


def _compact(model: Any) -> bytes:
    """Serialize a model without the exporter's metadata, which contains local paths, and with float16 weights where exact."""
    from onnx import TensorProto, helper, numpy_helper  # imported here, as only saving needs it

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
    """Replace Log(Sigmoid(x)) by -softplus(-x): the exporter's form loses precision below x = -17 and is -inf below -104."""
    from onnx import helper

    producer = {output: node for node in graph.node for output in node.output}
    nodes = []
    for node in graph.node:
        inner = producer.get(node.input[0]) if node.op_type == "Log" else None
        if inner is None or inner.op_type != "Sigmoid":
            nodes.append(node)
            continue
        (name,) = node.output
        minus, soft = f"{name}.minus", f"{name}.soft"
        steps = [("Neg", inner.input[0], minus), ("Softplus", minus, soft), ("Neg", soft, name)]
        nodes += [helper.make_node(kind, [source], [target]) for kind, source, target in steps]
    del graph.node[:]
    graph.node.extend(nodes)


def _check(file: str, content: bytes, inputs: dict[str, Tensor], expected: list[np.ndarray]) -> None:
    """Raise ValueError unless the file's outputs for these inputs in ONNX Runtime are the expected ones."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    outputs = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
    for output, truth in zip(outputs, expected, strict=True):
        output = np.asarray(output)
        error = float(np.max(np.abs(output - truth) / (1 + np.abs(truth)))) if output.shape == truth.shape else np.inf
        if not error <= TOLERANCE:
            raise ValueError(
                f"{file} must give the same outputs as torch, to {TOLERANCE}; the difference is {error:.2g}. "
                "Very large weights cause this: train with a smaller learning rate or stronger gradient clipping."
            )
