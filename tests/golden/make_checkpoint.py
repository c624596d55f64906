#!/usr/bin/python3
"""Writes a checkpoint as PerfVec's training does, with random weights, and the
program vector that PyTorch computes from it: the oracle of
tests/worker/checkpoint. Needs Debian's python3-torch and python3-numpy.

  make_checkpoint.py OUT_DIR [--width N] [--layers N] [--architectures N]
                     [--instructions N] [--seed N]

OUT_DIR gets checkpoint.pt (model_state_dict, an Adam state, epoch and
best_loss), stats.npz (one std is 0), features.f32 (raw features, [n][51]) and
golden.f64 (the program vector, then the time on each architecture).
"""
import argparse
import os

import numpy as np
import torch
import torch.nn as nn

FEATURES = 51
WINDOW = 256


class InsLSTM(nn.Module):
    """The published class, its names and its defaults: the LSTM has biases."""

    def __init__(self, nhidden, nlayers, narchs, bias=False):
        super().__init__()
        self.lstm = nn.LSTM(FEATURES, nhidden, nlayers, batch_first=True)
        self.linear = nn.Linear(nhidden, narchs, bias=bias)

    def extract_representation(self, x):
        x, _ = self.lstm(x)
        return torch.relu(x)[:, -1, :]

    def forward(self, x):
        return self.linear(self.extract_representation(x))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--architectures", type=int, default=77)
    parser.add_argument("--instructions", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)

    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    random = np.random.default_rng(args.seed)
    model = InsLSTM(args.width, args.layers, args.architectures)
    with torch.no_grad():
        model.linear.weight.abs_()
    # One step, so that the file has an optimiser's state as real ones do.
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(2, 4, FEATURES)).sum().backward()
    optimizer.step()
    torch.save({"epoch": 3, "best_loss": 0.5,
                "optimizer_state_dict": optimizer.state_dict(),
                "model_state_dict": model.state_dict()},
               os.path.join(args.out, "checkpoint.pt"))

    features = random.integers(0, 30, (args.instructions, FEATURES))
    features = features.astype(np.float32)
    features[:, 18] = np.exp2(random.integers(0, 27, args.instructions))
    features[:, 7] = 1
    mean = features.mean(axis=0, dtype=np.float64)
    std = features.std(axis=0, dtype=np.float64)
    std[7] = 0.0
    np.savez(os.path.join(args.out, "stats"), mean=mean, std=std)
    features.tofile(os.path.join(args.out, "features.f32"))

    std[std == 0.0] = 1.0
    x = ((features - mean) / std).astype(np.float32)
    x = np.concatenate([np.zeros((WINDOW - 1, FEATURES), np.float32), x])
    total = torch.zeros(args.width, dtype=torch.float64)
    with torch.no_grad():
        for begin in range(0, args.instructions, 64):
            end = min(begin + 64, args.instructions)
            batch = np.stack([x[i:i + WINDOW] for i in range(begin, end)])
            y = model.extract_representation(torch.from_numpy(batch))
            total += y.double().sum(dim=0)
        times = model.linear.weight.double() @ total
    np.concatenate([total.numpy(), times.numpy()]).tofile(
        os.path.join(args.out, "golden.f64"))


if __name__ == "__main__":
    main()
