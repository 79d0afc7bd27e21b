"""The data sets that can be named, in the order in which lists show them."""

from cfa.data import fashion_mnist, image_folder
from cfa.data.cifar import CIFAR10, CIFAR100
from cfa.data.datasets import DATASETS, FOLDER
from cfa.data.first_classes import first_classes
from cfa.data.published import published_source
from cfa.data.stl10 import STL10
from cfa.data.svhn import SVHN
from cfa.data.tiny_imagenet import TINY_IMAGENET

DATASETS.register("fashion-mnist-mini", fashion_mnist.MINI)
DATASETS.register("fashion-mnist", fashion_mnist.WHOLE)
DATASETS.register("cifar10", published_source(CIFAR10))
DATASETS.register("cifar100", published_source(CIFAR100))
DATASETS.register("tiny-imagenet", TINY_IMAGENET)
DATASETS.register("tiny-imagenet-20", first_classes("tiny-imagenet-20", TINY_IMAGENET, 20))
DATASETS.register("stl10", published_source(STL10))
DATASETS.register("svhn", published_source(SVHN))
# `-lt` of any other works as well. RobustLT's Tiny-ImageNet is that of the first 20 classes by wnid.
for name in ("cifar10-lt", "cifar100-lt", "tiny-imagenet-lt", "tiny-imagenet-20-lt"):
    DATASETS.register(name, DATASETS[name])
DATASETS.register(FOLDER, image_folder.ANY_FOLDER)
DATASETS.register_scheme(FOLDER, image_folder.folder_source)
