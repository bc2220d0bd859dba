"""A model given away: as a Gradio Space, and as a page that needs no server."""
