"""Images: what there is. Light; loaders are named, not imported."""

from effml.experiments.data.entry import DataSet, Pinned

HERE = "effml.experiments.data.images"
TORONTO = "https://www.cs.toronto.edu/~kriz"

DATASETS = [
    DataSet(
        name="digits",
        kind="images",
        origin="bundled",
        title="1,797 handwritten digits, 8 x 8 pixels of 17 levels, 10 classes",
        licence="CC BY 4.0",
        source="scikit-learn",
        loader=f"{HERE}.digits:load",
    ),
    DataSet(
        name="cifar10",
        kind="images",
        origin="download",
        title="60,000 photographs, 32 x 32, 10 classes; or mosaics with training images in JPEG quality 90",
        licence="research use; cite Krizhevsky, 2009",
        source="www.cs.toronto.edu/~kriz; mosaics: cyizhuo/CIFAR-10-dataset",
        loader=f"{HERE}.cifar:cifar10",
        size=170_498_071,
        files=(
            Pinned(
                "cifar10/cifar-10-python.tar.gz",
                "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
                170_498_071,
                f"{TORONTO}/cifar-10-python.tar.gz",
            ),
        ),
        instead=(
            Pinned("cifar10/classes.txt", "2ce042b1e0b48db4bb214408e6414ba18b2731c24af244f2d6c112fddf31af00", 60),
            Pinned("cifar10/test.webp", "dec41866afe237f5d6c8d20c3379d602e60d92870662292678f3be9438417ec1", 17_133_776),
            Pinned(
                "cifar10/test_labels.txt", "81cc516d52542dfbf408be1fd8012f4d5da1938606aba4c260d8837f08402446", 20_000
            ),
            Pinned(
                "cifar10/train_0.jpg", "f4d1ee308237e1d2fdcb9a43b71aab1d282ca4b8e62d4725646a1a6628270bd0", 5_855_856
            ),
            Pinned(
                "cifar10/train_1.jpg", "9705bc2c00595ddb68c72d9cfcdd623110392de62d1070e3ee19a25221a57a11", 5_852_529
            ),
            Pinned(
                "cifar10/train_2.jpg", "b4569d241e5e2392a222e7beb0214178537ee1456049cd305a65ba9139e046c7", 5_837_658
            ),
            Pinned(
                "cifar10/train_3.jpg", "688cb21cc8381a3cbff9ec225254f2a3c118776014ccee5554da418c8f71efdf", 5_844_193
            ),
            Pinned(
                "cifar10/train_4.jpg", "20848667effd33fe1779caae079142b734e3695909148612905cc561e6646ed0", 5_856_245
            ),
            Pinned(
                "cifar10/train_labels.txt", "569d51f6c5f37400adc25103fa0f79289136cf61864ff59516efc096831417c2", 100_000
            ),
        ),
    ),
    DataSet(
        name="cifar100",
        kind="images",
        origin="download",
        title="60,000 photographs, 32 x 32, 100 classes",
        licence="research use; cite Krizhevsky, 2009",
        source="www.cs.toronto.edu/~kriz",
        loader=f"{HERE}.cifar:cifar100",
        size=169_001_437,
        files=(
            Pinned(
                "cifar100/cifar-100-python.tar.gz",
                "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
                169_001_437,
                f"{TORONTO}/cifar-100-python.tar.gz",
            ),
        ),
    ),
    DataSet(
        name="tiny-imagenet",
        kind="images",
        origin="download",
        title="110,000 photographs, 64 x 64, 200 classes",
        licence="research use (ImageNet terms)",
        source="cs231n.stanford.edu",
        loader=f"{HERE}.tiny_imagenet:load",
        size=248_100_043,
        files=(
            Pinned(
                "tiny-imagenet/tiny-imagenet-200.zip",
                "6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821",
                248_100_043,
                "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
            ),
        ),
    ),
    DataSet(
        name="imagenet",
        kind="images",
        origin="file",
        title="ILSVRC 2012, 1.28 million photographs, 1,000 classes, as folders train/ and val/",
        licence="ImageNet terms",
        source="image-net.org",
        loader=f"{HERE}.folder:imagenet",
        size=150_000_000_000,
        get="download it from image-net.org and name its folder with dataset.path=...",
    ),
    DataSet(
        name="celeba",
        kind="images",
        origin="file",
        title="202,599 aligned faces, cut to 64 x 64",
        licence="research use",
        source="mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        loader=f"{HERE}.folder:celeba",
        size=1_440_000_000,
        get="download img_align_celeba.zip from its site and name the folder with dataset.path=...",
    ),
    DataSet(
        name="imagenet-latents",
        kind="images",
        origin="file",
        title="ImageNet encoded by a Stable Diffusion autoencoder, as .npz",
        licence="ImageNet terms",
        source="made by the user",
        loader=f"{HERE}.latents:imagenet",
        get="encode ImageNet and name the .npz with dataset.path=...",
    ),
    DataSet(
        name="coco-latents",
        kind="images",
        origin="file",
        title="MS-COCO encoded by a Stable Diffusion autoencoder, captions by CLIP, as folders",
        licence="CC BY 4.0 (captions)",
        source="made by U-ViT's feature extraction",
        loader=f"{HERE}.latents:coco",
        get="run U-ViT's feature extraction and name its folder with dataset.path=...",
    ),
    DataSet(
        name="image-folder",
        kind="images",
        origin="file",
        title="your own images: a folder with one folder a class, or images alone",
        licence="yours",
        source="you",
        loader=f"{HERE}.folder:own",
        own=True,
    ),
]
