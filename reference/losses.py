"""torch.nn.CrossEntropyLoss with label smoothing, class weights and mixed targets, and its gradient, in float64."""

import torch

from golden import digits
from philox import uniform, words

SEED, ROWS, CLASSES = 20151210, 7, 5
WEIGHTS = [0.5, 2.0, 1.0, 0.25, 3.0]

CASES = {
    "plain": {},
    "smoothed": {"label_smoothing": 0.1},
    "weighted": {"class_weights": WEIGHTS},
    "weighted_without_a_class": {"class_weights": [1.0, 0.0, 2.0, 1.0, 1.0]},
    "smoothed_weighted": {"label_smoothing": 0.25, "class_weights": WEIGHTS},
    "all_smooth": {"label_smoothing": 1.0},
    "mixed": {"mixed": True},
    "mixed_smoothed": {"mixed": True, "label_smoothing": 0.1},
    "mixed_weighted": {"mixed": True, "class_weights": WEIGHTS},
    "mixed_smoothed_weighted": {"mixed": True, "label_smoothing": 0.1, "class_weights": WEIGHTS},
}


def _loss(logits, labels, second, mix, options):
    weights = options.get("class_weights")
    weight = None if weights is None else torch.tensor(weights, dtype=torch.float64)

    def cross_entropy(targets, reduction):
        return torch.nn.CrossEntropyLoss(weight=weight, label_smoothing=options.get("label_smoothing", 0),
                                         reduction=reduction)(logits, targets)

    if not options.get("mixed"):
        return cross_entropy(labels, "mean")
    # As mixup's reference code, with a share of its own for each example; divided by the weights as "mean" does.
    mixed = mix * cross_entropy(labels, "none") + (1 - mix) * cross_entropy(second, "none")
    share = torch.ones_like(mix) if weight is None else mix * weight[labels] + (1 - mix) * weight[second]
    return mixed.sum() / share.sum()


def losses():
    count = ROWS * CLASSES
    logits = torch.tensor(4 * uniform(SEED, "loss/logits", count).astype("float64") - 2).reshape(ROWS, CLASSES)
    labels, second = (torch.tensor(words(SEED, f"loss/{name}", ROWS).astype("int64") % CLASSES)
                      for name in ("labels", "mixed_labels"))
    mix = torch.tensor(uniform(SEED, "loss/mix", ROWS).astype("float64"))
    mix[0], mix[1] = 1, 0
    cases = []
    for name, options in CASES.items():
        given = logits.clone().requires_grad_()
        loss = _loss(given, labels, second, mix, options)
        loss.backward()
        cases.append({"name": name, "options": options, "loss": digits(loss.item(), 15),
                      "gradient": [digits(g, 15) for g in given.grad.flatten()]})
    return {"torch": torch.__version__, "shape": [ROWS, CLASSES], "logits": logits.flatten().tolist(),
            "labels": labels.tolist(), "mixed_labels": second.tolist(), "mix": mix.tolist(), "losses": cases}
