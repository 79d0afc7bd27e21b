"""Settings in words, as fields are labelled with; the dotted name by which they are set stands below."""

TITLES = {
    "attack.norm": "Norm of the attack",
    "attack.eps": "Budget eps",
    "attack.steps": "Attack steps",
    "attack.step_size": "Attack step size",
    "attack.start": "Start of the attack",
    "attack.bn_mode": "BatchNorm while attacking",
    "averaging.decay": "Decay of the averages",
    "averaging.start_epoch": "First averaged epoch",
    "averaging.threshold": "Threshold of FAWA's gate",
    "averaging.gate": "What FAWA's gate looks at",
    "averaging.batch_norm": "BatchNorm of the averages",
    "data.val_fraction": "Share held out for validation",
    "data.imbalance_ratio": "Imbalance ratio",
    "data.split_seed": "Seed of the split",
    "data.split_order": "Which images validate",
    "data.augment": "Augmentation",
    "optimizer.lr": "Learning rate",
    "optimizer.momentum": "Momentum",
    "optimizer.nesterov": "Nesterov momentum",
    "optimizer.weight_decay": "Weight decay",
    "optimizer.milestones": "Drops of the learning rate",
    "optimizer.gamma": "Factor of a drop",
    "train.epochs": "Epochs",
    "train.batch_size": "Batch size",
    "train.batch_parts": "Parts of a batch",
    "train.precision": "Arithmetic",
    "train.compile": "Compile the network",
    "train.graphs": "Replay steps as graphs",
    "train.keep_every": "Keep weights every so many epochs",
    "train.select_on": "Split that chooses the checkpoint",
    "train.test_probe": "Test accuracy of every epoch",
    "train.official_passes": "Extra passes of the official code",
    "method.beta": "Robust weight beta",
    "method.tau": "Steps beyond the boundary, tau",
    "method.warmup_epochs": "Warm-up epochs",
    "method.lambda_eps": "Calibration of eps, lambda",
    "method.lambda_beta": "Calibration of beta, lambda",
    "method.eps_min": "Smallest eps of a class",
    "method.eps_max": "Largest eps of a class",
    "method.clean_bound": "Bound of clean errors",
    "method.boundary_bound": "Bound of boundary errors",
    "method.weight_rate": "Rate of the weights",
    "method.eps_rate": "Rate of eps",
    "method.weight_limit": "Limit of the weights",
    "method.awp_gamma": "Perturbation of the weights, gamma",
    "method.awp_start": "First epoch with perturbed weights",
    "method.companion": "Network trained beside it",
    "method.helper_epochs": "Epochs of the helper",
    "method.momentum": "Momentum of the classes' scores",
}

OTHERS = {
    "dataset": "Data set",
    "method": "Methods",
    "model": "Model",
    "preset": "Preset",
    "seeds": "Seeds",
    "init": "Start from",
    "teacher": "Teacher",
    "name": "Name",
    "then": "Then evaluate with",
    "tags": "Tags",
}


def setting_title(name: str) -> str:
    """Say a setting in words; a method's own by its own name, where that is not another setting's too."""
    if name in TITLES:
        return TITLES[name]
    words = OTHERS.get(name) or name.rpartition(".")[2].replace("_", " ")
    title = words[:1].upper() + words[1:]
    return f"{title} of the method" if title in TITLES.values() else title
