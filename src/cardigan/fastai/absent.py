"""What fastai's learners have and these have not, and what to type instead."""

_ELSEWHERE = {
    "opt": "there is one for each player: learn.optimizers",
    "opts": "there is one for each player: learn.optimizers",
    "create_opt": "they are made when they are first needed; begin with fresh ones by fit(..., reset_opt=True)",
    "set_hypers": "give rates to fit, or write them into learn.optimizers[player].param_groups",
    "freeze": "freeze a network with set_freeze_model(network, False) before fit",
    "freeze_to": "freeze a network with set_freeze_model(network, False) before fit",
    "unfreeze": "thaw a network with set_freeze_model(network, True), then fit(..., reset_opt=True)",
    "get_preds": "call learn.model(input) within torch.no_grad(), or learn.validate()",
    "predict": "call learn.model(input) within torch.no_grad()",
    "show_batch": "learn.dls.show_batch(), where the data can",
    "summary": "print(learn.model)",
    "export": "learn.save(name, with_opt=False) writes the weights, as safetensors",
    "to_fp16": "all is computed in the precision of the weights and the data; leave it out",
    "to_fp32": "all is computed in the precision of the weights and the data; leave it out",
    "progress": "the table is printed by learn.logger",
    "plot_loss": "learn.recorder.losses holds the smoothed loss after each batch",
    "plot_losses": "learn.recorder.losses holds the smoothed loss after each batch",
    "plot_sched": "there are no schedules",
    "lrs": "there are no schedules; the rates are in learn.optimizers[player].param_groups",
    **dict.fromkeys(
        ("fit_one_cycle", "fit_flat_cos", "fit_sgdr", "fine_tune"),
        "call learn.fit(epochs, rate), with a torch scheduler on learn.optimizers in a callback",
    ),
    "lr_find": "choose a rate, such as learn.fit(1, 2e-4)",
}


def absent(kind: str, name: str) -> AttributeError:
    """The error of asking for what is not there.

    Args:
        kind: of what was asked.
        name: of what it has not.

    Example:
        >>> absent("Learner", "opt")
        AttributeError('Learner has no attribute opt here: there is one for each player: learn.optimizers')
    """
    advice = _ELSEWHERE.get(name)
    return AttributeError(f"{kind} has no attribute {name}" + (f" here: {advice}" if advice else ""))
