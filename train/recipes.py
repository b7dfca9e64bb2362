"""The recipes: one for each classifier of the seeds, and our own.

A recipe says what is different from the one that it is made of. Those of the seeds keep their
source's networks, optimisers, rates, epochs and counts; faces are cut by the detector, where the
sources took whole aligned pictures, and one sigmoid stands for their softmax of two.
"""

from dataclasses import replace

from edge.contract import InputContract
from edge.errors import EdgeError
from edge.train.augment import NONE, PHONE, S0B, S1, S2, Augmentation
from edge.train.recipe import ALIGNED, Head, Phase, Recipe

_ALIGNED_BGR = replace(ALIGNED, colour="BGR")

_S2 = "CelebA and AffectNet, four augmentations each; CelebA's test pictures, all 4,000 of GENKI-4K"
_RMSPROP = Phase(epochs=20, optimizer="rmsprop", learning_rate=1e-3, schedule="constant")
_S0 = "CelebA, balanced 10,000 / 2,500 / 2,500"
_SIMPLE = Recipe(
    name="simple-cnn",
    about="the small network that the first seed starts from",
    seed="S0a",
    network="simple-cnn",
    contract=ALIGNED,
    dropout=0.25,
    augmentation=NONE,
    batch=32,
    phases=(_RMSPROP,),
    published={"celeba": 0.8104},
    attributes=("Smiling",),
    subset=(10_000, 2_500, 2_500),
    protocol=_S0,
)

# VGG19 on whole aligned pictures: features flattened to 15,360 values.
_FLAT = Head(pool="flatten", layers=(256, 0.5))
_STORED = Phase(
    name="head on stored features",
    epochs=50,
    trains="head",
    stored=True,
    optimizer="rmsprop",
    learning_rate=1e-4,
    schedule="constant",
)
_UNFREEZE = Phase(
    name="last block",
    epochs=5,
    trains="last block",
    optimizer="sgd",
    learning_rate=1e-4,
    schedule="constant",
    statistics=False,
)
_BOTTLENECK = Recipe(
    name="vgg19-bottleneck",
    about="a head on VGG19's features, computed once",
    seed="S0d",
    network="vgg19",
    contract=_ALIGNED_BGR,
    head=_FLAT,
    weights="imagenet",
    augmentation=NONE,
    batch=32,
    phases=(_STORED,),
    published={"celeba": 0.8104},
    attributes=("Smiling",),
    subset=(10_000, 2_500, 2_500),
    protocol=_S0,
)
_FINE_TUNED = replace(
    _BOTTLENECK,
    name="vgg19-fine-tuned",
    about="the same, then the last block unfrozen",
    seed="S0e, S0f, S0g",
    augmentation=S0B,
    phases=(_STORED, _UNFREEZE),
    published={"celeba": 0.9064},
)
_JOINED = replace(
    _BOTTLENECK,
    name="vgg19-joined",
    about="VGG19 frozen under a new head, trained as one",
    seed="S0c",
    head=Head(layers=(1024, 0.25, 512, 0.25)),
    phases=(
        Phase(
            name="head", epochs=20, trains="head", optimizer="sgd", learning_rate=1e-4,
            schedule="constant", statistics=False,
        ),
    ),
    published={"celeba": 0.7428},
)  # fmt: skip

# Frozen to convergence, then unfrozen from a layer on at a lower rate.
_FROZEN = Phase(
    name="head", epochs=8, trains="head", learning_rate=1e-3, patience=2, lowest_rate=1e-5,
    statistics=False,
)  # fmt: skip
_LOWER = Phase(
    name="last block", epochs=12, trains="last block", learning_rate=1e-4, patience=2,
    lowest_rate=1e-6, statistics=False,
)  # fmt: skip
_TWO_PHASE = Recipe(
    name="vgg16",
    about="VGG16: a new head, then the last block at a lower rate",
    seed="S2a",
    network="vgg16",
    contract=InputContract(width=128, height=128, colour="BGR"),
    head=Head(layers=(128,)),
    weights="imagenet",
    attributes=("Smiling",),
    augmentation=S2,
    phases=(_FROZEN, _LOWER),
    published={"celeba": 0.895, "genki4k": 0.906},
    protocol=_S2,
)


def _transferred(name: str, seed: str, celeba: float, genki4k: float) -> Recipe:
    """Return the two-phase recipe of another backbone of the seeds' table A."""
    return replace(
        _TWO_PHASE,
        name=name,
        about="a new head, then the last block at a lower rate",
        seed=seed,
        network=name,
        contract=InputContract(width=128, height=128),
        published={"celeba": celeba, "genki4k": genki4k} if celeba else {},
        protocol=_S2 if celeba else "",
    )


