"""The bundle: the folder a trained model lives in, how it is shared, and what it says about itself."""
