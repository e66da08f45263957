"""Online matrix factorisation (session-FISM), in the form that splits over two stages.

User vector z = sum_b w_b c_{h_b} over the newest items h_b, w_b ~ decay^(b-1); item i has a target
vector t_i, a bias b_i and a context vector c_i = t_i + e_i. Loss of an event: sampled softmax with
logQ correction, a_j = z.t_j + b_j - log q_j over {i} u N (Kabbur et al. 2013; Yi et al. 2019).

User stage, from a slightly old copy of the table: draws N, z, p = softmax(a), the context gradient
g = (1 - p_i) t_i - sum_N p_j t_j, and R_j = log sum over the others of exp a.
Owner of j, with fresh t_j, b_j: p = sigmoid(z.t_j + b_j - log q_j - R_j), t_j += (y_j - p) z;
owner of h_b: t and e both += w_b g. Steps are row-wise Adagrad: lr / sqrt(sum of mean squares).
"""

import math

import numpy as np
from numba import njit

from streamrec.state.keys import mix, uniform

FAST = {"reassoc", "contract", "nsz", "arcp"}
INIT_SCALE = 0.1
SKIP = 1e-4
GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True, nogil=True)
def initial_vector(key, seed, out):  # type: ignore[no-untyped-def]
    """Fill float32[K] with the start vector of an item: uniform, the same for a key everywhere."""
    state = mix(np.uint64(key) ^ mix(np.uint64(seed)))
    for k in range(len(out)):
        state += GOLDEN
        out[k] = np.float32((uniform(mix(state)) - 0.5) * INIT_SCALE)


@njit(cache=True, nogil=True)
def initial_vectors(vectors, keys, first, seed):  # type: ignore[no-untyped-def]
    """Fill vectors[first:len(keys)] with the start vectors of their keys."""
    for row in range(first, len(keys)):
        initial_vector(keys[row], seed, vectors[row])


@njit(cache=True, nogil=True, fastmath=FAST)
def user_vector(contexts, rows, decay, norm, weights, z):  # type: ignore[no-untyped-def]
    """Fill z float32[K] and weights float32[len(rows)] from the history's rows, newest first."""
    total = 0.0
    step = 1.0
    for b in range(len(rows)):
        weights[b] = step
        total += step
        step *= decay
    z[:] = 0.0
    for b in range(len(rows)):
        weights[b] /= np.float32(total**norm)
        c = contexts[rows[b]]
        w = weights[b]
        for k in range(len(z)):
            z[k] += w * c[k]


@njit(cache=True, nogil=True)
def draw(  # type: ignore[no-untyped-def]
    target, live, ring, ring_size, ring_counts, uniform_share, state, rows, log_q
):
    """Fill rows[1:] with negatives and log_q with log q_j = log(u/I + (1-u) count_j/ring).

    live: int32[I] rows of items that exist; rows[0] is the target; a draw that hits the
    target is dropped (row -1).
    """
    rows[0] = target
    for n in range(1, len(rows)):
        state += GOLDEN
        r = mix(state)
        pick = uniform(mix(r ^ GOLDEN))
        if ring_size == 0 or uniform(r) < uniform_share:
            j = np.int64(live[np.int64(pick * len(live))]) if len(live) > 0 else target
        else:
            j = np.int64(ring[np.int64(pick * ring_size)])
        rows[n] = j if j != target else -1
    share = uniform_share if ring_size > 0 else 1.0
    for n in range(len(rows)):
        if rows[n] >= 0:
            q = share / max(1, len(live))
            if ring_size > 0:
                q += (1.0 - share) * ring_counts[rows[n]] / ring_size
            log_q[n] = math.log(max(q, 1e-12))


@njit(cache=True, nogil=True, fastmath=FAST)
def gradient(targets, biases, rows, log_q, positive, z, rest, g):  # type: ignore[no-untyped-def]
    """Fill rest[n] = R_n and g = context gradient for rows (row 0 the event's item, -1 skipped).

    `positive` False (a dislike): the item counts as a negative too, so g pushes away from it.
    """
    m = len(rows)
    a = np.empty(m, np.float64)
    top = -1e30
    for n in range(m):
        if rows[n] >= 0:
            t = targets[rows[n]]
            s = np.float32(0.0)
            for k in range(len(z)):
                s += t[k] * z[k]
            a[n] = s + biases[rows[n]] - log_q[n]
            top = max(top, a[n])
    total = 0.0
    for n in range(m):
        if rows[n] >= 0:
            a[n] = math.exp(a[n] - top)
            total += a[n]
    g[:] = 0.0
    for n in range(m):
        if rows[n] >= 0:
            p = a[n] / total
            others = total - a[n]
            rest[n] = top + math.log(max(others, 1e-30))
            d = np.float32(1.0 - p) if n == 0 and positive else np.float32(-p)
            t = targets[rows[n]]
            for k in range(len(z)):
                g[k] += d * t[k]


@njit(cache=True, nogil=True, fastmath=FAST)
def step_target(targets, biases, sums, bias_sums, row, z, log_q, rest, y, weight, rate):  # type: ignore[no-untyped-def]
    """Rescore one item afresh and step its target vector and bias; returns False when skipped."""
    t = targets[row]
    s = np.float32(0.0)
    square = np.float32(0.0)
    for k in range(len(z)):
        s += t[k] * z[k]
        square += z[k] * z[k]
    p = 1.0 / (1.0 + math.exp(-(s + biases[row] - log_q - rest)))
    d = y - p
    if abs(d) < SKIP:
        return False
    d *= weight
    sums[row] += d * d * square / len(z)
    bias_sums[row] += d * d
    step = np.float32(rate / math.sqrt(sums[row] + 1e-8) * d)
    for k in range(len(z)):
        t[k] += step * z[k]
    biases[row] += rate / math.sqrt(bias_sums[row] + 1e-8) * d
    return True


@njit(cache=True, nogil=True, fastmath=FAST)
def step_context(targets, offsets, sums, offset_sums, row, g, weight, rate):  # type: ignore[no-untyped-def]
    """Step the context vector c = t + e of one history item by weight * g, in both parts."""
    square = np.float32(0.0)
    for k in range(len(g)):
        square += g[k] * g[k]
    square *= np.float32(weight * weight / len(g))
    sums[row] += square
    offset_sums[row] += square
    a = np.float32(rate * weight / math.sqrt(sums[row] + 1e-8))
    b = np.float32(rate * weight / math.sqrt(offset_sums[row] + 1e-8))
    t = targets[row]
    e = offsets[row]
    for k in range(len(g)):
        t[k] += a * g[k]
        e[k] += b * g[k]
