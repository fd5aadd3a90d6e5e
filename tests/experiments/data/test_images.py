"""Images: published counts, splits, archives and folders read right, damaged images refused."""

import io
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from effml.errors import MissingRequirement, UserError
from effml.experiments.data import registry
from effml.experiments.data.entry import Files
from effml.experiments.data.images import cifar, tiny_imagenet
from effml.experiments.data.images.decoding import FilePixels, tiles
from effml.experiments.data.images.images import Images, Split, in_memory
from tests.experiments.data.damage import survives


def draw(path, colour=None, size=(20, 16), **options):
    """An image file: one colour, or noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if colour is None:
        array = np.random.default_rng(0).integers(256, size=(size[1], size[0], 3), dtype=np.uint8)
    else:
        array = np.full((size[1], size[0], 3), colour, dtype=np.uint8)
    Image.fromarray(array).save(path, **options)


def test_digits_keep_every_class_in_both_splits():
    loaded = registry.load("digits")
    images = loaded.value
    assert images.shape == (1, 8, 8) and images.num_classes == 10
    assert len(images.train) + len(images.test) == 1_797
    assert int(images.train.pixels.max()) == images.train.peak == 16
    assert images.test.labels.bincount().min() >= 34
    unit = images.train.unit()
    assert float(unit.max()) == 1 and images.mean[0] == pytest.approx(float(unit.mean()), rel=1e-6)
    assert images.std[0] == pytest.approx(float(unit.std(correction=0)), rel=1e-6)
    assert loaded.record == registry.load("digits").record
    assert loaded.record["sha256"] != registry.load("digits", seed=1).record["sha256"]
    with pytest.raises(UserError, match="test_share=1"):
        registry.load("digits", test_share=1.0)


@pytest.mark.realdata
def test_cifar10_mosaics():
    images = registry.load("cifar10").value
    if images.name == "cifar10":
        pytest.skip("the authors' archive is at hand and comes first")
    assert images.name == "cifar10 (train q90)" and "quality 90" in images.note
    assert images.train.labels.bincount().tolist() == [5_000] * 10
    assert images.test.labels.bincount().tolist() == [1_000] * 10
    assert images.classes[0] == "airplane" and images.classes[9] == "truck"
    # The channel statistics of CIFAR-10 as everybody quotes them; they see tiles cut at the wrong place or in BGR.
    assert images.mean == pytest.approx([0.4914, 0.4822, 0.4465], abs=2e-4)
    assert images.std == pytest.approx([0.2470, 0.2435, 0.2616], abs=2e-4)
    steps = images.test.pixels.int().diff(dim=3).abs().float().mean((0, 1, 2))
    assert (steps[1:] / steps[:-1]).max() < 1.1  # no seam within a tile


def archive_of(folder, batches):
    path = folder / "batches.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, batch in {**batches, "readme.html": b"<html>"}.items():
            content = batch if isinstance(batch, bytes) else pickle.dumps(batch)
            member = tarfile.TarInfo(f"cifar/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_cifar_archives_are_read_in_order(tmp_path):
    rng = np.random.default_rng(0)

    def batch(labels, key):
        return {b"data": rng.integers(256, size=(len(labels), 3_072), dtype=np.uint8), key: labels}

    ten = {f"data_batch_{n}": batch([n, 9 - n], b"labels") for n in range(5, 0, -1)}
    ten |= {"test_batch": batch([3, 4], b"labels"), "batches.meta": {b"label_names": [b"c%d" % n for n in range(10)]}}
    paths = {"cifar10/cifar-10-python.tar.gz": archive_of(tmp_path, ten)}
    images = cifar.cifar10(Files(registry.get("cifar10"), paths)).value
    assert images.train.labels.tolist() == [1, 8, 2, 7, 3, 6, 4, 5, 5, 4] and images.name == "cifar10"
    assert np.array_equal(images.train.pixels[2].numpy().ravel(), ten["data_batch_2"][b"data"][0])
    hundred = {name: batch([7, 99], b"fine_labels") for name in ("train", "test")}
    hundred["meta"] = {b"fine_label_names": [b"f%d" % n for n in range(100)]}
    paths = {"cifar100/cifar-100-python.tar.gz": archive_of(tmp_path, hundred)}
    images = cifar.cifar100(Files(registry.get("cifar100"), paths)).value
    assert images.num_classes == 100 and images.test.labels.tolist() == [7, 99]


def test_tiny_imagenet_archive(tmp_path, monkeypatch):
    monkeypatch.setattr(tiny_imagenet, "CLASSES", 3)
    monkeypatch.setattr(tiny_imagenet, "TESTS", 4)
    path, top = tmp_path / "tiny.zip", "tiny-imagenet-200"
    ids = ["n3", "n1", "n2"]

    def jpeg(level):
        out = io.BytesIO()
        Image.new("L" if level == 10 else "RGB", (64, 64), level if level == 10 else (level,) * 3).save(out, "JPEG")
        return out.getvalue()

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{top}/wnids.txt", "\n".join(ids))
        archive.writestr(f"{top}/words.txt", "n1\tcat\nn2\tdog\nn3\tant\nn9\tunused\n")
        rows = [f"val_{n}.JPEG\t{ids[n % 3]}\t0\t0\t1\t1" for n in range(4)]
        archive.writestr(f"{top}/val/val_annotations.txt", "\n".join(rows))
        for n in range(4):
            archive.writestr(f"{top}/val/images/val_{n}.JPEG", jpeg(100 + 10 * n))
        for code, name in enumerate(ids):
            for n in range(2):
                archive.writestr(f"{top}/train/{name}/images/{name}_{n}.JPEG", jpeg(10 * (2 * code + n + 1)))
    files = Files(registry.get("tiny-imagenet"), {tiny_imagenet.ARCHIVE: path})
    content = tiny_imagenet.load(files, per_class=2)
    images = content.value
    assert images.classes == ["ant", "cat", "dog"] and images.train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert images.train.pixels[:, 0, 0, 0].tolist() == [10, 20, 30, 40, 50, 60]
    assert images.test.labels.tolist() == [0, 1, 2, 0] and "2 of 500" in content.note
    with pytest.raises(UserError, match="per_class=501"):
        tiny_imagenet.load(files, per_class=501)


def test_mosaic_is_cut_row_by_row(tmp_path):
    array = np.zeros((4, 6, 3), dtype=np.uint8)
    for number in range(6):
        row, column = divmod(number, 3)
        array[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = number
    Image.fromarray(array).save(tmp_path / "mosaic.png")
    found = tiles(tmp_path / "mosaic.png", 2, 5)
    assert found.shape == (5, 3, 2, 2) and found[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="6 tiles instead of 7"):
        tiles(tmp_path / "mosaic.png", 2, 7)


def test_own_folder_with_its_own_split(tmp_path):
    for part, count in (("train", 3), ("test", 2)):
        for number, name in enumerate(("cat", "dog")):
            for image in range(count):
                draw(tmp_path / "pets" / part / name / f"{image}.png", 100 * number + image)
    loaded = registry.load("file", path=tmp_path / "pets", among=("digits",), size=8)
    images = loaded.value
    assert images.classes == ["cat", "dog"] and images.shape == (3, 8, 8)
    assert images.train.pixels[:, 0, 0, 0].tolist() == [0, 1, 2, 100, 101, 102]
    assert images.test.labels.tolist() == [0, 0, 1, 1]
    assert loaded.record["note"].startswith("pets; 6 train, 4 test at 8 x 8")


def test_own_folder_is_split_with_the_seed_and_flat_ones_have_one_class(tmp_path):
    for image in range(20):
        draw(tmp_path / "flat" / f"{image:02}.png", image)
    one, again, other = (registry.load("image-folder", path=tmp_path / "flat", size=4, seed=seed) for seed in (0, 0, 1))
    assert one.value.num_classes == 1 and (len(one.value.train), len(one.value.test)) == (16, 4)
    assert torch.equal(one.value.test.pixels, again.value.test.pixels)
    assert not torch.equal(one.value.test.pixels, other.value.test.pixels)
    assert one.record["sha256"] == other.record["sha256"]


def test_central_square_is_taken(tmp_path):
    array = np.zeros((10, 30, 3), dtype=np.uint8)
    array[:, 10:20] = 200
    (tmp_path / "wide").mkdir()
    Image.fromarray(array).save(tmp_path / "wide" / "a.png")
    pixels = FilePixels([tmp_path / "wide" / "a.png"], 10)
    assert (pixels[0] == 200).all() and pixels[torch.tensor([0, 0])].shape == (2, 3, 10, 10)
    assert (FilePixels([tmp_path / "wide" / "a.png"], 6, crop=4)[0] == 200).all()


@pytest.mark.parametrize("form", ["jpg", "png", "webp"])
def test_damaged_image_is_refused_by_name(form, tmp_path, seed):
    for image in range(4):
        draw(tmp_path / "images" / f"{image}.{form}", size=(64, 48))
    victim = tmp_path / "images" / f"2.{form}"
    refused = survives("image-folder", victim, seed, times=15, folder=tmp_path / "images", size=32)
    assert refused >= 8


def test_imagenet_is_decoded_when_indexed(tmp_path):
    for part in ("train", "val"):
        for name in ("n01", "n02"):
            draw(tmp_path / part / name / "a.JPEG", 128, size=(300, 260))
    loaded = registry.load("imagenet", path=tmp_path)
    images = loaded.value
    assert isinstance(images.train.pixels, FilePixels) and images.shape == (3, 224, 224)
    assert images.train.unit(torch.tensor([1])).mean() == pytest.approx(128 / 255, abs=0.01)
    assert "2 of 1,000 classes" in loaded.record["note"] and images.note
    (tmp_path / "val" / "n02").rename(tmp_path / "val" / "n03")
    with pytest.raises(MissingRequirement, match="do not hold the same classes"):
        registry.load("imagenet", path=tmp_path)
    with pytest.raises(MissingRequirement, match=r"imagenet \(about 150 GB\) is not here.*dataset\.path"):
        registry.load("imagenet")


def test_celeba_follows_the_published_partition(tmp_path):
    for image in range(1, 7):
        draw(tmp_path / "img" / f"{image:06}.jpg", 40 * image, size=(178, 218))
    partition = tmp_path / "list_eval_partition.txt"
    partition.write_text("".join(f"{image:06}.jpg {max(image - 4, 0)}\n" for image in range(1, 7)))
    images = registry.load("celeba", path=tmp_path / "img").value
    assert (len(images.train), len(images.test)) == (5, 1) and images.shape == (3, 64, 64)
    assert abs(int(images.test.pixels[0].float().mean()) - 240) <= 1
    partition.write_text(partition.read_text() + "000007.jpg 2\n")
    with pytest.raises(MissingRequirement, match=r"1 images of list_eval_partition\.txt are missing"):
        registry.load("celeba", path=tmp_path / "img")
    partition.unlink()
    assert "seed 0" in registry.load("celeba", path=tmp_path / "img", test_share=0.5).record["note"]


def test_latents_are_drawn_from_their_gaussians(tmp_path):
    mean = np.random.default_rng(0).normal(size=(3, 4, 2, 2)).astype(np.float32)
    np.savez(
        tmp_path / "l.npz", moments=np.concatenate((mean, np.full_like(mean, -30.0)), 1), labels=np.array([0, 5, 2])
    )
    latents = registry.load("imagenet-latents", path=tmp_path / "l.npz").value
    drawn = latents.draw(torch.tensor([2, 0]))
    assert drawn.shape == (2, 4, 2, 2) and drawn[0].numpy() == pytest.approx(0.18215 * mean[2], abs=1e-4)
    assert latents.labels.tolist() == [0, 5, 2]
    np.savez(tmp_path / "z.npz", latents=mean)
    alone = registry.load("imagenet-latents", path=tmp_path / "z.npz").value.draw(torch.arange(3))
    assert alone.numpy() == pytest.approx(mean, abs=1e-5)
    assert survives("imagenet-latents", tmp_path / "l.npz", 0) >= 15


def test_coco_latents_come_with_their_captions(tmp_path):
    (tmp_path / "train").mkdir()
    for image in range(2):
        np.save(tmp_path / "train" / f"{image}.npy", np.full((8, 2, 2), image, dtype=np.float32))
        for caption in range(2):
            np.save(tmp_path / "train" / f"{image}_{caption}.npy", np.full((77, 768), 10 * image + caption, np.float32))
    np.save(tmp_path / "empty_context.npy", np.zeros((77, 768), np.float32))
    latents = registry.load("coco-latents", path=tmp_path).value
    assert len(latents) == 2 and latents.caption(1, 1)[0, 0] == 11 and latents.empty.shape == (77, 768)
    assert latents.draw(torch.tensor([1]), torch.Generator().manual_seed(0)).shape == (1, 4, 2, 2)
    (tmp_path / "train" / "0.npy").unlink()
    with pytest.raises(MissingRequirement, match="without gap"):
        registry.load("coco-latents", path=tmp_path)


def test_images_refuse_labels_that_do_not_fit():
    pixels = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    with pytest.raises(ValueError, match="2 images and 3 labels"):
        Split(pixels, torch.zeros(3, dtype=torch.long))
    split = Split(pixels, torch.tensor([0, 2]))
    with pytest.raises(ValueError, match="labels outside the 2 classes"):
        Images("x", split, split, ["a", "b"], [0.0], [1.0])
    assert in_memory("x", split, split, ["a", "b", "c"]).mean == [0, 0, 0]
