"""Tests of the named API endpoints with Gradio's client, HTTP and MCP."""

import io
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from gradio_client import Client, handle_file
from loop import run
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from PIL import Image

import core
from core.data.preprocessing import to_bytes, to_png
from explorer.describe import decode, describe, prepare


@pytest.fixture(scope="module")
def client(server: str) -> Client:
    return Client(server, verbose=False)


def test_models_lists_the_pretrained_models(client, pretrained_models):
    answer = client.predict(api_name="/models")
    assert [model["name"] for model in answer] == pretrained_models
    assert answer[0]["shape"] == [1, 28, 28]
    assert answer[0]["latents"] == 16


def test_decode_returns_the_image_that_core_decodes(client, each_model):
    bundle = core.load(each_model)
    z = torch.linspace(-1, 1, bundle.vae.prior.latents)
    answer = client.predict(each_model, z.tolist(), api_name="/decode")
    path = Path(answer if isinstance(answer, str) else answer["path"])
    assert path.suffix == ".png"
    with torch.no_grad():
        expected = to_bytes(bundle.vae.decode(z[None]).mean)
    colours = "L" if expected.shape[1] == 1 else "RGB"
    assert (np.asarray(Image.open(path).convert(colours)) == expected[0].permute(1, 2, 0).squeeze(2).numpy()).all()