_PROPOSED = Recipe(
    name="proposed",
    about="the U-Net contraction path as its paper trains it",
    seed="S2g, S2j",
    network="proposed",
    contract=InputContract(width=128, height=128),
    augmentation=S2,
    phases=(
        Phase(name="all data", epochs=60),
        Phase(name="first data set alone", epochs=10, learning_rate=1e-6, first_only=True),
    ),
    published={"celeba": 0.927, "genki4k": 0.945},
    protocol=_S2,
)

# Gender on Adience: features stored once, one dense layer, threshold from validation.
_ADIENCE = Recipe(
    name="vgg16-features",
    about="a dense layer on VGG16's stored features, threshold from validation",
    seed="S3b",
    network="vgg16",
    contract=InputContract(width=224, height=224, colour="BGR"),
    head=Head(layers=(1024, 0.9)),
    weights="imagenet",
    attributes=("Male",),
    subset=(6_000, 2_000, 2_000),
    augmentation=NONE,
    batch=32,
    phases=(replace(_STORED, epochs=128),),
    threshold="validation",
    published={"adience-val": 0.862},
    protocol="Adience, balanced 6,000 / 2,000 / 2,000",
)

# People: few pictures each, so nothing is chosen on those that test.
_CELEBRITIES = Recipe(
    name="celeb-cnn",
    about="identity: three convolutions, mean picture off, border darkened",
    seed="S4a, S4d",
    network="celeb-cnn",
    contract=InputContract(width=150, height=150, margin=0.1),
    task="identity",
    attributes=("identity",),
    people=100,
    augmentation=NONE,
    batch=32,
    phases=(Phase(name="labels", epochs=40, learning_rate=3e-4, schedule="cosine"),),
    keep="last",
    published={"celebrities": 0.56},
    protocol="MS-Celeb, a folder a person, how many is not stated; five pictures a person, four to "
    "train and one to test, do not compare with it",
)
# The teacher's features and the bottleneck that learns them have one width.
_TAUGHT = replace(
    _CELEBRITIES, head=Head(layers=(1024, 0.5, 1024)), teacher="mobilenet", weights="none"
)

# Level eyes need less turning than whole pictures.
_GENTLE = Augmentation(
    turn=8, shift=0.06, shear=0.05, light=0.25, colour=0.12, kernel=0.25, noise=6
)
_PROPOSED_96 = Recipe(
    name="proposed-96",
    about="`proposed` at 96×96, all attributes teach, cosine schedule",
    network="proposed",
    contract=InputContract(width=96, height=96),
    augmentation=_GENTLE,
    phases=(Phase(epochs=18, learning_rate=2e-3, schedule="cosine", lowest_rate=1e-6),),
    weight_decay=0.02,
    average=0.998,
    normalised=True,
    auxiliary=0.5,
)

