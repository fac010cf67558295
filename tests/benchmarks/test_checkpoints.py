"""Pictures of a checkpoint, painted and judged in two processes. The judges are real networks of random weights."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace

import judging_weights
import numpy as np
import pytest
import torch
from host import HOST, ROOT
from PIL import Image
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from torchmetrics.functional.image import deep_image_structure_and_texture_similarity
from torchmetrics.image import FrechetInceptionDistance, LearnedPerceptualImagePatchSimilarity
from transformers import CLIPModel, CLIPProcessor

from benchmarks.checkpoints import measure, scores, shares
from benchmarks.checkpoints.__main__ import main
from benchmarks.checkpoints.networks import Networks
from benchmarks.checkpoints.pictures import (
    REFERENCE,
    Group,
    Picture,
    Settings,
    keep,
    left_to_paint,
    read_collection,
    read_prompts,
    require_known,
    seeds_of,
)
from benchmarks.checkpoints.weights import WeightParams
from benchmarks.table import read

PROMPT = "summer day sky mountains"
SETTINGS = Settings(checkpoint="demo", rows=1, columns=2, steps=1, cfg=2.0, sampler="euler", scheduler="karras")
SIDE = 64


def plain(colour, height=128, width=256):
    return Image.new("RGB", (width, height), colour)


@pytest.mark.skipif(HOST is None, reason="painting needs ComfyUI")
def test_two_processes_go_on_where_a_killed_run_was(tmp_path):
    there = Picture(Group("multidiffusion", PROMPT), 0)
    keep(tmp_path, there, SETTINGS, plain("red"), 1.5)
    (tmp_path / Picture(Group("multidiffusion", PROMPT), 1).path).with_suffix(".part").write_bytes(b"half a picture")
    prompts = tmp_path / "prompts.txt"
    prompts.write_text(PROMPT)
    options = "--methods multidiffusion full --seeds 2 --references 3 --rows 1 --columns 2 --steps 1 --cfg 2"
    options += " --sampler euler --scheduler karras"
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    run += ["-m", "benchmarks.checkpoints", "paint", "--checkpoint", "demo", "--prompts", prompts, "--out", tmp_path]
    done = subprocess.run([*run, *options.split()], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    files = [path for path in tmp_path.rglob("*") if path.is_file() and path != prompts]
    groups = [Group(method, PROMPT) for method in ("multidiffusion", "full", REFERENCE)]
    pictures = [
        Picture(group, seed)
        for group in groups
        for seed in seeds_of(group.method, 3 if group.method == REFERENCE else 2)
    ]
    assert sorted(files) == sorted(tmp_path / picture.path for picture in pictures)
    collection = read_collection(tmp_path)
    assert collection.settings == SETTINGS
    assert collection.groups[there.group][0].seconds == 1.5
    shown = {picture: np.array(Image.open(tmp_path / picture.path)) for picture in pictures}
    assert (shown[there] == (255, 0, 0)).all()
    assert {image.shape for picture, image in shown.items() if picture.group.method == REFERENCE} == {(128, 128, 3)}
    assert {image.shape for picture, image in shown.items() if picture.group.method != REFERENCE} == {(128, 256, 3)}
    assert len({image.tobytes() for image in shown.values()}) == len(pictures)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    judging_weights.save_backbones(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(folder))
        yield WeightParams(
            clip_model=str(judging_weights.save_clip(folder / "clip")),
            aesthetic_weights=str(judging_weights.save_aesthetic(folder / "aesthetic.pth")),
            inception_weights=str(judging_weights.save_inception(folder / "inception.pth")),
        )


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Panoramas and single pictures, all of them patches of random colours."""
    out, draw = tmp_path_factory.mktemp("out"), np.random.default_rng(0)
    for method, width in (("msd", 3 * SIDE), (REFERENCE, SIDE)):
        for seed in range(3):
            colours = draw.integers(0, 256, (4, width // 16, 3), dtype=np.uint8)
            image = Image.fromarray(colours).resize((width, SIDE), Image.Resampling.BICUBIC)
            keep(out, Picture(Group(method, PROMPT), seed), SETTINGS, image, 2.0)
    return out


def measure_in_this_process(*arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["benchmarks.checkpoints", "measure", *map(str, arguments)])
        main()


def test_two_processes_measure_what_torchmetrics_does(out, weights, capfd):
    """Started by torchrun's own launcher, but forked: loading the libraries once more takes longer than the test."""
    config = LaunchConfig(
        1, 1, 2, start_method="fork", rdzv_backend="c10d", rdzv_endpoint="localhost:0", max_restarts=0
    )
    options = ["--out", out, "--batch", 2, "--clip-model", weights.clip_model]
    options += ["--aesthetic-weights", weights.aesthetic_weights, "--inception-weights", weights.inception_weights]
    elastic_launch(config, measure_in_this_process)(*options)
    printed = capfd.readouterr().out
    assert re.findall(r"^\| ([A-Z]\S+ Diffusion|single pictures) \|", printed, re.M) == [
        "Multi-Scale Diffusion",
        "single pictures",
    ]
    assert "nan" not in printed
    comments, lines = read(out / "checkpoint.csv")
    assert "demo: 1 prompts, 1 x 2 windows" in comments[1]
    found = {(line["row"], line["metric"]): float(line["value"]) for line in lines}
    assert {line["panoramas"] for line in lines} == {"3"}

    rows = {}
    for method in ("msd", REFERENCE):
        paths = sorted(out.glob(f"{method}/*/*.png"))
        rows[method] = [torch.from_numpy(np.array(Image.open(path))).movedim(-1, 0) for path in paths]
    crops = torch.stack([measure.random_square(picture, seed) for seed, picture in enumerate(rows["msd"])])
    fid = FrechetInceptionDistance(feature_extractor_weights_path=weights.inception_weights)
    fid.update(crops, real=False)
    fid.update(torch.stack(rows[REFERENCE]), real=True)
    assert found["Multi-Scale Diffusion", "FID"] == pytest.approx(fid.compute().item(), rel=1e-3)

    first, second, third = (torch.stack(rows["msd"])[..., left : left + SIDE] / 255 for left in (0, SIDE, 2 * SIDE))
    pairs = {"LPIPS": [(first, second), (second, third), (first, third)]}
    pairs["LPIPS of neighbours"] = pairs["LPIPS"][:2]
    for name, pair in pairs.items():
        lpips = LearnedPerceptualImagePatchSimilarity("alex", normalize=True)
        lpips.update(*(torch.cat(side) for side in zip(*pair, strict=True)))
        assert found["Multi-Scale Diffusion", name] == pytest.approx(lpips.compute().item(), rel=1e-4)
    a, b, c = (picture[None] / 255 for picture in rows[REFERENCE])
    dists = deep_image_structure_and_texture_similarity(torch.cat([a, b, c]), torch.cat([b, c, a]), "mean").item()
    assert found["single pictures", "DISTS"] == pytest.approx(dists, rel=1e-4)

    model, processor = (kind.from_pretrained(weights.clip_model) for kind in (CLIPModel, CLIPProcessor))
    with torch.no_grad():
        seen = model(**processor(text=[PROMPT], images=list(crops), return_tensors="pt"))
    images = seen.image_embeds / seen.image_embeds.norm(dim=1, keepdim=True)
    layer = torch.load(weights.aesthetic_weights)
    cosine = torch.nn.functional.cosine_similarity(seen.image_embeds, seen.text_embeds)
    assert found["Multi-Scale Diffusion", "CLIP score"] == pytest.approx(100 * cosine.mean().item(), rel=1e-3)
    beauty = (images @ layer["weight"].T + layer["bias"]).mean().item()
    assert found["Multi-Scale Diffusion", "CLIP-aesthetic"] == pytest.approx(beauty, rel=1e-3)
    assert found["single pictures", "seconds"] == 2
    assert ("single pictures", "FID") not in found


def test_pictures_are_looked_at_again_only_where_they_or_the_networks_changed(out, weights, tmp_path, monkeypatch):
    looks = []
    monkeypatch.setattr(measure, "_look", lambda group, painted, *_: looks.append(group) or {"x": torch.ones(1)})
    shutil.copytree(out, tmp_path, dirs_exist_ok=True)
    group = Group("msd", PROMPT)

    def look(weights):
        networks = Networks(weights, torch.device("cpu"), batch=2)
        assert measure.measured(tmp_path, group, read_collection(tmp_path), networks)["x"] == 1
        return len(looks)

    shutil.rmtree(tmp_path / measure.FOLDER, ignore_errors=True)
    assert [look(weights), look(weights)] == [1, 1]
    other = replace(weights, clip_model="another")
    assert [look(other), look(other)] == [2, 2]
    keep(tmp_path, Picture(group, 0), SETTINGS, plain("blue", SIDE, 3 * SIDE), 2.0)
    assert [look(other), look(other)] == [3, 3]


def test_weights_that_do_not_belong_together_are_refused(weights, tmp_path):
    wrong = replace(weights, aesthetic_weights=str(judging_weights.save_aesthetic(tmp_path / "wrong.pth", width=24)))
    networks = Networks(wrong, torch.device("cpu"), batch=2)
    with pytest.raises(ValueError, match=r"aesthetic-weights: must be for embeddings of 16 numbers, as .* got 24"):
        networks.clip(torch.zeros(1, 3, SIDE, SIDE, dtype=torch.uint8), PROMPT)
    with pytest.raises(ValueError, match=r"batch: must be at least 1, got 0"):
        Networks(weights, torch.device("cpu"), batch=0)


def test_shares_are_all_items_each_once():
    items = list(range(11))
    for count in (1, 2, 5):
        given = [shares.Share(rank, count).of(items) for rank in range(count)]
        assert sorted(item for share in given for item in share) == items
        assert max(map(len, given)) - min(map(len, given)) <= 1


def test_prompts_are_the_lines_that_are_no_comment(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("# places\n\n  a harbour, watercolour  \na dune\na harbour, watercolour\n")
    assert read_prompts(path) == ["a harbour, watercolour", "a dune"]
    path.write_text("# none\n")
    with pytest.raises(ValueError, match=r"prompts: .*prompts.txt has none; write one prompt a line"):
        read_prompts(path)


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks" / "prompts").glob("*.txt")), ids=lambda path: path.stem)
def test_prompts_of_the_pack_have_folders_of_their_own(path):
    folders = [Group("msd", prompt).folder for prompt in read_prompts(path)]
    assert len(set(folders)) == len(folders) >= 3


def test_prompts_that_begin_alike_have_folders_of_their_own():
    assert Group("msd", 70 * "a" + "b").folder != Group("msd", 70 * "a" + "c").folder
    assert str(Group("msd", "../Café, at night!").folder).startswith("msd/caf-at-night-")


def test_settings_that_differ_are_refused(tmp_path):
    pictures = [Picture(Group("msd", PROMPT), seed) for seed in range(2)]
    keep(tmp_path, pictures[0], SETTINGS, plain("red"), 1.0)
    assert left_to_paint(tmp_path, pictures, SETTINGS) == pictures[1:]
    more = replace(SETTINGS, steps=2, cfg=3.0)
    with pytest.raises(
        ValueError, match=r"out: .*000000.png was painted with steps 1, not 2, cfg 2.0, not 3.0; choose"
    ):
        left_to_paint(tmp_path, pictures, more)
    keep(tmp_path, pictures[1], more, plain("red"), 1.0)
    with pytest.raises(
        ValueError, match=r"out: all pictures must have the same settings, but .*000001.png has steps 2"
    ):
        read_collection(tmp_path)
    with pytest.raises(ValueError, match=r"columns: must be at least twice the rows \(4\), got 3"):
        Settings(checkpoint="demo", rows=2, columns=3)
    with pytest.raises(ValueError, match=r"rows: must be at least 1, got 0"):
        Settings(checkpoint="demo", rows=0)


def test_samplers_that_comfyui_does_not_have_are_refused():
    require_known("sampler", "ddim", ["euler", "ddim"])
    with pytest.raises(ValueError, match=r"sampler: must be one of euler, ddim, got 'DDIM'"):
        require_known("sampler", "DDIM", ["euler", "ddim"])


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ValueError, match=r"nproc-per-node: must be at most the number of GPUs, 2, got 3 or more"):
        shares.claim_device()


def test_single_pictures_have_noise_of_their_own():
    assert list(seeds_of("msd", 3)) == list(seeds_of("full", 3)) == [0, 1, 2]
    assert not set(seeds_of("msd", 500)) & set(seeds_of(REFERENCE, 2000))


def test_what_cannot_be_compared_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"has no pictures; run paint first"):
        read_collection(tmp_path)
    for method, seeds in {"multidiffusion": 3, "msd": 2, REFERENCE: 2}.items():
        for seed in range(seeds):
            keep(tmp_path, Picture(Group(method, PROMPT), seed), SETTINGS, plain("red"), 1.0)
    with pytest.raises(ValueError, match=r"got multidiffusion 3, msd 2, reference 2; let paint come to its end first"):
        read_collection(tmp_path)
    keep(tmp_path, Picture(Group("msd", PROMPT), 2), SETTINGS, plain("red"), 1.0)
    assert [len(painted) for painted in read_collection(tmp_path).groups.values()] == [3, 3, 2]
    for path in tmp_path.glob(f"{REFERENCE}/*/*.png"):
        path.unlink()
    with pytest.raises(ValueError, match=r"got multidiffusion 3, msd 3, reference 0"):
        read_collection(tmp_path)


def test_random_squares_lie_everywhere_and_depend_on_the_seed_alone():
    columns = torch.arange(40).expand(3, 8, 40)
    lefts = [measure.random_square(columns, seed)[0, 0, 0].item() for seed in range(300)]
    assert min(lefts) == 0
    assert max(lefts) == 32
    assert abs(np.mean(lefts) - 16) < 2
    assert lefts[:9] == [measure.random_square(columns, seed)[0, 0, 0].item() for seed in range(9)]
    square = torch.rand(3, 8, 8)
    assert torch.equal(measure.random_square(square, 7), square)


def test_squares_stand_side_by_side():
    panorama = torch.arange(3 * 4 * 14).reshape(3, 4, 14)
    assert torch.equal(torch.cat(measure.squares(panorama), dim=-1), panorama[..., :12])


def test_inception_score_counts_the_kinds():
    assert scores.inception_score(40 * torch.eye(5).repeat(3, 1)) == pytest.approx(5, rel=1e-6)
    assert scores.inception_score(torch.ones(9, 5)) == pytest.approx(1)


def test_prompts_weigh_alike_and_one_has_no_interval():
    seen = {
        Group(method, prompt): {name: torch.full((count,), value) for name in scores.MEANS.values()}
        | {"features": torch.rand(count, 4), "logits": torch.rand(count, 5)}
        for method in ("msd", REFERENCE)
        for prompt, count, value in (("a", 2, 1.0), ("b", 30, 3.0))
    }
    value, low, high = scores.scores(seen, "msd")["LPIPS"]
    assert (value, low, high) == pytest.approx((2, 1, 3))
    assert set(scores.scores(seen, "msd")) == set(scores.COLUMNS)
    alone = {group: found for group, found in seen.items() if group.prompt == "a"}
    assert scores.scores(alone, "msd")["LPIPS"] == 1