def test_encode_returns_the_same_record_as_describe(client, tmp_path):
    bundle = core.load("fashion-mnist")
    file = tmp_path / "image.png"
    file.write_bytes(bundle.gallery.pngs[3])
    answer = client.predict("fashion-mnist", handle_file(file), api_name="/encode")
    expected = describe(bundle, bundle.gallery.images[3:4])[0]
    assert set(answer) >= {"mean", "log_variance", "elbo", "x", "y"}
    np.testing.assert_allclose(answer["mean"], expected["mean"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(answer["mean"], bundle.gallery.mean[3].tolist(), rtol=1e-4, atol=1e-5)
    assert answer["elbo"] == pytest.approx(expected["elbo"], rel=1e-5)


@pytest.mark.parametrize(
    ("model", "z", "rule"),
    [("nobody", [0.0] * 16, "model must be one of"), ("fashion-mnist", [0.0] * 3, "z must be 16 finite numbers")],
)
def test_bad_requests_return_the_violated_rule(client, model, z, rule):
    with pytest.raises(Exception, match=rule):
        client.predict(model, z, api_name="/decode")


def test_sample_interpolate_and_neighbours_match_core(client):
    bundle = core.load("digits")
    z = client.predict("digits", 3, 5, api_name="/sample")
    np.testing.assert_allclose(z, bundle.vae.prior.sample(3, torch.Generator().manual_seed(5)), rtol=1e-6)
    path = client.predict("digits", z[0], z[1], 4, "spherical", api_name="/interpolate")
    np.testing.assert_allclose(
        path, core.interpolate(torch.tensor(z[0]), torch.tensor(z[1]), 4, "spherical"), rtol=1e-5, atol=1e-6
    )
    found = client.predict(model="digits", z=bundle.gallery.mean[4].tolist(), count=2, api_name="/neighbours")
    assert found[0]["index"] == 4
    assert found[0]["labels"]["label"] == bundle.gallery.labels["label"][4]


def test_anomaly_returns_score_p_value_and_verdict(client, tmp_path):
    bundle = core.load("digits")
    (tmp_path / "image.png").write_bytes(bundle.gallery.pngs[3])
    found = client.predict("digits", handle_file(tmp_path / "image.png"), api_name="/anomaly")
    expected = bundle.anomaly(bundle.gallery.images[3:4])
    assert found["p_value"] == pytest.approx(expected.p_value.item())
    assert found["score"] == pytest.approx(expected.score.item(), rel=1e-5)
    assert re.search("normal images (is|are) at least as odd", found["verdict"])


def test_api_description_has_names_types_and_documentation(client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    names = {"/models", "/decode", "/encode", "/anomaly", "/sample", "/interpolate", "/neighbours"}
    assert names <= set(endpoints)
    steps = next(p for p in endpoints["/interpolate"]["parameters"] if p["parameter_name"] == "steps")
    assert steps["python_type"]["type"] == "int"
    assert steps["parameter_default"] == 10
    assert "great circle" in endpoints["/interpolate"]["description"]


def send_requests(address: str, visitor: int, operations: int) -> int:
    """Send this many requests as one visitor, with values from its own seed, and compare each response with core.

    Returns the number of compared responses.
    """
    bundle = core.load("digits")
    assert bundle.gallery is not None
    generator = torch.Generator().manual_seed(visitor)
    with httpx.Client(base_url=address, timeout=60) as http:

        def ask(name: str, *data: Any) -> Any:
            return http.post(f"/gradio_api/run/{name}", json={"data": data}).raise_for_status().json()["data"][0]

        for done in range(operations):
            z = torch.randn(bundle.vae.prior.latents, generator=generator)
            match done % 4:
                case 0:
                    picture = http.get(ask("decode", "digits", z.tolist())["url"].removeprefix(address)).raise_for_status()
                    expected = decode(bundle, z[None])[0, 0].numpy()
                    assert (np.asarray(Image.open(io.BytesIO(picture.content)).convert("L")) == expected).all()
                case 1:
                    image = (255 * torch.rand(1, 8, 8, generator=generator)).byte()
                    sent = http.post("/gradio_api/upload", files={"files": ("same-name.png", to_png(image))})
                    record = ask(
                        "encode", "digits", {"path": sent.raise_for_status().json()[0], "meta": {"_type": "gradio.FileData"}}
                    )
                    seen = prepare(bundle, core.read_image(to_png(image))).image[None]
                    np.testing.assert_allclose(record["mean"], describe(bundle, seen)[0]["mean"], rtol=1e-4, atol=1e-5)
                case 2:
                    drawn = ask("sample", "digits", 2, 1000 * visitor + done)
                    wanted = bundle.vae.prior.sample(2, torch.Generator().manual_seed(1000 * visitor + done))
                    np.testing.assert_allclose(drawn, wanted, rtol=1e-6)
                case _:
                    found = ask("neighbours", "digits", z.tolist(), 3)
                    assert [row["index"] for row in found] == core.neighbours(z[None], bundle.gallery.mean, 3)[1][0].tolist()
    return operations


@pytest.mark.parametrize("operations", [100, pytest.param(500, marks=pytest.mark.slow)])
def test_concurrent_visitors_get_their_own_results(server, operations):
    with ThreadPoolExecutor(2) as threads:
        assert sum(threads.map(lambda visitor: send_requests(server, visitor, operations), range(2))) == 2 * operations


def test_endpoints_are_mcp_tools(mcp_server):
    """The MCP client needs a separate event loop, because the browser's loop runs in this thread."""

    async def ask() -> tuple[Any, ...]:
        async with (
            streamablehttp_client(f"{mcp_server}/gradio_api/mcp/") as (reader, writer, _),
            ClientSession(reader, writer) as session,
        ):
            await session.initialize()
            tools = (await session.list_tools()).tools
            z = await session.call_tool("sample", {"model": "digits", "count": 2, "seed": 0})
            picture = await session.call_tool("decode", {"model": "digits", "z": [0.0] * 8})
            wrong = await session.call_tool("sample", {"model": "nothing", "count": 2, "seed": 0})
            return tools, z.content[0], picture.content, wrong.content[0]

    tools, z, picture, wrong = run(ask())
    assert {"models", "decode", "encode", "anomaly", "sample", "interpolate", "neighbours"} <= {tool.name for tool in tools}
    prior = core.load("digits").vae.prior
    np.testing.assert_allclose(json.loads(z.text), prior.sample(2, torch.Generator().manual_seed(0)), rtol=1e-6)
    assert "image" in {part.type for part in picture}
    assert "model must be one of" in wrong.text
