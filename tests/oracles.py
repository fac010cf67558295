"""The papers' algorithm boxes as slow, literal loops. Nothing here is shared with `core`: it is what `core` must equal.

Images are (C, H, W), one at a time; a model is `denoise(view (C, h, w), sigma) -> (C, h, w)`, and one denoising step
Phi is DDIM without noise in sigma space, x' = D + (s' / s) (x - D), which is also Euler.
"""

from itertools import product

import torch


def ddim_step(view, sigma, sigma_next, denoise):
    """Phi of MSD Eq. 1-2, in sigma space."""
    denoised = denoise(view, sigma)
    noise = (view - denoised) / sigma
    return denoised + sigma_next * noise


def look(canvas, window):
    """F_i: the view cell by cell; indices beyond an edge wrap around."""
    _, height, width = canvas.shape
    view = torch.empty(canvas.shape[0], window.height, window.width, dtype=canvas.dtype)
    for i, j in product(range(window.height), range(window.width)):
        view[:, i, j] = canvas[:, (window.top + i) % height, (window.left + j) % width]
    return view


def fuse(views, windows, shape, weights):
    """MSD Eq. 6, cell by cell."""
    _, height, width = shape
    total, weight_sum = torch.zeros(shape, dtype=views[0].dtype), torch.zeros(height, width, dtype=views[0].dtype)
    for view, window in zip(views, windows, strict=True):
        for i, j in product(range(window.height), range(window.width)):
            row, column = (window.top + i) % height, (window.left + j) % width
            total[:, row, column] += weights[i, j] * view[:, i, j]
            weight_sum[row, column] += weights[i, j]
    return total / weight_sum


def halve(canvas, how="mean"):
    """ds by 2 for even sides, block by block."""
    channels, height, width = canvas.shape
    out = []
    for i, j in product(range(0, height, 2), range(0, width, 2)):
        block = canvas[:, i : i + 2, j : j + 2]
        out.append(block.mean((1, 2)) if how == "mean" else block[:, 0, 0])
    return torch.stack(out, 1).reshape(channels, height // 2, width // 2)


def multidiffusion_step(canvas, sigma, sigma_next, denoise, windows, weights):
    """Eq. 3-6: crop, denoise one step, average."""
    stepped = [ddim_step(look(canvas, window), sigma, sigma_next, denoise) for window in windows]
    return fuse(stepped, windows, canvas.shape, weights)


def msd_step(canvas, sigma, sigma_next, denoise, plan, weights, omega, scales, how="mean"):
    """Algorithm 1 of MSD. `plan(height, width) -> windows`, all on even offsets; `omega` is already decayed."""
    z = [canvas]
    for _ in range(scales - 1):
        z.append(halve(z[-1], how))
    z.reverse()  # z[0] is the lowest resolution
    below = multidiffusion_step(z[0], sigma, sigma_next, denoise, plan(*z[0].shape[1:]), weights)
    for image in z[1:]:
        windows = plan(*image.shape[1:])
        stepped = []
        for window in windows:
            rows = slice(window.top // 2, (window.top + window.height) // 2)
            columns = slice(window.left // 2, (window.left + window.width) // 2)
            wanted = below[:, rows, columns]
            view = look(image, window).requires_grad_()
            loss = ((halve(ddim_step(view, sigma, sigma_next, denoise), how) - wanted) ** 2).sum()
            loss.backward()
            guided = (view - omega * view.grad).detach()
            stepped.append(ddim_step(guided, sigma, sigma_next, denoise).detach())
        below = fuse(stepped, windows, image.shape, weights)
    return below


def matched_msd_step(canvas, sigma, sigma_next, denoise, plan, weights, omega, jacobian_free):
    """Two scales; the coarse one at its own noise level, denoised predictions compared."""
    coarse = halve(canvas)
    coarse_windows = plan(*coarse.shape[1:])
    below = fuse([denoise(look(coarse, w), sigma / 2) for w in coarse_windows], coarse_windows, coarse.shape, weights)
    windows = plan(*canvas.shape[1:])
    stepped = []
    for window in windows:
        rows = slice(window.top // 2, (window.top + window.height) // 2)
        columns = slice(window.left // 2, (window.left + window.width) // 2)
        view = look(canvas, window).requires_grad_()
        difference = halve(denoise(view, sigma)) - below[:, rows, columns]
        if jacobian_free:
            guided = view.detach().clone()
            for i, j in product(range(window.height), range(window.width)):
                guided[:, i, j] -= omega / 10 * difference.detach()[:, i // 2, j // 2]
        else:
            (difference**2).sum().backward()
            guided = (view - omega * view.grad).detach()
        stepped.append(ddim_step(guided, sigma, sigma_next, denoise).detach())
    return fuse(stepped, windows, canvas.shape, weights)
