"""Training steps of PyTorch + timm, for a driver that interleaves them with the trainer's.

usage: python bench/training.py NETWORK [--precision f32|bf16] [--freeze] [--batch N] [--size PX] [--threads N]
NETWORK: mobilenet_v1 | mobilenet_v2 | densenet121
--freeze: the modules that hold the layers which `etalase-trainer` freezes by default, their batch norms in evaluation mode

Protocol, a JSON object a line on stdout: first {"version", "trained_parameters", "settings"}; then for each line "run N"
on stdin {"step_seconds": [N times]}. End of input ends it.
A step is what `etalase-trainer benchmark` times as a bare step: u8 photos to normalized floats, forward in training mode
with dropout, cross-entropy, backward, AdamW, and the loss read. bf16 is autocast. Of both memory layouts the one that is
faster here is taken; AdamW is the fused one. Left out: reading and augmenting photos; torch.compile, whose minutes of
compilation few fine-tunings would earn back.
"""

import argparse
import json
import os
import sys
import time

import timm
import torch
from torch import nn

# timm's name, and the modules of the first layers.
NETWORKS = {
    "mobilenet_v1": ("mobilenetv1_100", ["conv_stem", "bn1", "blocks.0", "blocks.1"]),
    "mobilenet_v2": ("mobilenetv2_100", ["conv_stem", "bn1", "blocks.0", "blocks.1"]),
    "densenet121": (
        "densenet121",
        ["features.conv0", "features.norm0", "features.denseblock1", "features.transition1"],
    ),
}
CLASSES = 10
LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


class Trainer:
    """One network with its optimizer and a batch of random photos."""

    def __init__(self, arguments, layout):
        torch.manual_seed(1)
        name, first = NETWORKS[arguments.network]
        self.model = timm.create_model(name, pretrained=False, num_classes=CLASSES, drop_rate=0.2)
        self.model = self.model.to(memory_format=layout).train()
        for module in (self.model.get_submodule(path) for path in first if arguments.freeze):
            module.requires_grad_(False).eval()
        self.layout, self.bf16 = layout, arguments.precision == "bf16"
        self.trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=3e-4, weight_decay=0.02, fused=True)
        shape = [arguments.batch, arguments.size, arguments.size, 3]
        self.photos = torch.randint(256, shape, dtype=torch.uint8).permute(0, 3, 1, 2).contiguous(memory_format=layout)
        self.targets = torch.randint(CLASSES, [arguments.batch])

    def step(self):
        """Seconds that one takes."""
        start = time.perf_counter()
        photos = self.photos.float().sub_(128.0).div_(127.5)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            loss = nn.functional.cross_entropy(self.model(photos), self.targets)
        loss.backward()
        self.optimizer.step()
        value = loss.item()
        seconds = time.perf_counter() - start
        if value != value:
            sys.exit("the loss is no number")
        return seconds


def main():
    parser = argparse.ArgumentParser(description="Times training steps of PyTorch + timm")
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--freeze", action="store_true")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    # Stdout for answers alone.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(value):
        print(json.dumps(value), file=out, flush=True)

    torch.set_num_threads(arguments.threads)
    trainers = {name: Trainer(arguments, layout) for name, layout in LAYOUTS.items()}
    # In turns, as the machine has its moods; each one's first step warms up.
    rounds = [{name: trainer.step() for name, trainer in trainers.items()} for _ in range(4)]
    chosen = min(trainers, key=lambda name: min(seconds[name] for seconds in rounds[1:]))
    trainer = trainers.pop(chosen)
    trainers.clear()
    trained = sum(parameter.numel() for parameter in trainer.trained)
    version = f"{torch.__version__} timm {timm.__version__}"
    answer({"version": version, "trained_parameters": trained, "settings": chosen})
    for line in sys.stdin:
        command, _, count = line.strip().partition(" ")
        if command != "run" or not count.isdecimal() or int(count) == 0:
            sys.exit(f"not understood: {line.strip()!r}; known: run N")
        answer({"step_seconds": [round(trainer.step(), 5) for _ in range(int(count))]})


if __name__ == "__main__":
    main()
