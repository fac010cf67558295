"""PanoramaLatent and PanoramaDecode in prompts queued on the real server."""

import numpy as np
import pytest
from comfy_server import PromptFailed

OUTPAINT = {
    "content": "outpaint",
    "content.image_scale": 1.0,
    "content.image_x": 0.5,
    "content.image_y": 0.5,
    "content.feather": 0,
}


def prompt(**latent):
    """A picture through the host's VAE for pixel space, which changes nothing."""
    return {
        "vae": {"class_type": "VAELoader", "inputs": {"vae_name": "pixel_space"}},
        "image": {"class_type": "LoadImage", "inputs": {"image": "picture.png"}},
        "latent": {
            "class_type": "PanoramaLatent",
            "inputs": {
                "width": 96,
                "height": 32,
                "batch_size": 1,
                "content.image": ["image", 0],
                "content.vae": ["vae", 0],
                **latent,
            },
        },
        "decode": {
            "class_type": "PanoramaDecode",
            "inputs": {"samples": ["latent", 0], "vae": ["vae", 0], "window": 48, "context": 8, "blend": 8},
        },
        "save": {"class_type": "SaveImage", "inputs": {"images": ["decode", 0], "filename_prefix": "canvas"}},
    }


@pytest.fixture
def picture(server):
    image = np.random.default_rng(0).integers(0, 256, (32, 96, 3)) / 255
    server.add_input("picture.png", image)
    return image


def test_a_picture_survives_the_canvas_and_the_windows(server, picture):
    run = server.run(prompt(content="img2img", **{"content.fit": "stretch"}))
    np.testing.assert_allclose(server.images(run, "save")[0], picture, atol=1.5 / 255)
    assert run.progress[-1] == ("decode", 4, 4)


def test_outpaint_puts_the_picture_where_it_was_asked(server, picture):
    run = server.run(prompt(width=192, **OUTPAINT | {"content.image_x": 1.0}))
    (image,) = server.images(run, "save")
    np.testing.assert_allclose(image[:, 96:], picture, atol=1.5 / 255)
    assert np.ptp(image[:, :96]) == 0


def test_bad_input_reaches_the_user(server, picture):
    with pytest.raises(PromptFailed, match=r"PanoramaLatent: content: outpaint keeps the image, and this one covers"):
        server.run(prompt(**OUTPAINT))
    broken = prompt(**OUTPAINT)
    del broken["latent"]["inputs"]["content.vae"]
    with pytest.raises(PromptFailed, match=r"Required input is missing.*content\.vae"):
        server.run(broken)
