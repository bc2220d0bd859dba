"""Tests of the ONNX files: their outputs equal torch's."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from core import VAE, Architecture
from core.bundle.export import OPSET, exact_half, onnx_files, score_file
from core.data.preprocessing import to_unit
from core.evaluation.anomaly import fit_detector, statistics
from core.evaluation.scores import encode
from core.model.architecture import LIKELIHOODS, NETWORKS


def run(content: bytes, given: torch.Tensor) -> dict[str, torch.Tensor]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    values = session.run(None, {session.get_inputs()[0].name: given.numpy()})
    return {
        output.name: torch.from_numpy(np.asarray(value)) for output, value in zip(session.get_outputs(), values, strict=True)
    }


def build(network: str, channels: int, likelihood: str = "bernoulli") -> tuple[VAE, Architecture]:
    """A VAE with an odd image size. Its weights are perturbed, so that its outputs are far from constant."""
    torch.manual_seed(0)
    architecture = Architecture(channels, 13, 18, 5, network, likelihood)
    vae = architecture.build().eval()
    with torch.no_grad():
        for weights in vae.parameters():
            if weights.ndim > 1:
                weights.add_(0.02 * torch.randn_like(weights))
    return vae, architecture


def check(vae: VAE, architecture: Architecture) -> None:
    """Compare the ONNX files with torch, for several batch sizes."""
    files = onnx_files(vae, architecture.shape)
    for n in (1, 2, 7, 64):
        z, x = 1.5 * torch.randn(n, architecture.latents), torch.rand(n, *architecture.shape)
        with torch.no_grad():
            images, posterior = vae.decode(z).mean, vae.posterior(x)
        decoded, encoded = run(files["decoder.onnx"], z), run(files["encoder.onnx"], x)
        torch.testing.assert_close(decoded["mean"], images, atol=1e-4, rtol=0)
        torch.testing.assert_close(encoded["mean"], posterior.mean, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(encoded["log_variance"], 2 * posterior.stddev.log(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("network", NETWORKS)
def test_onnx_equals_torch_for_every_network_and_channel_count(network: str, channels: int) -> None:
    check(*build(network, channels))


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_decoder_output_is_the_mean_of_the_likelihood(likelihood: str) -> None:
    check(*build("mlp", 1, likelihood))


def test_onnx_files_are_valid_and_self_contained() -> None:
    """They have the stated opset, a dynamic batch size, no external weights, and no paths of the machine."""
    vae, architecture = build("conv", 1)
    for name, content in onnx_files(vae, architecture.shape).items():
        model = onnx.load_from_string(content)
        onnx.checker.check_model(model, full_check=True)
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
        for value in (*model.graph.input, *model.graph.output):
            first, *rest = value.type.tensor_type.shape.dim
            assert first.dim_param, name
            assert all(side.dim_value > 0 for side in rest)
        assert not any(tensor.external_data for tensor in model.graph.initializer)
        assert b"site-packages" not in content
        assert b"/core/" not in content


def test_export_is_deterministic_and_does_not_change_the_weights() -> None:
    vae, architecture = build("mlp", 1)
    before = {name: weights.clone() for name, weights in vae.state_dict().items()}
    assert onnx_files(vae, architecture.shape) == onnx_files(vae, architecture.shape)
    assert all(torch.equal(weights, before[name]) for name, weights in vae.state_dict().items())


def test_weights_exact_in_float16_are_stored_in_float16_and_computed_in_float32() -> None:
    vae, architecture = build("conv", 1)
    whole = onnx_files(vae, architecture.shape)
    with torch.no_grad():
        for weights in vae.parameters():
            weights.copy_(weights.half().float())
    check(vae, architecture)
    for name, content in onnx_files(vae, architecture.shape).items():
        assert len(content) < 0.53 * len(whole[name])
        stored = onnx.load_from_string(content).graph.initializer
        assert not any(tensor.data_type == onnx.TensorProto.FLOAT for tensor in stored)


@pytest.mark.parametrize("value", [0.1, 1e-9, 70000.0, float("nan")])
def test_weights_not_exact_in_float16_stay_float32(value: float) -> None:
    assert exact_half(torch.tensor([0.5, value])).dtype == torch.float32


def test_conversion_to_float16_is_lossless() -> None:
    values = torch.tensor([0.0, -0.0, 2.0**-24, 65504.0, -1 / 1024, float("inf")])
    back = exact_half(values).float()
    assert exact_half(values).dtype == torch.float16
    assert (back.view(torch.int32) == values.view(torch.int32)).all()
    assert exact_half(torch.tensor([1, 2])).dtype == torch.int64


def test_weights_that_overflow_raise_an_error() -> None:
    vae, architecture = build("mlp", 1)
    with torch.no_grad():
        next(vae.decoder.parameters()).fill_(float("inf"))
    with pytest.raises(ValueError, match=r"decoder.onnx must give the same outputs as torch"):
        onnx_files(vae, architecture.shape)


@pytest.mark.parametrize(
    ("likelihood", "prior"), [("bernoulli", "normal"), ("continuous-bernoulli", "vamp"), ("logistic-mixture", "flow")]
)
def test_the_score_file_equals_encode_and_the_detector_also_for_large_logits(likelihood: str, prior: str) -> None:
    torch.manual_seed(0)
    vae = Architecture(1, 8, 8, 3, "mlp", likelihood, prior).build().eval()
    with torch.no_grad():
        for weights in list(vae.decoder.parameters())[-2:]:
            weights.mul_(60)
    images = torch.randint(256, (40, 1, 8, 8), dtype=torch.uint8)
    images[0], images[1] = 0, 255
    detector = fit_detector(vae, images[:20], images[20:]) if prior == "normal" else None
    content = score_file(vae, detector, images[:3])
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for image in images[[0, 1, 7, 30]].split(1):
        known = encode(vae, image)
        given = {"x": to_unit(image), "mean": known.mean, "log_variance": known.log_variance}
        scores = session.run(None, {name: tensor.numpy() for name, tensor in given.items()})
        expected = [known.log_likelihood, known.kl]
        if detector is not None:
            expected.append(detector.score(statistics(vae, image)))
        torch.testing.assert_close([torch.from_numpy(np.asarray(score)) for score in scores], expected, atol=1e-3, rtol=1e-4)
