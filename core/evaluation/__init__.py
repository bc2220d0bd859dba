"""Evaluation: ELBO and likelihood, sample quality, disentanglement and anomaly detection."""
