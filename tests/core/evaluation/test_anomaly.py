"""Tests of the anomaly score."""

import pytest
import torch
from sklearn.mixture import GaussianMixture

from core import Bundle, Data, load
from core.evaluation.anomaly import Detector, fit_detector, statistics


@pytest.fixture(scope="module")
def calibrated(bundle: Bundle, digits: Data) -> Bundle:
    """A calibrated bundle: 600 digits as training images, 598 as held-out images; the 599 test images are not used."""
    return bundle.calibrated(digits.images[:600], digits.images[600:1198])


def standard_normal_detector(calibration: torch.Tensor) -> Detector:
    """A detector whose mixture is the standard normal in two dimensions."""
    eye = torch.eye(2, dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    return Detector(torch.zeros(2), torch.ones(2), one, torch.zeros(1, 2, dtype=torch.float64), eye[None], calibration)


def test_the_score_is_minus_the_log_density_of_the_mixture() -> None:
    values = torch.randn(400, 3, generator=torch.Generator().manual_seed(0)).double()
    mixture = GaussianMixture(3, random_state=0).fit(values.numpy())
    fitted = [torch.from_numpy(p) for p in (mixture.weights_, mixture.means_, mixture.precisions_cholesky_)]
    detector = Detector(torch.zeros(3), torch.ones(3), fitted[0], fitted[1], fitted[2], torch.zeros(0, dtype=torch.float64))
    torch.testing.assert_close(detector.score(values.float()), -torch.from_numpy(mixture.score_samples(values.numpy())))


def test_the_p_value_is_the_share_of_calibration_scores_at_least_as_large() -> None:
    detector = standard_normal_detector(torch.tensor([1.9, 2.0, 2.0, 3.0], dtype=torch.float64))
    base = detector.score(torch.zeros(1, 2)).item()  # log 2 pi = 1.838
    for score, expected in ((base, 1.0), (1.95, 4 / 5), (2.5, 2 / 5), (3.1, 1 / 5)):
        at = torch.tensor([[(2 * (score - base)) ** 0.5 if score > base else 0.0, 0.0]])
        verdict = detector.detect(at)
        assert verdict.score.item() == pytest.approx(score, abs=1e-5)
        assert verdict.p_value.item() == pytest.approx(expected)


def test_the_p_values_of_normal_images_are_uniform(calibrated: Bundle) -> None:
    """At 5, 10 and 50 %, within four standard errors; the error includes calibration and test images."""
    p = calibrated.anomaly(unseen_images()).p_value
    for level in (0.05, 0.1, 0.5):
        error = (level * (1 - level) * (1 / len(p) + 1 / 598)) ** 0.5
        assert abs((p <= level).double().mean().item() - level) < 4 * error


def unseen_images() -> torch.Tensor:
    from core import load_data

    return load_data("digits", "test").images[:]


def test_scores_are_two_sided_deterministic_and_independent_of_the_batch(calibrated: Bundle) -> None:
    """Noise has a low likelihood and a blank image a high one. Both are anomalies."""
    noise = torch.randint(0, 256, (50, 1, 8, 8), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    blank = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    normal = calibrated.anomaly(unseen_images()).score.median()
    assert (calibrated.anomaly(noise).score > normal).all()
    assert (calibrated.anomaly(noise).p_value < 0.02).all()
    assert calibrated.anomaly(blank).p_value.item() < 0.02
    whole = calibrated.anomaly(noise).score
    assert torch.equal(whole, calibrated.anomaly(noise).score)
    torch.testing.assert_close(whole[7:8], calibrated.anomaly(noise[7:8]).score, rtol=1e-4, atol=1e-3)


def test_the_calibration_is_bitwise_equal_after_saving_and_loading(
    calibrated: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("calibrated") / "b"
    calibrated.save(path)
    again = load(path)
    images = unseen_images()
    assert torch.equal(again.anomaly(images).score, calibrated.anomaly(images).score)
    assert torch.equal(again.anomaly(images).p_value, calibrated.anomaly(images).p_value)


def test_missing_calibration_or_too_few_images_raise_an_error(bundle: Bundle, digits: Data) -> None:
    with pytest.raises(ValueError, match="run `latentscape calibrate`"):
        Bundle(bundle.vae, None, None, bundle.config).anomaly(digits.images[:1])
    with pytest.raises(ValueError, match="at least 20 held-out training images; got 19"):
        fit_detector(bundle.vae, digits.images[:100], digits.images[:19])


def test_statistics_have_one_row_for_each_image(bundle: Bundle, digits: Data) -> None:
    whole = statistics(bundle.vae, digits.images[:37], batch_size=10)
    assert whole.shape == (37, bundle.vae.prior.latents + 6)
    torch.testing.assert_close(whole, statistics(bundle.vae, digits.images[:37], batch_size=37), rtol=1e-4, atol=1e-3)