# Learns everything that the data sets say, to be asked by smaller networks.
_TEACHER = Recipe(
    name="teacher",
    about="MobileNet on all attributes, for --teacher",
    network="mobilenet",
    contract=InputContract(width=96, height=96),
    weights="imagenet",
    attributes=("all",),
    augmentation=_GENTLE,
    phases=(Phase(epochs=6, learning_rate=4e-4, schedule="cosine", lowest_rate=1e-6),),
    weight_decay=0.02,
    average=0.998,
    folded=True,
)
_DEFAULT = replace(
    _PROPOSED_96,
    name="default",
    about="our own network for int8, all attributes teach",
    network="compact",
    contract=InputContract(width=80, height=80),
    augmentation=replace(PHONE, turn=8, shift=0.06, shear=0.05),
    batch=128,
    phases=(Phase(epochs=36, learning_rate=3e-3, schedule="cosine", lowest_rate=1e-6),),
)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        _SIMPLE,
        replace(
            _SIMPLE,
            name="simple-cnn-augmented",
            about="the same with shifts, zoom and mirror images",
            seed="S0b",
            augmentation=S0B,
            published={"celeba": 0.8212},
        ),
        _JOINED,
        _BOTTLENECK,
        _FINE_TUNED,
        replace(
            _TWO_PHASE,
            name="inception-v3-gender",
            about="Inception V3 for gender, 15 epochs",
            seed="S1",
            network="inception-v3",
            contract=ALIGNED,
            attributes=("Male",),
            subset=(20_000, 5_000, 5_000),
            augmentation=S1,
            phases=(replace(_FROZEN, epochs=5), replace(_LOWER, epochs=10)),
            published={"celeba": 0.962},
            protocol="CelebA, balanced 20,000 / 5,000 / 5,000",
        ),
        _TWO_PHASE,
        _transferred("inception-v3", "S2b", 0.912, 0.921),
        _transferred("efficientnet-b0", "S2c", 0.922, 0.926),
        _transferred("efficientnet-b3", "S2c", 0, 0),
        replace(
            _transferred("mnasnet", "S2d", 0.921, 0.919),
            about="trained whole: nobody publishes weights for Keras",
            weights="none",
            phases=(Phase(epochs=20, learning_rate=1e-3),),
        ),
        _transferred("mobilenet-v3-large", "S2e", 0.921, 0.930),
        _transferred("mobilenet-v3-small", "S2f", 0.915, 0.921),
        _PROPOSED,
        replace(
            _PROPOSED,
            name="proposed-dropout",
            about="`proposed` with ordinary dropout",
            seed="S2h",
            network="proposed-dropout",
            published={"celeba": 0.9123, "genki4k": 0.9239},
        ),
        replace(
            _PROPOSED,
            name="proposed-3x3",
            about="`proposed` with two 3×3 convolutions for its 5×5 one",
            seed="S2i",
            network="proposed-3x3",
            published={},
        ),
        replace(
            _ADIENCE,
            name="gender-cnn",
            about="one convolution for gender",
            seed="S3a",
            network="gender-cnn",
            contract=InputContract(width=224, height=224),
            head=None,
            weights="none",
            phases=(replace(_RMSPROP, epochs=16),),
            published={"adience-val": 0.57},
        ),
        _ADIENCE,
        replace(
            _ADIENCE,
            name="inception-resnet-v2-features",
            about="a dense layer on Inception-ResNet V2's stored features",
            seed="S3c",
            network="inception-resnet-v2",
            contract=InputContract(width=224, height=224),
            head=Head(layers=(1024, 0.8)),
            phases=(replace(_STORED, epochs=300),),
            published={"adience-val": 0.889, "adience": 0.8855},
        ),
        _CELEBRITIES,
        replace(
            _CELEBRITIES,
            name="celeb-cnn-unaligned",
            about="the same on smaller faces, eyes as they are",
            seed="S4a",
            contract=InputContract(width=100, height=100, margin=0.1, align_eyes=False),
            published={},
        ),
        replace(
            _TAUGHT,
            name="celeb-cnn-two-step",
            about="identity: first the teacher's bottleneck, then the labels",
            seed="S4b",
            phases=(
                replace(_CELEBRITIES.phases[0], name="bottleneck", goal="bottleneck"),
                _CELEBRITIES.phases[0],
            ),
        ),
        replace(
            _TAUGHT,
            name="celeb-cnn-cosine",
            about="identity: labels, and the direction of the teacher's bottleneck",
            seed="S4c",
            phases=(replace(_CELEBRITIES.phases[0], goal="cosine"),),
        ),
        _transferred("mobilenet", "", 0, 0),
        replace(
            _transferred("mobilenet", "", 0, 0),
            name="mobilenet-frozen",
            about="a new head alone, for as long as `mobilenet` may take for both phases",
            phases=(replace(_FROZEN, epochs=_FROZEN.epochs + _LOWER.epochs),),
        ),
        _transferred("mobilenet-v2-0.35", "", 0, 0),
        replace(
            _transferred("mobilenet", "", 0, 0),
            name="mobilenet-cut",
            about="MobileNet cut after its sixth block",
            cut="conv_pw_6_relu",
            phases=(_FROZEN, replace(_LOWER, name="all", trains="all")),
        ),
        _PROPOSED_96,
        _DEFAULT,
        replace(
            _DEFAULT,
            name="default-taught-first",
            about="a teacher of the bundled model: the same, half of the loss from --teacher",
            phases=(replace(_DEFAULT.phases[0], goal="answers"),),
        ),
        replace(
            _DEFAULT,
            name="default-taught",
            about="the bundled model: the same, taught by the runs that --teacher names",
            phases=(replace(_DEFAULT.phases[0], goal="answers", epochs=48, teacher_weight=0.8),),
        ),
        _TEACHER,
    )
}


def recipe_named(name: str) -> Recipe:
    """Return a recipe by name.

    Raises:
        EdgeError: There is no such recipe.
    """
    if name not in RECIPES:
        raise EdgeError(f"unknown recipe {name}", f"choose one of {', '.join(RECIPES)}")
    return RECIPES[name]
