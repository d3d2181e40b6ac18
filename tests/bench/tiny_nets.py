"""Small networks and sequences of their updates, made with numpy alone.

Each kind is one way in which models are updated, a pair of functions:

    files_of(seed)     list of {name: float32 array}: the model that runs and
                       its updates
    tester_of(seed)    function of such a model: (accuracy in points, mean loss)
                       on data that no model was trained on

Needs numpy, for the digits scikit-learn (its copy of the UCI digits), for the
text the licences below /usr/share/common-licenses. The same seed gives the same
sequence on one machine; another may round otherwise.
"""
import json
import struct

import numpy as np

TEXTS = "/usr/share/common-licenses/"
BASE_TEXTS = ("GPL-2", "GPL-3", "LGPL-2.1")
NEW_TEXTS = ("GFDL-1.3", "MPL-1.1", "MPL-2.0", "Apache-2.0")


# Reverse differentiation: each operation returns its value and appends to the
# tape what turns the gradient of the value into those of its arguments.

class Var:
    def __init__(self, data):
        self.data = data
        self.grad = None

    def add(self, grad):
        self.grad = grad if self.grad is None else self.grad + grad


class Tape:
    def __init__(self):
        self.steps = []

    def push(self, data, back):
        out = Var(data)
        self.steps.append((out, back))
        return out

    def backward(self):
        for out, back in reversed(self.steps):
            if out.grad is not None:
                back(out.grad)

    def linear(self, x, weight, bias):
        def back(g):
            rows = g.reshape(-1, g.shape[-1])
            x.add(g @ weight.data)
            weight.add(rows.T @ x.data.reshape(-1, x.data.shape[-1]))
            bias.add(rows.sum(0))
        return self.push(x.data @ weight.data.T + bias.data, back)

    def relu(self, x):
        return self.push(np.maximum(x.data, 0),
                         lambda g: x.add(g * (x.data > 0)))

    def plus(self, x, y):
        def back(g):
            x.add(g)
            y.add(g)
        return self.push(x.data + y.data, back)

    def flat(self, x):
        shape = x.data.shape
        return self.push(x.data.reshape(shape[0], -1),
                         lambda g: x.add(g.reshape(shape)))

    def embed(self, table, index):
        def back(g):
            grad = np.zeros_like(table.data)
            np.add.at(grad, index, g)
            table.add(grad)
        return self.push(table.data[index], back)

    def norm(self, x, gain, bias):
        mean = x.data.mean(-1, keepdims=True)
        scale = 1 / np.sqrt(x.data.var(-1, keepdims=True) + 1e-5)
        unit = (x.data - mean) * scale

        def back(g):
            width = g.shape[-1]
            gain.add((g * unit).reshape(-1, width).sum(0))
            bias.add(g.reshape(-1, width).sum(0))
            h = g * gain.data
            x.add(scale * (h - h.mean(-1, keepdims=True) -
                           unit * (h * unit).mean(-1, keepdims=True)))
        return self.push(unit * gain.data + bias.data, back)

    def conv(self, x, weight, bias):
        """3 x 3 with a border of zeros; x is image, row, column, channel."""
        n, high, wide, deep = x.data.shape
        pad = np.pad(x.data, ((0, 0), (1, 1), (1, 1), (0, 0)))
        at = [(i, j) for i in range(3) for j in range(3)]
        seen = np.concatenate([pad[:, i:i + high, j:j + wide] for i, j in at],
                              -1).reshape(n * high * wide, -1)
        flat = weight.data.transpose(0, 2, 3, 1).reshape(len(weight.data), -1)

        def back(g):
            g = g.reshape(-1, g.shape[-1])
            grad = (g.T @ seen).reshape(-1, 3, 3, deep)
            weight.add(np.ascontiguousarray(grad.transpose(0, 3, 1, 2)))
            bias.add(g.sum(0))
            if deep == 1:  # the image
                return
            parts = (g @ flat).reshape(n, high, wide, 9, deep)
            grad = np.zeros_like(pad)
            for k, (i, j) in enumerate(at):
                grad[:, i:i + high, j:j + wide] += parts[:, :, :, k]
            x.add(grad[:, 1:-1, 1:-1])
        out = (seen @ flat.T + bias.data).reshape(n, high, wide, -1)
        return self.push(out, back)

    def pool(self, x):
        n, high, wide, depth = x.data.shape
        parts = x.data.reshape(n, high // 2, 2, wide // 2, 2, depth)

        def back(g):
            x.add(np.repeat(np.repeat(g, 2, 1), 2, 2) / 4)
        return self.push(parts.mean((2, 4)), back)

    def attend(self, qkv, heads):
        """Causal attention of queries, keys and values side by side."""
        n, length, width = qkv.data.shape
        deep = width // 3 // heads
        q, k, v = (a.transpose(0, 2, 1, 3) for a in np.split(
            qkv.data.reshape(n, length, 3 * heads, deep), 3, 2))
        scale = np.float32(1 / np.sqrt(deep))
        score = q @ k.transpose(0, 1, 3, 2) * scale
        score += np.triu(np.full((length, length), -1e9, np.float32), 1)
        p = softmax(score)

        def back(g):
            g = g.reshape(n, length, heads, deep).transpose(0, 2, 1, 3)
            dp = g @ v.transpose(0, 1, 3, 2)
            ds = p * (dp - (dp * p).sum(-1, keepdims=True)) * scale
            parts = (ds @ k, ds.transpose(0, 1, 3, 2) @ q,
                     p.transpose(0, 1, 3, 2) @ g)
            qkv.add(np.concatenate([a.transpose(0, 2, 1, 3) for a in parts],
                                   2).reshape(n, length, width))
        out = (p @ v).transpose(0, 2, 1, 3).reshape(n, length, width // 3)
        return self.push(out, back)

    def cross_entropy(self, x, wanted):
        logits = x.data.reshape(-1, x.data.shape[-1])
        wanted = wanted.reshape(-1)
        p = softmax(logits)
        rows = np.arange(len(wanted))
        loss = -np.log(p[rows, wanted] + 1e-30).mean()
        p[rows, wanted] -= 1
        x.add((p / np.float32(len(wanted))).reshape(x.data.shape))
        return float(loss)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# Networks: weights by name, and their output.

def dense(rng, out, model, name, *shape):
    fan = int(np.prod(shape))
    model[name + ".weight"] = rng.normal(
        0, np.sqrt(2 / fan), (out,) + shape).astype(np.float32)
    model[name + ".bias"] = np.zeros(out, np.float32)


def layer(model, name):
    return model[name + ".weight"], model[name + ".bias"]


def mlp_new(rng, widths):
    model = {}
    for i, (a, b) in enumerate(zip(widths, widths[1:])):
        dense(rng, b, model, "layer%d" % i, a)
    return model


def mlp_run(tape, model, x):
    x = Var(x.reshape(len(x), -1))
    count = len(model) // 2
    for i in range(count):
        x = tape.linear(x, *layer(model, "layer%d" % i))
        x = tape.relu(x) if i + 1 < count else x
    return x


def conv_new(rng):
    model = {}
    dense(rng, 16, model, "conv0", 1, 3, 3)
    dense(rng, 32, model, "conv1", 16, 3, 3)
    dense(rng, 32, model, "conv2", 32, 3, 3)
    dense(rng, 96, model, "full", 4 * 4 * 32)
    dense(rng, 10, model, "head", 96)
    return model


def conv_run(tape, model, x):
    x = tape.relu(tape.conv(Var(x[..., None]), *layer(model, "conv0")))
    x = tape.pool(tape.relu(tape.conv(x, *layer(model, "conv1"))))
    y = tape.relu(tape.conv(x, *layer(model, "conv2")))
    x = tape.flat(tape.plus(x, y))
    x = tape.relu(tape.linear(x, *layer(model, "full")))
    return tape.linear(x, *layer(model, "head"))


def text_new(rng, chars, length, width, layers):
    model = {"chars": rng.normal(0, 0.05, (chars, width)).astype(np.float32),
             "places": rng.normal(0, 0.05, (length, width)).astype(np.float32)}
    for i in range(layers):
        name = "block%d." % i
        dense(rng, 3 * width, model, name + "qkv", width)
        dense(rng, width, model, name + "mix", width)
        dense(rng, 4 * width, model, name + "up", width)
        dense(rng, width, model, name + "down", 4 * width)
    for name in [n[:-10] for n in model if n.endswith("qkv.weight")]:
        for norm in ("norm0", "norm1"):
            model[name + norm + ".weight"] = np.ones(width, np.float32)
            model[name + norm + ".bias"] = np.zeros(width, np.float32)
    dense(rng, chars, model, "head", width)
    return model


def text_run(tape, model, index):
    x = tape.embed(model["chars"], index)
    places = tape.embed(model["places"], np.arange(index.shape[1])[None].repeat(
        len(index), 0))
    x = tape.plus(x, places)
    for i in range(sum(n.endswith("qkv.weight") for n in model)):
        name = "block%d." % i
        y = tape.norm(x, *layer(model, name + "norm0"))
        y = tape.attend(tape.linear(y, *layer(model, name + "qkv")), 4)
        x = tape.plus(x, tape.linear(y, *layer(model, name + "mix")))
        y = tape.norm(x, *layer(model, name + "norm1"))
        y = tape.relu(tape.linear(y, *layer(model, name + "up")))
        x = tape.plus(x, tape.linear(y, *layer(model, name + "down")))
    return tape.linear(x, *layer(model, "head"))


def gradients(run, model, x, y):
    tape = Tape()
    variables = {name: Var(data) for name, data in model.items()}
    tape_loss = tape.cross_entropy(run(tape, variables, x), y)
    tape.backward()
    return {name: v.grad for name, v in variables.items()}, tape_loss


class Momentum:
    def __init__(self, rate):
        self.rate, self.speed = rate, {}

    def step(self, model, grads):
        for name, g in grads.items():
            speed = 0.9 * self.speed.get(name, 0) + g
            self.speed[name] = speed
            model[name] = (model[name] - self.rate * speed).astype(np.float32)


class Adam:
    def __init__(self, rate):
        self.rate, self.count, self.mean, self.square = rate, 0, {}, {}

    def step(self, model, grads):
        self.count += 1
        for name, g in grads.items():
            self.mean[name] = 0.9 * self.mean.get(name, 0) + 0.1 * g
            self.square[name] = 0.99 * self.square.get(name, 0) + 0.01 * g * g
            m = self.mean[name] / (1 - 0.9 ** self.count)
            s = self.square[name] / (1 - 0.99 ** self.count)
            model[name] = (model[name] - self.rate * m /
                           (np.sqrt(s) + 1e-8)).astype(np.float32)


def epoch(rng, run, model, by, x, y, change=None, batch=32):
    order = rng.permutation(len(x))
    for at in range(0, len(x), batch):
        part = order[at:at + batch]
        some = change(rng, x[part]) if change else x[part]
        by.step(model, gradients(run, model, some, y[part])[0])


def tester(run, x, y, batch=512):
    def evaluate(model):
        variables = {name: Var(data) for name, data in model.items()}
        right = loss = count = 0
        for at in range(0, len(x), batch):
            wanted = y[at:at + batch].reshape(-1)
            out = run(Tape(), variables, x[at:at + batch]).data
            p = softmax(out.reshape(len(wanted), -1))
            right += (p.argmax(-1) == wanted).sum()
            loss -= np.log(p[np.arange(len(wanted)), wanted] + 1e-30).sum()
            count += len(wanted)
        return 100 * float(right) / count, float(loss) / count
    return evaluate


def copy(model):
    return dict(model)


def tuned(rng, run, model, x, y, updates, rate, change=None):
    """A file an epoch, the rate falling to a tenth."""
    files, by = [copy(model)], Momentum(rate)
    for i in range(updates):
        turn = (1 + np.cos(np.pi * i / max(updates - 1, 1))) / 2
        by.rate = rate * (0.1 + 0.9 * turn)
        epoch(rng, run, model, by, x, y, change)
        files.append(copy(model))
    return files


# Digits: 8 x 8 pixels, 1,197 to train, 600 to test at five places each.

PLACES = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
TEST_PLACES = [(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)]


def moved(x, place):
    pad = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    i, j = place
    return pad[:, 1 + i:9 + i, 1 + j:9 + j]


def moved_each(rng, x):
    out = np.empty_like(x)
    which = rng.integers(0, len(PLACES), len(x))
    for k, place in enumerate(PLACES):
        out[which == k] = moved(x[which == k], place)
    return out


def digits(seed):
    """Images and classes to train with, images and classes to test."""
    from sklearn.datasets import load_digits
    data = load_digits()
    order = np.random.default_rng(seed).permutation(len(data.target))
    x = (data.images[order] / 8 - 1).astype(np.float32)
    y = data.target[order]
    test = np.concatenate([moved(x[1197:], place) for place in TEST_PLACES])
    return x[:1197], y[:1197], test, np.tile(y[1197:], len(TEST_PLACES))


def digits_tuned(run, new, more, seed):
    """Eight epochs of fine-tuning: on images that the base did not see (more),
    or, when it saw them all in the middle, on the same at other places."""
    rng = np.random.default_rng([seed, 1])
    x, y, _, _ = digits(seed)
    model, by = new(rng), Momentum(0.02)
    first = 600 if more else len(x)
    for i in range(15):
        by.rate = 0.02 if i < 10 else 0.005
        epoch(rng, run, model, by, x[:first], y[:first],
              moved_each if more else None)
    if more:
        x, y = x[first:], y[first:]
    return tuned(rng, run, model, x, y, 8, 0.002, moved_each)


def digits_federated(run, new, seed):
    """Ten rounds: eight clients, half of the images of each of one class or
    two; all train for two epochs, their mean is the next model."""
    rng = np.random.default_rng([seed, 1])
    x, y, _, _ = digits(seed)
    model, by = new(rng), Momentum(0.02)
    for i in range(12):
        by.rate = 0.02 if i < 8 else 0.005
        epoch(rng, run, model, by, x[:300], y[:300], moved_each)
    x, y = x[300:], y[300:]
    owner = np.where(rng.random(len(y)) < 0.5, (y * 4 // 5) % 8,
                     rng.integers(0, 8, len(y)))
    share = np.bincount(owner, minlength=8) / len(owner)
    files = [copy(model)]
    for _ in range(10):
        parts = []
        for client in range(8):
            own = copy(files[-1])
            by = Momentum(0.01)
            for _ in range(2):
                epoch(rng, run, own, by, x[owner == client],
                      y[owner == client], moved_each)
            parts.append(own)
        files.append({name: sum(s * p[name] for s, p in zip(share, parts))
                      .astype(np.float32) for name in model})
    return files


def digits_kind(run, files_of):
    return (files_of, lambda seed: tester(run, *digits(seed)[2:]))


# Made-up data: classes as a fixed random network tells them, which then changes
# a little.

def teachers(seed):
    rng = np.random.default_rng([seed, 2])
    first = mlp_new(rng, (32, 48, 8))
    later = {name: (first[name] + 0.1 * other).astype(np.float32)
             for name, other in mlp_new(rng, (32, 48, 8)).items()}
    return first, later


def taught(rng, teacher, count):
    x = rng.normal(0, 1, (count, 32)).astype(np.float32)
    variables = {name: Var(d) for name, d in teacher.items()}
    return x, mlp_run(Tape(), variables, x).data.argmax(-1)


def drift_files(seed):
    """Six updates on new data each."""
    rng = np.random.default_rng([seed, 1])
    first, later = teachers(seed)
    model, by = mlp_new(rng, (32, 256, 192, 8)), Momentum(0.02)
    x, y = taught(rng, first, 16000)
    for i in range(8):
        by.rate = 0.02 if i < 5 else 0.004
        epoch(rng, mlp_run, model, by, x, y, None, 64)
    files, by = [copy(model)], Momentum(0.002)
    for _ in range(6):
        x, y = taught(rng, later, 4000)
        epoch(rng, mlp_run, model, by, x, y, None, 64)
        files.append(copy(model))
    return files


def drift_tester(seed):
    rng = np.random.default_rng([seed, 3])
    return tester(mlp_run, *taught(rng, teachers(seed)[1], 20000))


# Text: the next character, of licences.

LENGTH = 64


def read_texts(names):
    parts = []
    for name in names:
        with open(TEXTS + name, "rb") as file:
            parts.append(np.frombuffer(file.read(), np.uint8).astype(np.int64))
    return np.concatenate(parts) % 128


def windows(text, at):
    x = text[at[:, None] + np.arange(LENGTH + 1)]
    return x[:, :-1], x[:, 1:]


def new_text(seed):
    """Every fourth stretch of 1,024 characters of the new text is kept for the
    test: what to train with, what to test with."""
    text = read_texts(NEW_TEXTS)
    stretches = [text[i:i + 1024] for i in range(0, len(text) - 1024, 1024)]
    return (np.concatenate([s for i, s in enumerate(stretches)
                            if i % 4 != seed % 4]),
            np.concatenate(stretches[seed % 4::4]))


def text_files(seed):
    """A transformer of two blocks that knows some licences learns others."""
    rng = np.random.default_rng([seed, 1])
    model, by = text_new(rng, 128, LENGTH, 64, 2), Adam(3e-3)

    def train(text, steps):
        for _ in range(steps):
            at = rng.integers(0, len(text) - LENGTH, 16)
            x, y = windows(text, at)
            by.step(model, gradients(text_run, model, x, y)[0])

    base, new = read_texts(BASE_TEXTS), new_text(seed)[0]
    train(base, 500)
    by.rate = 1e-3
    train(base, 200)
    files, by = [copy(model)], Adam(3e-4)
    for _ in range(8):
        train(new, 40)
        files.append(copy(model))
    return files


def text_tester(seed):
    test = new_text(seed)[1]
    at = np.arange(0, len(test) - LENGTH, LENGTH)
    return tester(text_run, *windows(test, at), 64)


def digits_mlp(rng):
    return mlp_new(rng, (64, 256, 192, 10))


KINDS = {
    "mlp-more": digits_kind(mlp_run, lambda seed: digits_tuned(
        mlp_run, digits_mlp, True, seed)),
    "conv-more": digits_kind(conv_run, lambda seed: digits_tuned(
        conv_run, conv_new, True, seed)),
    "conv-moved": digits_kind(conv_run, lambda seed: digits_tuned(
        conv_run, conv_new, False, seed)),
    "mlp-federated": digits_kind(mlp_run, lambda seed: digits_federated(
        mlp_run, digits_mlp, seed)),
    "conv-federated": digits_kind(conv_run, lambda seed: digits_federated(
        conv_run, conv_new, seed)),
    "mlp-drift": (drift_files, drift_tester),
    "text": (text_files, text_tester),
}


def save(path, model):
    """As safetensors."""
    header, at = {}, 0
    for name, data in model.items():
        header[name] = {"dtype": "F32", "shape": list(data.shape),
                        "data_offsets": [at, at + data.nbytes]}
        at += data.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for data in model.values():
            file.write(data.astype("<f4").tobytes())


def load(path):
    with open(path, "rb") as file:
        content = file.read()
    size = struct.unpack("<Q", content[:8])[0]
    model = {}
    for name, t in json.loads(content[8:8 + size]).items():
        begin, end = (8 + size + o for o in t["data_offsets"])
        model[name] = np.frombuffer(content[begin:end], "<f4").reshape(
            t["shape"])
    return model
