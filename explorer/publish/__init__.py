"""Publishing a bundle: as a Gradio Space, or as a static site."""
