"""Tests of the server's settings."""

from types import SimpleNamespace

import gradio as gr

from explorer.app.server import slow_down_queue


def test_gradios_idle_queue_checks_ten_times_a_second() -> None:
    """The attribute is private: a version of Gradio without it fails here, and only here."""
    with gr.Blocks() as page:
        gr.HTML()
    before = page._queue.sleep_when_free
    slow_down_queue(page)
    assert before < page._queue.sleep_when_free == 0.1


def test_a_queue_without_the_private_attribute_is_left_unchanged() -> None:
    for page in (SimpleNamespace(), SimpleNamespace(_queue=SimpleNamespace())):
        before = repr(page)
        slow_down_queue(page)  # pyright: ignore[reportArgumentType]
        assert repr(page) == before
