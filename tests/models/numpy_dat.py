"""DAT in NumPy and float64, person by person and head by head, from the paper."""

import numpy as np

MAX_ABS, CLIP = 1e8, 10.0


def read_feature(x, present, times, center, inverse_scale, missing_value, layer):
    """One person's feature at `times` (in samples): loops over entries and frames."""
    rows, there = [], []
    for row, valid in zip(x, present, strict=True):
        usable = np.isfinite(row) & (np.abs(row) <= MAX_ABS)
        if missing_value is not None:
            usable &= row != missing_value
        kept = inverse_scale > 0
        enough = (usable & kept).sum() >= kept.sum() / 2
        # A row of zeros of a narrow stream is data.
        written = len(row) < 8 or (row[kept] != 0).any()
        there.append(bool(valid and enough and written))
        z = np.where(usable, (row - center) * inverse_scale, 0.0)
        rows.append(np.clip(z, -CLIP, CLIP) @ layer["kernel"] + layer["bias"])
    sequence = []
    for time in times:
        time = round(time) if abs(time - round(time)) < 1e-2 else time
        time = min(max(time, 0.0), len(rows) - 1.0)
        left = int(np.floor(time))
        right = min(left + 1, len(rows) - 1)
        share = time - left
        found = [(rows[left], 1 - share)] * there[left]
        found += [(rows[right], share)] * there[right]
        total = sum(weight for _, weight in found)
        sequence.append(
            sum(weight / total * value for value, weight in found) if total else None
        )
    return sequence


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def layer_norm(x, p):
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5) * p["scale"] + p["bias"]


def attend(x, source, p, num_heads):
    """Attention of frames on all frames of `source`, one head and query at a time."""
    inner = p["query"]["kernel"].shape[1]
    width = inner // num_heads
    query = x @ p["query"]["kernel"]
    key = source @ p["key_value"]["kernel"][:, :inner]
    value = source @ p["key_value"]["kernel"][:, inner:]
    out = np.zeros((len(x), inner))
    for head in range(num_heads):
        part = slice(head * width, (head + 1) * width)
        for t in range(len(x)):
            logits = key[:, part] @ query[t, part] / np.sqrt(width)
            weight = np.exp(logits - logits.max())
            out[t, part] = weight / weight.sum() @ value[:, part]
    return out @ p["out"]["kernel"] + p["out"]["bias"]


def transformer(x, p, num_heads, partners=None):
    """`partners` are the sequences of those that are there; None: `x` itself."""
    x = x + p["positions"]
    for name in sorted(p["blocks"]):
        block = p["blocks"][name]
        normed = layer_norm(x, block["attention_norm"])
        if partners is None:
            x = x + attend(normed, normed, block["attention"], num_heads)
        elif partners:
            source = np.concatenate([y + p["positions"] for y in partners])
            x = x + attend(normed, source, block["attention"], num_heads)
        hidden = layer_norm(x, block["ffn_norm"]) @ block["up"]["kernel"]
        hidden = gelu(hidden + block["up"]["bias"])
        x = x + hidden @ block["down"]["kernel"] + block["down"]["bias"]
    return x


def encode(p, batch, row, person, statistics, config):
    """One person's sequences, group by group."""
    window, num_heads = config.data.window, config.model.num_heads
    groups = {}
    for feature in config.data.features:
        name = feature.name
        start, rate = (batch[k][name][row, person] for k in ("first_time", "rate"))
        frames = read_feature(
            batch["features"][name][row, person].astype(np.float64),
            batch["feature_valid"][name][row, person],
            (np.arange(window.window_frames) / window.frame_hz - start) * rate,
            *statistics[name],
            feature.missing_value,
            p["inputs"][name]["project"],
        )
        missing = p["inputs"][name]["missing"]
        x = np.stack([missing if frame is None else frame for frame in frames])
        x = transformer(gelu(x), p["features"][name], num_heads)
        groups.setdefault(feature.group, []).append(x)
    return {
        group: transformer(np.concatenate(parts, axis=1), p["stacks"][group], num_heads)
        for group, parts in groups.items()
    }


def score(params, batch, statistics, config):
    """Engagement at the label times, [B, Tl]."""
    frame_hz, scores = config.data.window.frame_hz, []
    for row, valid in enumerate(batch["participant_valid"]):
        args = (batch, row)
        target = encode(params["target"], *args, 0, statistics, config)
        partners = [
            encode(params["partner"], *args, person, statistics, config)
            for person in range(1, len(valid))
            if valid[person]
        ]
        hidden = np.concatenate(
            [
                transformer(
                    x, params["dialogue"][group], config.model.num_heads,
                    partners=[partner[group] for partner in partners],
                )
                for group, x in target.items()
            ],
            axis=1,
        )  # fmt: skip
        at = batch["label_time"][row].astype(np.float64) * frame_hz
        hidden = np.stack(
            [np.interp(at, np.arange(len(hidden)), column) for column in hidden.T], 1
        )
        hidden = layer_norm(hidden, params["head_norm"])
        logit = hidden @ params["head"]["kernel"] + params["head"]["bias"]
        scores.append(1 / (1 + np.exp(-logit[:, 0])))
    return np.stack(scores)
