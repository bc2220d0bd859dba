"""Tests of the server's settings."""

from types import SimpleNamespace

import gradio as gr

from explorer.app.server import slow_down_queue


def test_slow_down_queue_sets_the_interval_to_100_ms() -> None:
    """The attribute is private: a version of Gradio without it fails only this test."""
    with gr.Blocks() as page:
        gr.HTML()
    before = page._queue.sleep_when_free
    slow_down_queue(page)
    assert before < page._queue.sleep_when_free == 0.1


def test_slow_down_queue_ignores_queues_without_the_attribute() -> None:
    for page in (SimpleNamespace(), SimpleNamespace(_queue=SimpleNamespace())):
        before = repr(page)
        slow_down_queue(page)  # pyright: ignore[reportArgumentType]
        assert repr(page) == before
