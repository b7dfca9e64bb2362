"""What a recipe is: everything that decides a training but the data, as plain values."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from edge.contract import InputContract
from edge.errors import EdgeError
from edge.train.augment import Augmentation

# The framing of an aligned CelebA picture of 178 by 218 pixels, which the seeds took whole.
ALIGNED = InputContract(width=178, height=218, margin=0.5)

# What weights are called beside a path; a folder of such a name is none.
WORDS = ("imagenet", "none")

Task = Literal["attributes", "identity"]
Optimizer = Literal["adam", "rmsprop", "sgd"]
Goal = Literal["labels", "bottleneck", "cosine", "answers"]


@dataclass(frozen=True, kw_only=True)
class Head:
    """The end of a network.

    Args:
        pool: "average" over all places, or "flatten" to keep them.
        layers: In order: a whole number is a dense layer of that width with ReLU, a fraction the
            rate of a dropout.
    """

    pool: Literal["average", "flatten"] = "average"
    layers: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        if self.pool not in ("average", "flatten"):
            raise EdgeError(f"pool of a head is {self.pool}", "choose average or flatten")
        for layer in self.layers:
            if layer <= 0 or (layer >= 1 and layer != int(layer)):
                raise EdgeError(
                    f"layer of a head is {layer}", "a width of 1 or more, or a rate below 1"
                )

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths of the dense layers; the last one is the bottleneck."""
        return tuple(int(layer) for layer in self.layers if layer >= 1)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One part of a training, from the best weights of the one before.

    Args:
        name: What reports call it.
        epochs: Most passes over the training pictures.
        trains: "all", "head" (what stands on the pooled features), "last block" (of the body, and
            the head), or the name of the first layer that learns.
        optimizer: "adam" (β 0.9 and 0.999), "rmsprop" or "sgd".
        learning_rate: First (and highest) rate.
        schedule: "plateau" divides the rate by ten when the validation loss stops falling;
            "cosine" lets it fall to `lowest_rate` over the epochs, after a short warm-up;
            "constant" leaves it.
        lowest_rate: Where the rate stops falling.
        patience: Epochs without a better validation loss before the rate falls ("plateau"); after
            as many at the lowest one the phase stops.
        stored: What does not learn is computed once a picture and kept on disk; the pictures
            are not augmented then. Wants `trains="head"`.
        statistics: Whether batch normalisation follows the batches; False keeps what it has.
        first_only: Train on the first data set alone.
        goal: What the loss compares: "labels" alone; "bottleneck", the squared distance from the
            teacher's features and no labels; "cosine", labels plus the cosine distance from the
            teacher's features; "answers", labels plus the cross-entropy with the teacher's own
            answers.
        teacher_weight: Share of the teacher in the loss of "cosine" (added) and "answers" (of 1).
    """

    name: str = "train"
    epochs: int = 60
    trains: str = "all"
    optimizer: Optimizer = "adam"
    learning_rate: float = 1e-4
    schedule: Literal["plateau", "cosine", "constant"] = "plateau"
    lowest_rate: float = 1e-7
    patience: int = 3
    stored: bool = False
    statistics: bool = True
    first_only: bool = False
    goal: Goal = "labels"
    teacher_weight: float = 0.5

    def __post_init__(self) -> None:
        if self.stored and self.trains != "head":
            raise EdgeError(
                f"phase {self.name} stores features but trains {self.trains}",
                "let it train the head",
            )
        if self.schedule != "constant" and self.lowest_rate > self.learning_rate:
            raise EdgeError(
                f"phase {self.name} begins at a rate of {self.learning_rate:g}, below its lowest "
                f"of {self.lowest_rate:g}",
                "begin higher, or let it fall further",
            )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained.

    Args:
        name: What `--recipe` calls it.
        about: One line for `edge train --list`.
        seed: Row of the table of seeds that it reproduces; empty for our own.
        network: Name in `edge.train.networks.NETWORKS`.
        contract: How faces are cut.
        head: What stands on the features; None takes the network's own.
        cut: Last layer of the body that is kept; empty keeps all.
        weights: What the body starts from: "imagenet" or "none"; `--weights` overrules it.
        teacher: Network whose published weights teach; `--teacher` names a run instead.
        task: "attributes", or "identity" for a softmax over people.
        attributes: What is learnt where `--attributes` does not say.
        people: How many people the task "identity" tells apart.
        subset: Balanced (train, val, test) counts of the first data set where `--subset` does
            not say; None takes all.
        dropout: Rate of each dropout of the body.
        augmentation: How far faces are changed.
        batch: Faces a step.
        phases: In order.
        keep: Weights of the "best" epoch by validation loss, or of the "last" one.
        weight_decay: Decoupled weight decay of kernels, a share of the rate.
        average: Momentum of an exponential average of the weights that is validated and saved
            in their stead; 0 keeps the weights themselves.
        normalised: Train with batch normalisation and fold it away at the end, for a network that
            has none.
        folded: Fold the batch normalisation that a network brings into its convolutions before
            training: its statistics stay what they were, and cost nothing.
        auxiliary: Weight in the loss of every other attribute of the data sets, which teach the
            features and are cut off at the end; 0 trains on the asked-for attributes alone.
        class_weights: True weighs yes and no of each attribute so that both count alike.
        threshold: Where yes begins: "half", or the value of best accuracy on "validation".
        published: What its source reports, by data set: accuracy 0 to 1.
        protocol: What its source trained on and tested with.
    """

    name: str
    about: str
    seed: str = ""
    network: str
    contract: InputContract
    head: Head | None = None
    cut: str = ""
    weights: Literal["imagenet", "none"] = "none"
    teacher: str = ""
    task: Task = "attributes"
    attributes: tuple[str, ...] = ("Smiling", "Male")
    people: int = 0
    subset: tuple[int, int, int] | None = None
    dropout: float = 0.1
    augmentation: Augmentation = field(default_factory=Augmentation)
    batch: int = 64
    phases: tuple[Phase, ...] = (Phase(),)
    keep: Literal["best", "last"] = "best"
    weight_decay: float = 0.0
    average: float = 0.0
    normalised: bool = False
    folded: bool = False
    auxiliary: float = 0.0
    class_weights: bool = False
    threshold: Literal["half", "validation"] = "half"
    published: dict[str, float] = field(default_factory=dict)
    protocol: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as plain JSON values; the contract stands beside it."""
        values = asdict(self)
        del values["contract"]
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any], contract: InputContract) -> "Recipe":
        """Read back what `to_json` returned."""
        values = dict(values)
        values["augmentation"] = Augmentation(**values["augmentation"])
        values["head"] = Head(**values["head"]) if values["head"] else None
        values["phases"] = tuple(Phase(**phase) for phase in values["phases"])
        values["attributes"] = tuple(values["attributes"])
        values["subset"] = tuple(values["subset"]) if values["subset"] else None
        return cls(contract=contract, **values)
