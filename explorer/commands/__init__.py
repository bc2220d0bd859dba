"""The commands of `latentscape`, one function each. A command imports heavy packages only when it runs."""
