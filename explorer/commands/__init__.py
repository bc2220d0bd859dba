"""The commands of `latentscape`: one function each. Heavy imports wait until a command needs them."""
