"""Files of random weights in the place of those that the judging networks of benchmarks/checkpoints/ download.

The networks are the real ones, layer for layer, but for CLIP, which comes in any size.
"""

import json
from unittest.mock import patch

import torch
import torchvision
from torch import nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

EMBEDDING = 16
BACKBONES = {"alexnet": "alexnet-owt-7be5be79.pth", "vgg16": "vgg16-397923af.pth"}  # torchvision's, by their names


def save_backbones(torch_home):
    """What LPIPS and DISTS look for in TORCH_HOME. Their layers that classify are zero, and take no room."""
    folder = torch_home / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    for name, file in BACKBONES.items():
        with torch.device("meta"):
            shapes = getattr(torchvision.models, name)().state_dict()
        weights = {
            key: torch.zeros(1).expand(shape.shape) if key.startswith("classifier") else spread(shape)
            for key, shape in shapes.items()
        }
        torch.save(weights, folder / file)


def save_inception(path):
    """A file of torch-fidelity's."""
    torch.save({}, path)
    with patch.object(FeatureExtractorInceptionV3, "load_state_dict"), torch.device("meta"):
        shapes = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(path)).state_dict()
    weights = {key: spread(shape) if shape.ndim > 1 else torch.zeros(shape.shape) for key, shape in shapes.items()}
    weights |= {
        key: torch.ones(shape.shape) for key, shape in shapes.items() if key.endswith(("running_var", "bn.weight"))
    }
    torch.save(weights, path)
    return path


def spread(shape):
    """Random weights that neither blow up nor dry out what passes through many layers of them."""
    weights = torch.zeros(shape.shape)
    return nn.init.kaiming_normal_(weights) if weights.ndim > 1 else weights


def save_clip(folder):
    """A CLIP that knows letters for words."""
    folder.mkdir()
    layers = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    letters = [letter + end for end in ("", "</w>") for letter in "abcdefghijklmnopqrstuvwxyz,"]
    vocabulary = {token: number for number, token in enumerate([*letters, "<|startoftext|>", "<|endoftext|>"])}
    end = vocabulary["<|endoftext|>"]
    config = CLIPConfig(
        text_config=layers | {"vocab_size": len(vocabulary), "bos_token_id": end - 1, "eos_token_id": end},
        vision_config=layers | {"image_size": 32, "patch_size": 16},
        projection_dim=EMBEDDING,
    )
    CLIPModel(config).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(images, tokenizer).save_pretrained(folder)
    return folder


def save_aesthetic(path, width=EMBEDDING):
    """The linear layer on that CLIP."""
    torch.save({"weight": torch.randn(1, width), "bias": torch.tensor([5.0])}, path)
    return path
